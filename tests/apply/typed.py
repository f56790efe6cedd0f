"""One trial of a column type: a table nobody designed for us, events good and bad, and a plain look at what became.

The types are the database's own, from its catalog, and the values that stand in a table's rows are whatever of a pool
of literals the type takes. What is expected is said in `judged`, by the rows' own text and no code of the product.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from sqlalchemy import Connection, Engine, delete, text
from sqlalchemy.exc import DBAPIError

import tellonce
from apply.pools import CODECS, LITERALS, ON_SQLITE, SPELLED, STORED, VALUES, says
from tellonce import Binding, Column, current, existing, mirror
from tellonce.apply.batch import Offered, carry_out
from tellonce.apply.subscription import SubscribedView
from tellonce.apply.sweep import sweep_rows, sweep_stream
from tellonce.avro.fields import FieldSpec, Kind, ViewSchema
from tellonce.keyring import ViewKeys
from tellonce.model.change import ChangeEvent, Fields, Operation, Origin, Value
from tellonce.model.digest import pseudonym_of
from tellonce.model.divergence import RecordState
from tellonce.model.position import Header
from tellonce.storage.database import reading
from tellonce.storage.stores import judge_table, subscriber_store
from tellonce.storage.subscriber.store import SubscriberStore
from tellonce.storage.subscriber.view import BoundView
from tellonce.storage.tables import own_tables
from tellonce.topology import View

__all__ = ["Outcome", "Trial", "draw", "run", "types_of"]

KEYS = ViewKeys(view="citizen.identity", digest=b"d" * 32, pseudonym=b"p" * 32)
Role = Literal["bound", "match", "key"]
NUMBERS = [f"11010519{year}0101{serial:03d}X" for serial, year in enumerate(range(1900, 1990))]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A table with one column of a type, in a role, under a codec, and so many events at once."""

    type: str
    role: Role
    codec: str
    count: int
    scope: Literal["existing", "mirror"]
    seed: int


@dataclass(kw_only=True)
class Outcome:
    """What became of a trial: `untried` where there can be no such table, `refused` where it was refused before."""

    trial: Trial
    state: Literal["untried", "refused", "applied"]
    held: int = 0
    listed: int = 0
    faults: list[str] = field(default_factory=list[str])


def types_of(engine: Engine) -> list[str]:
    """Every type of the database that a column can be of, from its catalog; and some with lengths and precisions."""
    if engine.dialect.name == "sqlite":
        return list(ON_SQLITE)
    statement = text(
        "SELECT pg_catalog.format_type(t.oid, NULL) FROM pg_catalog.pg_type t"
        " JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace"
        " LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid"
        " WHERE t.typtype <> 'p' AND t.typisdefined AND n.nspname IN ('pg_catalog', 'public')"
        " AND (t.typtype <> 'c' OR c.relkind = 'c') AND t.typelem = 0 ORDER BY 1"
    )
    with reading(engine) as connection:
        return [*connection.execute(statement).scalars(), *SPELLED]


def draw(rng: random.Random, types: Sequence[str]) -> Trial:
    """Some trial."""
    return Trial(
        type=rng.choice(types),
        role=rng.choice(("bound", "bound", "match", "key")),
        codec=rng.choice(list(CODECS)),
        count=rng.choice((1, 3, 40)),
        scope=rng.choice(("existing", "mirror")),
        seed=rng.randrange(2**32),
    )


def run(engine: Engine, trial: Trial) -> Outcome:
    """Carry a trial out; whatever ends it is a fault."""
    table = _Table(engine, trial)
    if not table.make():
        return Outcome(trial=trial, state="untried")
    if judge_table(engine, table.view).refused:
        return Outcome(trial=trial, state="refused")
    return table.play()


class _Table:
    def __init__(self, engine: Engine, trial: Trial) -> None:
        self.engine, self.trial, self.rng = engine, trial, random.Random(trial.seed)
        self.is_postgres = engine.dialect.name == "postgresql"
        codec = CODECS[trial.codec]()
        precision, scale = (10, 2) if codec.kind is Kind.DECIMAL else (None, None)
        self.spec = FieldSpec("value", codec.kind, nullable=True, precision=precision, scale=scale)
        is_match = trial.role == "match"
        number = codec if is_match and codec.kind is Kind.TEXT else tellonce.text()
        columns: dict[str, str | Column] = {
            "id_number": Column("number", number),
            "name": Column("name", tellonce.text()),
        }
        if trial.role == "bound":
            columns["value"] = Column("value", codec, else_keep=self.rng.random() < 0.1)
        fields = (
            FieldSpec("id_number", Kind.TEXT),
            FieldSpec("name", Kind.TEXT),
            *([self.spec] if "value" in columns else []),
        )
        binding = Binding(
            view=KEYS.view,
            table="typed",
            match=[current("id_number")],
            columns=columns,
            key="k",
            scope=mirror() if trial.scope == "mirror" and trial.role == "bound" else existing(),
            on_delete="delete",
        )
        self.view = BoundView(schema=ViewSchema(view=KEYS.view, schema_id=1, fields=fields), keys=KEYS, binding=binding)

    def make(self) -> bool:
        """Make the table with some rows; tell whether there can be one."""
        kinds = {"bound": ("k", "text"), "match": ("k", self.trial.type), "key": (self.trial.type, "text")}
        key, number = kinds[self.trial.role]
        key = ("bigint GENERATED BY DEFAULT AS IDENTITY" if self.is_postgres else "INTEGER") if key == "k" else key
        value = self.trial.type if self.trial.role == "bound" else "text"
        own = own_tables(self.engine.dialect.name)
        with self.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE IF EXISTS typed")
            for table in (own.position, own.applied, own.linked_row, own.claim, own.seen, own.parked, own.progress):
                connection.execute(delete(table))
            made = f"CREATE TABLE typed (k {key} PRIMARY KEY, number {number}, name text, value {value})"
            if not _goes(connection, made):
                return False
            self._fill(connection)
        return True

    def _fill(self, connection: Connection) -> None:
        literals = list(LITERALS if self.is_postgres else STORED)
        self.rng.shuffle(literals)
        column = {"bound": "value", "match": "number", "key": "k"}[self.trial.role]
        for place, literal in enumerate(literals):
            number = f"'{NUMBERS[place % len(NUMBERS)]}'"
            quoted = "'" + literal.replace("'", "''").replace("%", "%%") + "'" if self.is_postgres else literal
            given = {"number": number, "name": "'before'"} | {column: quoted}
            statement = f"INSERT INTO typed ({', '.join(given)}) VALUES ({', '.join(given.values())})"
            _goes(connection, statement)

    def rows(self) -> dict[str, tuple[str | None, ...]]:
        """Every row's number, name and value as text, by its key's text."""
        parts = [
            f"CAST({name} AS text)" if self.is_postgres else f"quote({name})"
            for name in ("k", "number", "name", "value")
        ]
        with reading(self.engine) as connection:
            found = connection.exec_driver_sql(f"SELECT {', '.join(parts)} FROM typed").all()
        texts = [[repr(each) if isinstance(each, bytes) else each for each in row] for row in found]
        return {str(key): tuple(rest) for key, *rest in texts}

    def play(self) -> Outcome:
        """Apply events twice and sweep, then others of the same records; look after each."""
        outcome = Outcome(trial=self.trial, state="applied")
        store = subscriber_store(self.engine, self.view, 1)
        before = self.rows()
        wanted = self._wanted(before)
        try:
            for version in (1, 2):
                self._apply(store, wanted, version)
                self._sweep(store)
                if version == 1:
                    first = self.rows()
        except Exception as error:  # noqa: BLE001 - whatever ended it is the finding
            outcome.faults.append(f"ended: {type(error).__name__}: {error}"[:300])
            return outcome
        after = self.rows()
        if first != after:
            outcome.faults.append("the same events wrote other rows the second time")
        self._judge(outcome, store, wanted, before, after)
        newer = self._newer(wanted)
        try:
            self._apply(store, newer, 3)
        except Exception as error:  # noqa: BLE001 - the same
            outcome.faults.append(f"ended by newer events: {type(error).__name__}: {error}"[:300])
            return outcome
        self._judge(outcome, store, newer, before, self.rows())
        return outcome

    def _newer(self, wanted: Mapping[str, Fields]) -> dict[str, Fields]:
        found: dict[str, Fields] = {}
        for place, (name, fields) in enumerate(wanted.items()):
            found[name] = {**fields, "name": f"newer {place}"}
            if "value" in fields:
                found[name] = {**found[name], "value": self.rng.choice((None, *VALUES[self.spec.kind]))}
        return found

    def _wanted(self, before: Mapping[str, tuple[str | None, ...]]) -> dict[str, Fields]:
        numbers = [*NUMBERS]
        if self.trial.role == "match":
            # No event has bytes that are no UTF-8, but one may well have what no column takes.
            held = [row[0].strip("'") for row in before.values() if row[0] and row[0].isprintable()]
            numbers = [*self.rng.sample(held, len(held)), *NUMBERS]
            numbers.insert(1, "a\0b")
        numbers = list(dict.fromkeys(numbers))[: self.trial.count]
        found: dict[str, Fields] = {}
        for place, number in enumerate(numbers):
            after: dict[str, Value] = {"id_number": number, "name": f"after {place}"}
            if self.trial.role == "bound":
                after["value"] = self.rng.choice((None, *VALUES[self.spec.kind], *VALUES[self.spec.kind]))
            found[pseudonym_of(KEYS.pseudonym, f"citizen/{place}")] = after
        return found

    def _apply(self, store: SubscriberStore, wanted: Mapping[str, Fields], version: int) -> None:
        with store.transaction() as transaction:
            stream = transaction.lock_stream(0)
            # Read to the end of its snapshot, so that no record is unknown.
            stream.complete_epoch, stream.position = 1, replace(stream.position, epoch=1)
            transaction.save_stream(stream)
            offered = [_offered(n, f, version) for n, f in wanted.items()]
            carry_out(transaction, self.view, {0: stream}, offered, standings=transaction.standings(list(wanted)))
            transaction.save_stream(stream)

    def _sweep(self, store: SubscriberStore) -> None:
        subscribed = SubscribedView(
            department="clinic", view=View.model_construct(name=KEYS.view), bound=self.view, store=store
        )
        while not sweep_rows(subscribed).finished:
            pass
        while not sweep_stream(subscribed, 0).finished:
            pass

    def _judge(
        self,
        outcome: Outcome,
        store: SubscriberStore,
        wanted: Mapping[str, Fields],
        before: Mapping[str, tuple[str | None, ...]],
        after: Mapping[str, tuple[str | None, ...]],
    ) -> None:
        """No row of a number that nobody has was touched; who is held and not listed has a row that says so."""
        with store.transaction() as transaction:
            entries = transaction.entries(list(wanted))
        with reading(self.engine) as connection:
            own = own_tables(self.engine.dialect.name)
            listed = set(connection.execute(own.parked.select().with_only_columns(own.parked.c.pseudonym)).scalars())
            links = {row.pseudonym: row.row_key for row in connection.execute(own.linked_row.select())}
        written = {key for key, row in after.items() if before.get(key) != row}
        owned: set[str] = set()
        for name, fields in wanted.items():
            key = self._key_text(links[name]) if name in links else None
            if key is not None:
                owned.add(key)
            if name not in entries or name in listed or entries[name].state is not RecordState.HELD:
                outcome.listed += name in listed
                continue
            outcome.held += 1
            row = after.get(key or "")
            if row is None or not self._is_held(fields, row):
                outcome.faults.append(f"held, but its row is {row} for {fields}"[:300])
        if strangers := written - owned:
            outcome.faults.append(f"rows of nobody were written: {sorted(strangers)[:3]}")

    def _key_text(self, key: str) -> str:
        value = json.loads(key)[0]
        if self.is_postgres:
            return str(value)
        return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)

    def _is_held(self, fields: Fields, row: tuple[str | None, ...]) -> bool:
        number, name, value = (self._plain(each) for each in row)
        if name != fields["name"]:
            return False
        if self.trial.role == "bound":
            column = self.view.by_field["value"]
            return column.else_keep or says(self.trial.codec, fields["value"], value)
        if self.trial.role == "match":
            return says(self.trial.codec, fields["id_number"], number)
        return number == fields["id_number"]

    def _plain(self, held: str | None) -> str | None:
        if self.is_postgres or held is None:
            return held
        if held == "NULL":
            return None
        if held.startswith("X'"):
            return "\\x" + held[2:-1].lower()
        return held[1:-1].replace("''", "'") if held.startswith("'") else held


def _goes(connection: Connection, statement: str) -> bool:
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(statement, {})
    except DBAPIError:
        return False
    return True


def _offered(name: str, fields: Fields, version: int) -> Offered:
    event = ChangeEvent(
        op=Operation.UPDATE,
        department="registry",
        record_type="citizen",
        view=KEYS.view,
        record_key=name,
        epoch=1,
        version=version,
        sequence=version,
        origin=Origin.CAPTURE,
        committed_at_ms=1,
        published_at_ms=1,
        after=fields,
    )
    header = Header(epoch=1, version=version, sequence=version, settled=0, flagged=False)
    return Offered(pseudonym=name, partition=0, header=header, payload=b"", event=event)
