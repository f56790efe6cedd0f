"""Whether every version of a subject can read every other: FULL_TRANSITIVE, and what Avro's own check does not see.

`avro.compatibility` compares the types on the wire.
It is blind to logical types, so a decimal's scale or a timestamp's unit may change under it and every amount or instant
already published then reads as another; it takes string for bytes; and it is content with renames by alias, which
change the name that bindings, digests and match rules go by.
The rules here are therefore stricter, and only then is it asked.
"""

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import cast

import avro.errors
import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from tellonce.avro.derive import row_record
from tellonce.avro.findings import Finding
from tellonce.avro.jsonvalue import Json, JsonObject

__all__ = ["check_compatibility"]

_NEW_FIELD = "keep the field as it is and add a new one of the other type, null by default"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Type:
    """A field's type with all that a reader's result depends on; `base` is Avro's keyword."""

    base: str
    nullable: bool
    logical: str | None
    precision: Json
    scale: Json
    size: Json
    name: str | None
    symbols: tuple[str, ...]
    enum_default: Json

    @property
    def text(self) -> str:
        """The type as a person says it."""
        if self.logical == "decimal":
            return f"decimal({self.precision}, {self.scale}) on {self.base}"
        return self.logical or self.base


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A version's row: its full names, and its fields by name, as declared and as understood."""

    names: tuple[str, str]
    fields: dict[str, JsonObject]
    types: dict[str, _Type]


@dataclass(frozen=True, slots=True)
class _Complaint:
    rule: str
    field: str | None
    sentence: str


def check_compatibility(subject: str, versions: Sequence[tuple[int, JsonObject]]) -> tuple[Finding, ...]:
    """What keeps some version of a subject from reading another's events, or from reading the same values in them.

    `versions` are the numbered envelope schemas, oldest first; every pair is compared, each way.
    A subject with findings must not be published.

    Raises:
        Refused: a schema is no envelope of ours.
    """
    rows = [(version, envelope, _read_row(envelope)) for version, envelope in versions]
    return tuple(
        Finding(
            rule=complaint.rule,
            subject=subject,
            sentence=complaint.sentence,
            path=f"row.{complaint.field}" if complaint.field else None,
            old_version=old_version,
            new_version=new_version,
        )
        for (old_version, old_envelope, old), (new_version, new_envelope, new) in combinations(rows, 2)
        # Avro's own words are asked for only where ours are silent: one cause is said once.
        for complaint in (list(_own_rules(old, new)) or _avro_rules(old_envelope, new_envelope))
    )


def _own_rules(old: _Row, new: _Row) -> Iterator[_Complaint]:
    if old.names != new.names:
        sentence = f"the record's name changed from {old.names[0]} to {new.names[0]}; keep name and namespace"
        yield _Complaint("record-renamed", None, sentence)
    for name, field in new.fields.items():
        if name in old.fields:
            yield from _type_rules(name, old.types[name], new.types[name])
            yield from _property_rules(name, old.fields[name], field)
        else:
            yield from _added_rules(name, field, old)
    for name, field in old.fields.items():
        if name not in new.fields and "default" not in field:
            sentence = "the field is gone and had no default, so older readers cannot do without it; keep it"
            yield _Complaint("field-dropped", name, sentence)


def _added_rules(name: str, field: JsonObject, old: _Row) -> Iterator[_Complaint]:
    aliases = field.get("aliases")
    if isinstance(aliases, list) and any(alias in old.fields for alias in aliases):
        sentence = "the field renames another by an alias, which bindings and digests do not follow; keep the old name"
        yield _Complaint("field-renamed", name, sentence)
    elif "default" not in field:
        sentence = "the field is new and has no default for events written before; make it null by default"
        yield _Complaint("field-added", name, sentence)


def _type_rules(name: str, old: _Type, new: _Type) -> Iterator[_Complaint]:
    changed = f"the type changed from {old.text} to {new.text}"
    if old.nullable != new.nullable:
        was, now = ("may be null", "may not") if old.nullable else ("may not be null", "may")
        sentence = f"the field {was} in the old version and {now} in the new; keep that as it was first published"
        yield _Complaint("null-changed", name, sentence)
    if "decimal" in (old.logical, new.logical) and old.text != new.text:
        sentence = f"{changed}, so every amount already published would read otherwise; {_NEW_FIELD}"
        yield _Complaint("decimal-changed", name, sentence)
    elif old.logical != new.logical and old.base == new.base:
        rule = "time-unit-changed" if old.logical and new.logical else "logical-type-changed"
        yield _Complaint(rule, name, f"{changed} over the same bytes, which would read as other values; {_NEW_FIELD}")
    elif {old.base, new.base} == {"string", "bytes"}:
        sentence = f"{changed}, which Avro converts in silence although the meaning differs; {_NEW_FIELD}"
        yield _Complaint("text-bytes-changed", name, sentence)
    elif (old.base, old.logical) != (new.base, new.logical):
        yield _Complaint("type-changed", name, f"{changed}; {_NEW_FIELD}")
    elif old.base == "enum":
        yield from _enum_rules(name, old, new)
    elif (old.name, old.size) != (new.name, new.size):
        found = f"fixed {old.name} of {old.size} bytes became {new.name} of {new.size}"
        yield _Complaint("fixed-changed", name, f"{found}, which no reader takes for the other; {_NEW_FIELD}")


def _enum_rules(name: str, old: _Type, new: _Type) -> Iterator[_Complaint]:
    if old.name != new.name:
        sentence = f"the enum's name changed from {old.name} to {new.name}; keep name and namespace"
        yield _Complaint("enum-renamed", name, sentence)
    added = [symbol for symbol in new.symbols if symbol not in old.symbols]
    removed = [symbol for symbol in old.symbols if symbol not in new.symbols]
    if added and old.enum_default is None:
        sentence = (
            f"symbol {added[0]} is new, and readers of the old version have no default to read it as; "
            "add a new field of type string, or put such an enum under a new major version"
        )
        yield _Complaint("enum-symbol-added", name, sentence)
    if removed and new.enum_default is None:
        sentence = f"symbol {removed[0]} is gone, and events already published hold it; keep the symbol"
        yield _Complaint("enum-symbol-removed", name, sentence)
    if old.enum_default != new.enum_default:
        sentence = "the symbol that stands for unknown ones changed, so replayed history would read otherwise; keep it"
        yield _Complaint("enum-default-changed", name, sentence)


def _property_rules(name: str, old: JsonObject, new: JsonObject) -> Iterator[_Complaint]:
    if "default" in old and not _is_same(old, new, "default"):
        sentence = "the default changed, so events from before the field would read otherwise; keep the first default"
        yield _Complaint("default-changed", name, sentence)
    if bool(old.get("match_only")) != bool(new.get("match_only")):
        sentence = "match_only changed, which takes the field into digests or out of them; add a new field for it"
        yield _Complaint("match-only-changed", name, sentence)
    aliases = new.get("aliases")
    if not _is_same(old, new, "aliases") and aliases:
        sentence = "the field has new aliases, by which it would take another field's values; remove them"
        yield _Complaint("alias-added", name, sentence)


def _is_same(old: JsonObject, new: JsonObject, key: str) -> bool:
    # By their JSON text: to Python true equals 1, and an absent default would equal a null one.
    return (key in old) == (key in new) and json.dumps(old.get(key)) == json.dumps(new.get(key))


def _avro_rules(old: JsonObject, new: JsonObject) -> Iterator[_Complaint]:
    try:
        parsed_old, parsed_new = _parse(old), _parse(new)
    except avro.errors.AvroException as error:
        yield _Complaint("not-avro", None, f"Apache Avro refuses the schema: {error}; mend the schema")
        return
    ways = ((parsed_new, parsed_old, "new reads old"), (parsed_old, parsed_new, "old reads new"))
    for reader, writer, direction in ways:
        checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # avro leaves it without types
        result = checker.get_compatibility(reader, writer)
        if result.compatibility is not SchemaCompatibilityType.compatible:
            # Sorted, because they come as sets and a report must not change between runs.
            reasons = ", ".join(sorted(result.messages)) or "no reason given"
            sentence = f"Apache Avro's check fails where {direction} ({reasons}); keep what was published"
            yield _Complaint("avro-incompatible", None, sentence)


def _parse(envelope: JsonObject) -> avro.schema.Schema:
    with warnings.catch_warnings():
        # It warns of logical types it does not know, which are compared above.
        warnings.simplefilter("ignore")
        return avro.schema.parse(json.dumps(envelope))


def _read_row(envelope: JsonObject) -> _Row:
    row = row_record(envelope)
    declared = row.get("fields")
    fields = [field for field in declared if isinstance(field, dict)] if isinstance(declared, list) else []
    namespace = str(row.get("namespace"))
    enums: dict[str, JsonObject] = {}
    return _Row(
        names=(f"{namespace}.{row.get('name')}", f"{envelope.get('namespace')}.{envelope.get('name')}"),
        fields={str(field["name"]): field for field in fields},
        types={str(field["name"]): _read_type(field["type"], namespace, enums) for field in fields},
    )


def _read_type(declared: Json, namespace: str, enums: dict[str, JsonObject]) -> _Type:
    nullable = isinstance(declared, list)
    inner = cast("list[Json]", declared)[-1] if nullable else declared
    if isinstance(inner, str):
        inner = enums.get(inner, {"type": inner})
    kind = cast("JsonObject", inner)
    name: str | None = None
    if isinstance(given := kind.get("name"), str):
        name = given if "." in given else f"{kind.get('namespace', namespace)}.{given}"
        enums[name] = kind
    symbols = kind.get("symbols")
    logical = kind.get("logicalType")
    return _Type(
        base=json.dumps(kind["type"]).strip('"'),
        nullable=nullable,
        logical=logical if isinstance(logical, str) else None,
        precision=kind.get("precision"),
        scale=kind.get("scale", 0),
        size=kind.get("size"),
        name=name,
        symbols=tuple(str(symbol) for symbol in symbols) if isinstance(symbols, list) else (),
        enum_default=kind.get("default"),
    )
