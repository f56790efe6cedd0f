"""Writes and reads by fastavro the messages of a schema that has a field of a shape the compiler does not know.

fastavro trusts what it is given: it cuts a number that is too large, takes symbol -1 for the last one, and rounds a
decimal of 200,000 bytes to its precision after seconds of work.
So an event is held against the same rules as a compiled encoder's before it is written, and the bytes of a message are
walked through, length by length, before fastavro sees them.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from io import BytesIO
from typing import cast

from fastavro import (
    schemaless_reader,  # pyright: ignore[reportUnknownVariableType] - its stubs say IO without of what
    schemaless_writer,  # pyright: ignore[reportUnknownVariableType] - the same
)

from tellonce.avro.decoder import EXACT, Decoder, enum_reading, undecodable
from tellonce.avro.derive import WireSchema
from tellonce.avro.encoder import Encoder, frame_head
from tellonce.avro.eventrules import SourceNames, event_refusal
from tellonce.avro.fieldshape import FieldShape
from tellonce.avro.values import Wire, unscaled
from tellonce.avro.walk import walk_message
from tellonce.avro.wire import Damaged
from tellonce.model.change import ChangeEvent, Fields, Operation, Origin, Value
from tellonce.model.errors import InvariantError

__all__ = ["fastavro_bytes", "fastavro_decoder", "fastavro_encoder", "resolve_row"]

_HEAD_BYTES = 5
# What fastavro raises on data it cannot write or read: it has no exception of its own for either.
_LIBRARY_ERRORS = (ArithmeticError, AttributeError, EOFError, LookupError, TypeError, ValueError)

_OPERATIONS = {str(operation): operation for operation in Operation}
_ORIGINS = {str(origin): origin for origin in Origin}


def fastavro_encoder(schema: WireSchema, names: SourceNames) -> Encoder:
    """The function that writes an event as a framed message, or raises what a compiled encoder would."""
    refused = event_refusal(schema.fields, names)

    def encode(event: ChangeEvent) -> bytes:
        problem = refused(event)
        if problem is not None:
            raise problem
        try:
            return fastavro_bytes(schema, event)
        except _LIBRARY_ERRORS:
            pass
        # Raised outside the handler, so that an exception that may hold a value does not hang on to this one.
        raise InvariantError(f"fastavro refused an event that the rules of {names.view} allow", view=names.view)

    return encode


def fastavro_bytes(schema: WireSchema, event: ChangeEvent) -> bytes:
    """The framed message as fastavro writes it, of an event that fits the schema."""
    out = BytesIO()
    out.write(frame_head(schema.schema_id))
    record = {
        "before": _datum_row(schema.fields, event.before),
        "after": _datum_row(schema.fields, event.after),
        "source": {
            "department": event.department,
            "record_type": event.record_type,
            "view": event.view,
            "record_key": event.record_key,
            "epoch": event.epoch,
            "version": event.version,
            "sequence": event.sequence,
            "origin": str(event.origin),
            "ts_ms": event.committed_at_ms,
        },
        "op": str(event.op),
        "ts_ms": event.published_at_ms,
    }
    schemaless_writer(out, schema.parsed, record, strict=True, disable_tuple_notation=True)
    return out.getvalue()


def fastavro_decoder(
    written: WireSchema,
    newest: Sequence[FieldShape],
    names: SourceNames,
    *,
    wanted: frozenset[str] | None,
    with_before: bool,
) -> Decoder:
    """The function that reads a whole framed message, or raises UndecodableMessage.

    Its result is that of a compiled decoder; it only looks at fields that are not wanted too, so it may refuse what a
    compiled one would skip.
    """
    kept = [field for field in newest if wanted is None or field.spec.name in wanted]

    def read(data: bytes) -> ChangeEvent:
        walk_message(written.fields, data, _HEAD_BYTES)
        stream = BytesIO(data)
        stream.seek(_HEAD_BYTES)
        record = cast("dict[str, object]", schemaless_reader(stream, written.parsed, None))
        if stream.tell() != len(data):
            raise Damaged("fastavro finds its end elsewhere")
        source = cast("dict[str, object]", record["source"])
        if (source["record_type"], source["view"]) != (names.record_type, names.view):
            raise Damaged("its source names another record type or view")
        return _event(record, source, kept, written.fields, with_before=with_before)

    def decode(data: bytes) -> ChangeEvent:
        try:
            return read(data)
        except Damaged as damage:
            problem = str(damage)
        except IndexError:
            problem = "it ends before its fields do"
        except UnicodeDecodeError:
            problem = "a text is not UTF-8"
        except _LIBRARY_ERRORS:
            problem = "fastavro finds a value that is none of its type"
        # Raised outside the handlers, so that no exception that holds bytes of the message hangs on to this one.
        raise undecodable(names.view, data, problem)

    return decode


def resolve_row(row: Fields | None, written: Sequence[FieldShape], kept: Sequence[FieldShape]) -> Fields | None:
    """A row of the written fields as a row of the kept: defaults for what is new, and known symbols for others.

    Not left to fastavro, which gives a default as the schema's JSON has it, a date as a number.

    Raises:
        Damaged: the row has a symbol that the kept field neither has nor has a default for.
    """
    if row is None:
        return None
    by_name = {field.spec.name: field for field in written}
    return {
        field.spec.name: _resolved(row[field.spec.name], by_name[field.spec.name], field)
        if field.spec.name in by_name
        else field.default
        for field in kept
    }


def _resolved(value: Value, written: FieldShape, kept: FieldShape) -> Value:
    if written.value.wire is not Wire.ENUM or value is None:
        return value
    symbol = enum_reading(written, kept)[cast("str", value)]
    if symbol is None:
        raise Damaged(f"{kept.spec.name} is a symbol that the newest version dropped")
    return symbol


def _event(
    record: Mapping[str, object],
    source: Mapping[str, object],
    kept: Sequence[FieldShape],
    written: Sequence[FieldShape],
    *,
    with_before: bool,
) -> ChangeEvent:
    numbers, texts = cast("dict[str, int]", source), cast("dict[str, str]", source)
    operation, origin = _OPERATIONS.get(cast("str", record["op"])), _ORIGINS.get(texts["origin"])
    if operation is None or origin is None:
        raise Damaged("op or origin is none of the known codes")
    return ChangeEvent(
        op=operation,
        department=texts["department"],
        record_type=texts["record_type"],
        view=texts["view"],
        record_key=texts["record_key"],
        epoch=numbers["epoch"],
        version=numbers["version"],
        sequence=numbers["sequence"],
        origin=origin,
        committed_at_ms=numbers["ts_ms"],
        published_at_ms=cast("int", record["ts_ms"]),
        before=resolve_row(_value_row(record["before"]), written, kept) if with_before else None,
        after=resolve_row(_value_row(record["after"]), written, kept),
    )


def _value_row(row: object) -> Fields | None:
    if row is None:
        return None
    values = {
        name: tuple(cast("list[str]", value)) if isinstance(value, list) else value
        for name, value in cast("dict[str, object]", row).items()
    }
    return cast("Fields", values)


def _datum_row(fields: Sequence[FieldShape], row: Fields | None) -> dict[str, object] | None:
    return None if row is None else {field.spec.name: _datum(field, row[field.spec.name]) for field in fields}


def _datum(field: FieldShape, value: Value) -> object:
    """The value as fastavro takes it: a list as a list, and a decimal with exactly the digits of its scale."""
    match value:
        case tuple():
            return list(value)
        case Decimal():
            precision, scale = field.value.precision or 0, field.value.scale or 0
            return EXACT.scaleb(Decimal(unscaled(value, precision, scale)), -scale)
        case _:
            return value
