"""The wire schema of a view in Debezium's envelope, derived from its record type's schema and the topology."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from fastavro.types import Schema

from tellonce.avro.avroschema import parse_avro
from tellonce.avro.fieldshape import FieldShape, Refused, camel_case, read_fields
from tellonce.avro.identity import schema_identity
from tellonce.avro.jsonvalue import Json, JsonObject
from tellonce.avro.recordschema import RecordSchema
from tellonce.model.errors import ConfigurationError
from tellonce.topology.model import View

__all__ = ["WireSchema", "derive_envelope", "read_wire_schema", "row_fields", "row_record"]

# Never changed: the wire format is for ever. Order is the order of the bytes.
_SOURCE_FIELDS: tuple[tuple[str, Json], ...] = (
    ("department", "string"),
    ("record_type", "string"),
    ("view", "string"),
    ("record_key", "string"),
    ("epoch", "long"),
    ("version", "long"),
    ("sequence", "long"),
    ("origin", "string"),
    ("ts_ms", "long"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WireSchema:
    """The schema of a view's messages, as the compiler takes it and as fastavro does."""

    schema_id: int
    """The id in the frame of each message that is written by it."""
    fields: tuple[FieldShape, ...]
    """Of a row, in the order of the wire."""
    parsed: Schema

    def of_field(self, field: FieldShape) -> "WireSchema":
        """The schema of rows that have this one of the fields and no other."""
        envelope = _envelope("tellonce.alone", "Alone", [field.declaration])
        return WireSchema(schema_id=self.schema_id, fields=(field,), parsed=parse_avro(envelope))


def derive_envelope(record: RecordSchema, view: View) -> JsonObject:
    """The Avro schema of a view's messages.

    A row holds the view's fields and its match-only fields in the order of the record type's file, so that reordering
    them in the topology changes no byte.

    Raises:
        ConfigurationError: the view names a field that the record type lacks, or lists one as match-only that is not
            marked so in the schema, or the other way round.
    """
    by_name = {field.spec.name: field for field in record.fields}
    for name in (*view.fields, *view.match_only):
        if name not in by_name:
            raise _unknown_field(record, view, name)
    for name in view.match_only:
        if not by_name[name].spec.match_only:
            fix = f'declare it as array<string> with "match_only": true, or list it under fields of {view.name}'
            raise _refused(record, view, name, f"expected a match_only field, found an ordinary one; {fix}")
    for name in view.fields:
        if by_name[name].spec.match_only:
            fix = f"list it under match_only of {view.name}"
            problem = f"expected a field that a subscriber holds, found a match_only one; {fix}"
            raise _refused(record, view, name, problem)
    wanted = {*view.fields, *view.match_only}
    namespace = f"tellonce.{record.record_type}"
    fields = [field for field in record.fields if field.spec.name in wanted]
    for field in fields:
        _check_type_name(record, view, field)
    return _envelope(namespace, camel_case(view.short_name), _declarations(fields))


def row_record(envelope: JsonObject) -> JsonObject:
    """The record inside an envelope that is one row of the view.

    Raises:
        Refused: the schema is no envelope of ours.
    """
    match envelope:
        case {"fields": [{"name": "before", "type": ["null", dict() as row]}, *_]}:
            return row
        case _:
            raise Refused("expected an envelope that begins with before, found another schema")


def read_wire_schema(schema_id: int, envelope: JsonObject) -> WireSchema:
    """An envelope that was published under this id, ready to write and read by.

    Raises:
        Refused: the schema is not exactly an envelope of ours around fields of the allowed types.
    """
    return WireSchema(schema_id=schema_id, fields=row_fields(envelope), parsed=parse_avro(envelope))


def row_fields(envelope: JsonObject) -> tuple[FieldShape, ...]:
    """The fields of the rows that an envelope schema carries, in the order of the wire.

    Raises:
        Refused: the schema is not exactly an envelope of ours around fields of the allowed types.
    """
    row = row_record(envelope)
    namespace, name, declared = row.get("namespace"), row.get("name"), row.get("fields")
    if not isinstance(namespace, str) or not isinstance(name, str) or not isinstance(declared, list):
        raise Refused("expected the row to be a record with a namespace, found another schema")
    parse_avro(envelope)
    fields = read_fields(row, namespace)
    # A reader is compiled for the envelope as it is known here, so nothing else may stand under this id.
    if schema_identity(_envelope(namespace, name.removesuffix("Row"), declared)) != schema_identity(envelope):
        msg = "expected before, after, source, op and ts_ms as tellonce writes them, found another envelope"
        raise Refused(f"{msg}; where a release wrote it whose events bear no seal, remove the lock and make it anew")
    return fields


def _envelope(namespace: str, name: str, fields: list[Json]) -> JsonObject:
    row: JsonObject = {"type": "record", "name": f"{name}Row", "namespace": namespace, "fields": fields}
    source: JsonObject = {
        "type": "record",
        "name": "Source",
        "namespace": namespace,
        "fields": [{"name": field, "type": declared} for field, declared in _SOURCE_FIELDS],
    }
    return {
        "type": "record",
        "name": f"{name}Change",
        "namespace": namespace,
        "fields": [
            {"name": "before", "type": ["null", row], "default": None},
            {"name": "after", "type": ["null", f"{namespace}.{name}Row"], "default": None},
            {"name": "source", "type": source},
            {"name": "op", "type": "string"},
            {"name": "ts_ms", "type": "long"},
        ],
    }


def _declarations(fields: Sequence[FieldShape]) -> list[Json]:
    """Declarations of fields, a named type spelled out where it first occurs and named after that, as Avro demands."""
    seen: set[str] = set()
    declared: list[Json] = []
    for field in fields:
        declaration = dict(field.declaration)
        named = _type_name(field)
        if named in seen:
            declaration["type"] = ["null", named] if field.spec.nullable else named
        elif named is not None:
            seen.add(named)
        declared.append(declaration)
    return declared


def _type_name(field: FieldShape) -> str | None:
    declared = field.declaration["type"]
    inner = declared[1] if isinstance(declared, list) else declared
    if isinstance(inner, dict) and "name" in inner:
        return f"{inner['namespace']}.{inner['name']}"
    return None


def _check_type_name(record: RecordSchema, view: View, field: FieldShape) -> None:
    name = camel_case(view.short_name)
    taken = {f"tellonce.{record.record_type}.{part}" for part in (f"{name}Change", f"{name}Row", "Source")}
    if (named := _type_name(field)) in taken:
        problem = f"expected a type with a name of its own, found {named}, which the envelope uses; name it otherwise"
        raise _refused(record, view, field.spec.name, problem)


def _unknown_field(record: RecordSchema, view: View, name: str) -> ConfigurationError:
    names = [field.spec.name for field in record.fields]
    near = get_close_matches(name, names, n=1)
    fix = f"did you mean {near[0]}?" if near else f"it declares {', '.join(names)}"
    problem = f"view {view.name} names a field that the schema does not declare; {fix}"
    return _refused(record, view, name, problem)


def _refused(record: RecordSchema, view: View, name: str, problem: str) -> ConfigurationError:
    where = record.line_of(name)
    return ConfigurationError(f"{where}: field {name}: {problem}", file=str(record.file), field=name, view=view.name)
