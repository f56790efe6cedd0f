"""What the contract suite's small city declares: its topology, schema, sources, bindings and tables, as text."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stdnum.cn import ric

__all__ = ["Names", "Terms", "consumers_of", "id_number", "schema_of", "short_number", "tables_of", "topology_of"]

Dialect = Literal["postgresql", "sqlite"]

POLICY = """
from tellonce.reconcile.policy import ReconciliationPolicy

policy = ReconciliationPolicy(
    answer_timeout_seconds=3,
    answer_patience_seconds=10,
    undecided_pause_seconds=0.2,
    drill_pause_seconds=0.3,
    drill_pause_longest_seconds=1,
    repair_round_seconds=0.3,
    repair_check_seconds=0.3,
)
"""


@dataclass(frozen=True, slots=True)
class Names:
    """The city's departments and record type, named so that no other test on the same broker can meet them."""

    tag: str

    @property
    def registry(self) -> str:
        """The authority."""
        return f"registry-{self.tag}"

    @property
    def fund(self) -> str:
        """Holds only the records that it has an account for, found by present, former or derived numbers."""
        return f"fund-{self.tag}"

    @property
    def clinic(self) -> str:
        """Mirrors every record, under a unique number."""
        return f"clinic-{self.tag}"

    @property
    def record_type(self) -> str:
        """What is shared."""
        return f"person_{self.tag}"

    @property
    def view(self) -> str:
        """Its one view."""
        return f"{self.record_type}.identity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a test may want otherwise in the departments' declarations."""

    on_divergence: Literal["repair", "flag"] = "flag"
    on_delete: Literal["keep", "mark", "delete"] = "delete"
    else_keep: bool = False
    partitions: int = 2
    signed: bool = False


def id_number(serial: int) -> str:
    """A valid 18-digit number of a person who does not exist."""
    body = f"11010519700101{serial:03d}"
    return body + str(ric.calc_check_digit(body + "0"))


def short_number(serial: int) -> str:
    """The 15-digit number that the same person had before."""
    return f"110105700101{serial:03d}"


def topology_of(names: Names, terms: Terms, fields: tuple[str, ...], signing_keys: Mapping[str, str]) -> str:
    """The contract between the three departments, in JSON, which is YAML."""
    subscription = {
        "basis": "Example Act, article 1",
        "purpose": "Hold the same data.",
        "freshness_seconds": 60,
        "on_divergence": terms.on_divergence,
    }
    view = {
        "fields": list(fields),
        "match_only": ["former_id_numbers"],
        "major": 1,
        "partitions": terms.partitions,
        "buckets": 16,
        "subscriptions": {names.fund: subscription, names.clinic: subscription},
    }
    title = {"title": "Example office", "contact": "desk 1"}
    return json.dumps(
        {
            "city": "Example City",
            "signing_keys": {principal: [key] for principal, key in signing_keys.items()},
            "departments": dict.fromkeys((names.registry, names.fund, names.clinic), title),
            "record_types": {
                names.record_type: {
                    "authority": names.registry,
                    "fields": {name: {"sharing": "unconditional"} for name in (*fields, "former_id_numbers")},
                    "views": {"identity": view},
                }
            },
        },
        indent=1,
    )


def schema_of(names: Names, *, with_street: bool = False) -> str:
    """The record type's schema; its second version has a street."""
    numbers = {"type": "array", "items": "string"}
    fields: list[dict[str, object]] = [
        {"name": "id_number", "type": "string"},
        {"name": "name", "type": "string"},
        {"name": "born", "type": {"type": "int", "logicalType": "date"}},
        {"name": "former_id_numbers", "type": numbers, "default": [], "match_only": True},
    ]
    if with_street:
        fields.append({"name": "street", "type": ["null", "string"], "default": None})
    name = "".join(part[:1].upper() + part[1:] for part in names.record_type.split("_"))
    record = {"type": "record", "name": name, "namespace": f"tellonce.{names.record_type}", "fields": fields}
    return json.dumps(record, indent=2)


def producer_of(names: Names, *, with_street: bool = False) -> str:
    """The registry's source."""
    street = '"street": "street", ' if with_street else ""
    return f"""
from tellonce import Former, Source

person = Source(
    record_type="{names.record_type}",
    table="resident",
    key="resident_id",
    columns={{"id_number": "id_number", "name": "name", {street}"born": "born"}},
    former={{
        "former_id_numbers": Former(
            table="id_history", key="resident_id", column="id_number", order_by="history_id"
        )
    }},
)
"""


def consumers_of(names: Names, terms: Terms, *, with_street: bool = False) -> dict[str, str]:
    """The bindings of both subscribers, by department."""
    street = '"street": "street", ' if with_street else ""
    mark = 'mark={"zt": "9"}, ' if terms.on_delete == "mark" else ""
    fund = f"""
from tellonce import Binding, Column, candidate, current, existing, from_15_digits, previous, text, yyyymmdd

account = Binding(
    view="{names.view}",
    table="account",
    match=[
        current("id_number"),
        previous("former_id_numbers", of="id_number"),
        candidate("id_number", from_15_digits),
    ],
    columns={{
        "id_number": Column("gmsfhm", text(max_chars=18)),
        "name": Column("xm", text(max_bytes=30), else_keep={terms.else_keep}),
        {street}
        "born": Column("csrq", yyyymmdd),
    }},
    scope=existing(open="zt <> '9'"),
    on_delete="{terms.on_delete}", {mark}
)
"""
    clinic = f"""
from tellonce import Binding, current, mirror

patient = Binding(
    view="{names.view}",
    table="patient",
    match=[current("id_number")],
    columns={{"id_number": "card_no", "name": "patient_name", {street}"born": "dob"}},
    scope=mirror(),
    on_delete="delete",
)
"""
    return {names.fund: fund, names.clinic: clinic}


_SERIAL = {"postgresql": "integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", "sqlite": "INTEGER PRIMARY KEY"}

# Counts every write of a row, whatever made it: an effect that happens twice leaves two lines.
_AUDIT = {
    "postgresql": """
CREATE TABLE written (entry {serial}, row_key text, name text);
CREATE FUNCTION note_written() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO public.written (row_key, name) VALUES (NEW.{key}::text, NEW.{name}); RETURN NEW; END $$;
CREATE TRIGGER note_written AFTER INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION note_written()""",
    "sqlite": """
CREATE TABLE written (entry {serial}, row_key text, name text);
CREATE TRIGGER note_inserted AFTER INSERT ON {table} BEGIN
INSERT INTO written (row_key, name) VALUES (NEW.{key}, NEW.{name})~ END;
CREATE TRIGGER note_updated AFTER UPDATE ON {table} BEGIN
INSERT INTO written (row_key, name) VALUES (NEW.{key}, NEW.{name})~ END""",
}


def tables_of(names: Names, dialect: str) -> dict[str, list[str]]:
    """The statements that make each department's own tables; the fund's and the clinic's count their writes."""
    serial = _SERIAL[dialect]

    def audit(table: str, key: str, name: str) -> list[str]:
        # In PostgreSQL's function the semicolons belong to its body, so statements end at a line's end.
        text = _AUDIT[dialect].format(serial=serial, table=table, key=key, name=name)
        return [statement.replace("~", ";").strip() for statement in text.split(";\nCREATE ")]

    return {
        names.registry: [
            "CREATE TABLE resident (resident_id int PRIMARY KEY, id_number text, name text, born date, street text)",
            f"CREATE TABLE id_history (history_id {serial}, resident_id integer, id_number text)",
        ],
        names.fund: [
            (
                "CREATE TABLE account (zhbh text PRIMARY KEY, gmsfhm varchar(18), xm varchar(30), csrq varchar(8), "
                "street text, zt text NOT NULL DEFAULT '0')"
            ),
            *_continued(audit("account", "zhbh", "xm")),
        ],
        names.clinic: [
            (
                f"CREATE TABLE patient (pid {serial}, card_no text UNIQUE, patient_name varchar(20), dob date, "
                "street text)"
            ),
            *_continued(audit("patient", "pid", "patient_name")),
        ],
    }


def _continued(statements: list[str]) -> list[str]:
    first, *others = statements
    return [first, *(f"CREATE {statement}" for statement in others)]
