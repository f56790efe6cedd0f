"""Generates the function that writes one view's change events."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import cast

from tellonce.avro import wire
from tellonce.avro.eventrules import SourceNames, event_refusal
from tellonce.avro.fieldshape import FieldShape
from tellonce.avro.sourcecode import SourceCode
from tellonce.avro.values import EPOCH_ORDINAL, ValueShape, Wire
from tellonce.model.change import ChangeEvent, Operation, Origin
from tellonce.model.errors import InvariantError

__all__ = ["MAGIC", "Encoder", "compile_encoder", "frame_head", "source_bytes"]

Encoder = Callable[[ChangeEvent], bytes]

MAGIC = b"\x00"
"""The byte that begins a Confluent frame; the schema's id follows in four bytes, big-endian."""

# All that generated code can raise on a value of the wrong type or outside its range.
_REFUSALS = (wire.Unfit, TypeError, ValueError, KeyError)


def frame_head(schema_id: int) -> bytes:
    """The bytes of a Confluent frame in front of the body."""
    return MAGIC + schema_id.to_bytes(4, "big")


def source_bytes(names: SourceNames) -> bytes:
    """The three names as they begin `source` on the wire."""
    return b"".join(_text_bytes(name) for name in (names.department, names.record_type, names.view))


def compile_encoder(fields: Sequence[FieldShape], names: SourceNames, schema_id: int) -> Encoder:
    """The function that writes an event as a framed message, or raises CannotEncode naming the field that does not fit.

    It demands exactly the view's fields in `before` and `after`, and checks each value.
    Handed another view's event it raises InvariantError.
    It may be called from several threads.
    Which shapes of field it knows is for `tellonce.avro.codec` to say.
    """
    code = SourceCode(
        {
            "Unfit": wire.Unfit,
            "REFUSALS": _REFUSALS,
            "date": date,
            "to_ordinal": date.toordinal,
            "encode_text": str.encode,
            "NUMBERS": wire.NUMBERS,
            "PRESENT_LENGTHS": wire.PRESENT_LENGTHS,
            "long_bytes": wire.long_bytes,
            "int_bytes": wire.int_bytes,
            "list_bytes": wire.list_bytes,
            "day_number": wire.day_number,
            "instant_number": wire.instant_number,
            "decimal_bytes": wire.decimal_bytes,
            "text_bytes": _text_bytes,
            "explain": _explainer(fields, names),
        }
    )
    _write_row_function(code, fields)
    _write_event_function(code, names, schema_id)
    return cast("Encoder", code.compile("encode", f"encoder of {names.view}, schema {schema_id}"))


def _write_row_function(code: SourceCode, fields: Sequence[FieldShape]) -> None:
    with code.block("def encode_row(row):"):
        with code.block(f"if len(row) != {len(fields)}:"):
            code.line("raise Unfit")
        for number, field in enumerate(fields):
            code.line(f"v = row[{field.spec.name!r}]")
            _write_field(code, field.value, f"a{number}")
        code.line(f"return b''.join(({', '.join(f'a{number}' for number in range(len(fields)))},))")


def _write_field(code: SourceCode, shape: ValueShape, target: str) -> None:
    if not shape.nullable:
        _write_value(code, shape, target, "")
        return
    with code.block("if v is None:"):
        code.line(f"{target} = b'\\x00'")
    with code.block("else:"):
        _write_value(code, shape, target, "b'\\x02' + ")


def _write_value(code: SourceCode, shape: ValueShape, target: str, present: str) -> None:
    """Write the lines that set `target` to the bytes of `v`, which is not null, behind the `present` of a union."""
    match shape.wire:
        case Wire.TEXT:
            code.line("t = encode_text(v)")
            _write_prefixed(code, target, present)
        case Wire.BYTES:
            with code.block("if not isinstance(v, bytes):"):
                code.line("raise Unfit")
            code.line("t = v")
            _write_prefixed(code, target, present)
        case Wire.INT | Wire.LONG:
            with code.block("if v.__class__ is not int:"):
                code.line("raise Unfit")
            write = "int_bytes" if shape.wire is Wire.INT else "long_bytes"
            code.line(f"{target} = {present}(NUMBERS[v] if 0 <= v < {len(wire.NUMBERS)} else {write}(v))")
        case Wire.BOOLEAN:
            with code.block("if v is not True and v is not False:"):
                code.line("raise Unfit")
            code.line(f"{target} = {present}(b'\\x01' if v else b'\\x00')")
        case Wire.DATE:
            code.line(f"n = to_ordinal(v) - {EPOCH_ORDINAL} if v.__class__ is date else day_number(v)")
            code.line(f"{target} = {present}long_bytes(n)")
        case Wire.INSTANT:
            code.line(f"{target} = {present}long_bytes(instant_number(v))")
        case Wire.DECIMAL:
            code.line(f"{target} = {present}decimal_bytes(v, {shape.precision}, {shape.scale})")
        case Wire.ENUM:
            symbols = code.constant({symbol: wire.length_bytes(index) for index, symbol in enumerate(shape.symbols)})
            code.line(f"{target} = {present}{symbols}[v]")
        case Wire.TEXT_LIST:
            code.line(f"{target} = {present}list_bytes(v)")
        case _:
            raise InvariantError(f"expected a field that the compiler knows, found {shape.wire}")


def _write_prefixed(code: SourceCode, target: str, present: str) -> None:
    table = "PRESENT_LENGTHS" if present else "NUMBERS"
    code.line("n = len(t)")
    code.line(f"{target} = ({table}[n] if n < {len(wire.NUMBERS)} else {present}long_bytes(n)) + t")


def _write_event_function(code: SourceCode, names: SourceNames, schema_id: int) -> None:
    head = code.constant(frame_head(schema_id))
    view, record_type = code.constant(names.view), code.constant(names.record_type)
    department, source = code.constant(names.department), code.constant(source_bytes(names))
    rest = code.constant(source_bytes(SourceNames(department="", record_type=names.record_type, view=names.view))[1:])
    operations = code.constant({operation: _text_bytes(operation) for operation in Operation})
    origins = code.constant({origin: _text_bytes(origin) for origin in Origin})
    with code.block("def encode(event):"):
        with code.block("try:"):
            with code.block(f"if event.view != {view} or event.record_type != {record_type}:"):
                code.line("raise Unfit")
            code.line("before = event.before")
            code.line("after = event.after")
            for name in ("epoch", "version", "sequence", "committed_at_ms", "published_at_ms"):
                code.line(f"{name} = event.{name}")
                with code.block(f"if {name}.__class__ is not int:"):
                    code.line("raise Unfit")
            same = f"event.department == {department}"
            with code.block("return b''.join(("):
                code.line(f"{head},")
                code.line("b'\\x00' if before is None else b'\\x02' + encode_row(before),")
                code.line("b'\\x00' if after is None else b'\\x02' + encode_row(after),")
                code.line(f"{source} if {same} else text_bytes(event.department) + {rest},")
                code.line("text_bytes(event.record_key),")
                code.line("long_bytes(epoch), long_bytes(version), long_bytes(sequence),")
                code.line(f"{origins}[event.origin],")
                code.line("long_bytes(committed_at_ms),")
                code.line(f"{operations}[event.op],")
                code.line("long_bytes(published_at_ms),")
            code.line("))")
        # Raised outside the handler: the first exception may hold the value, and must not hang on to this one.
        with code.block("except REFUSALS:"):
            code.line("pass")
        code.line("raise explain(event)")


def _text_bytes(text: str) -> bytes:
    written = str.encode(text)
    return wire.length_bytes(len(written)) + written


def _explainer(fields: Sequence[FieldShape], names: SourceNames) -> Callable[[ChangeEvent], Exception]:
    refused = event_refusal(fields, names)

    def explain(event: ChangeEvent) -> Exception:
        said = f"the encoder of {names.view} refused an event that its rules allow"
        return refused(event) or InvariantError(said, view=names.view)

    return explain
