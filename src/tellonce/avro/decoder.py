"""Generates the function that reads one schema's messages as the newest version of their view.

The writer's and the reader's schema are resolved once, here, and so is which fields are wanted.
What remains at run time is a straight line of reads and skips.
"""

import dataclasses
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import Context
from typing import cast

from tellonce.avro import wire
from tellonce.avro.encoder import source_bytes
from tellonce.avro.errors import UndecodableMessage
from tellonce.avro.eventrules import SourceNames
from tellonce.avro.fieldshape import FieldShape
from tellonce.avro.sourcecode import SourceCode
from tellonce.avro.values import EPOCH, EPOCH_ORDINAL, Wire
from tellonce.model.change import ChangeEvent, Operation, Origin
from tellonce.model.errors import InvariantError

__all__ = ["EXACT", "Decoder", "compile_decoder", "enum_reading", "most_decimal_bytes", "undecodable"]

Decoder = Callable[[bytes], ChangeEvent]

_LAST_OF_NUMBER = 0x7F

EXACT = Context(prec=1100)
"""A context in which the scale of no decimal that a schema allows is rounded away."""


class _Unfrozen:
    """An event under construction: the same slots, so that it can be told its class once they are filled.

    A frozen dataclass sets its 14 fields through `object.__setattr__`, which takes 1.9 microseconds against 0.2 this
    way, a tenth of all decoding. A field added to the event without being set here fails in every decode.
    """

    __slots__ = ChangeEvent.__slots__


def compile_decoder(
    written: Sequence[FieldShape],
    newest: Sequence[FieldShape],
    names: SourceNames,
    *,
    wanted: frozenset[str] | None,
    with_before: bool,
) -> Decoder:
    """The function that reads a whole framed message, or raises UndecodableMessage.

    `written` are the fields of the schema that the frame names, `newest` those of the view's newest version.
    A row has the latter's, in their order, with the default where the former lacks one.
    `wanted` narrows both rows to those fields; without `with_before` that side is skipped and None.
    A skipped field is checked for its length alone.
    The frame itself is the caller's to check; the function may be called from several threads.
    """
    kept = [field for field in newest if wanted is None or field.spec.name in wanted]
    code = SourceCode(_constants(names))
    with code.block("def decode(data):"):
        with code.block("try:"):
            code.line("pos = 5")
            _write_side(code, "before", written, kept if with_before else None)
            _write_side(code, "after", written, kept)
            _write_envelope(code, names)
        with code.block("except Damaged as damage:"):
            code.line("problem = damage.args[0]")
        with code.block("except IndexError:"):
            code.line("problem = 'it ends before its fields do'")
        with code.block("except UnicodeDecodeError:"):
            code.line("problem = 'a text is not UTF-8'")
        with code.block("except (ValueError, OverflowError):"):
            code.line("problem = 'a date or instant is outside the years 1 to 9999'")
        with code.block("except KeyError:"):
            code.line("problem = 'op or origin is none of the known codes'")
        # Raised outside the handlers, so that no exception that holds bytes of the message hangs on to this one.
        code.line("raise undecodable(data, problem)")
    return cast("Decoder", code.compile("decode", f"decoder of {names.view}"))


def undecodable(view: str, data: bytes, problem: str) -> UndecodableMessage:
    """What is said of a framed message that cannot be read; `problem` is why, without any of its bytes."""
    schema_id = int.from_bytes(data[1:5], "big")
    expected = f"expected a message of view {view}, schema {schema_id}, found {len(data)} bytes that are none"
    message = f"{expected}: {problem}; have the authority publish the record again"
    return UndecodableMessage(message, view=view, schema_id=schema_id, size_bytes=len(data))


def _constants(names: SourceNames) -> dict[str, object]:
    def refused(data: bytes, problem: str) -> UndecodableMessage:
        return undecodable(names.view, data, problem)

    return {
        "ChangeEvent": ChangeEvent,
        "Damaged": wire.Damaged,
        "EPOCH": EPOCH,
        "STEPS": wire.STEPS,
        "Unfrozen": _Unfrozen,
        "from_ordinal": date.fromordinal,
        "read_decimal": wire.read_decimal,
        "read_int": wire.read_int,
        "read_list": wire.read_list,
        "read_long": wire.read_long,
        "read_span": wire.read_span,
        "read_text": wire.read_text,
        "skip_list": wire.skip_list,
        "skip_long": wire.skip_long,
        "skip_span": wire.skip_span,
        "timedelta": timedelta,
        "undecodable": refused,
    }


def _write_side(code: SourceCode, side: str, written: Sequence[FieldShape], kept: Sequence[FieldShape] | None) -> None:
    """Write the lines that read one row, or skip it where `kept` is None, and set the variable `side`."""
    by_name = {field.spec.name: field for field in kept or ()}
    targets = {field.spec.name: f"{side[0]}{number}" for number, field in enumerate(written)}
    code.line("b = data[pos]")
    code.line("pos += 1")
    with code.block("if b == 2:"):
        for field in written:
            name = field.spec.name
            _write_field(code, field, targets[name] if name in by_name else None, by_name.get(name))
        if kept is not None:
            names = [(field.spec.name, targets.get(field.spec.name) or code.constant(field.default)) for field in kept]
            code.line(f"{side} = {{{', '.join(f'{name!r}: {target}' for name, target in names)}}}")
    with code.block("elif b:"):
        code.line(f"raise Damaged('{side} is neither null nor a row')")
    if kept is not None:
        with code.block("else:"):
            code.line(f"{side} = None")
    else:
        code.line(f"{side} = None")


def _write_field(code: SourceCode, field: FieldShape, target: str | None, reader: FieldShape | None) -> None:
    if not field.spec.nullable:
        _write_value(code, field, target, reader)
        return
    code.line("b = data[pos]")
    with code.block("if b == 2:"):
        code.line("pos += 1")
        _write_value(code, field, target, reader)
    with code.block("elif b:"):
        code.line(f"raise Damaged({f'{field.spec.name} is neither null nor a value'!r})")
    with code.block("else:"):
        code.line("pos += 1")
        if target is not None:
            code.line(f"{target} = None")


def _write_value(code: SourceCode, field: FieldShape, target: str | None, reader: FieldShape | None) -> None:
    """Write the lines that read the value at `pos`, which is not null, into `target`, or skip it where that is None."""
    if target is None or reader is None:
        _write_skip(code, field.value.wire)
        return
    match field.value.wire:
        case Wire.TEXT | Wire.BYTES:
            _write_bytes(code, target, ".decode()" if field.value.wire is Wire.TEXT else "")
        case Wire.INT | Wire.LONG:
            _write_number(code, target, field.value.wire)
        case Wire.BOOLEAN:
            _write_boolean(code, field.spec.name, target)
        case Wire.DATE:
            _write_number(code, "n", Wire.LONG)
            code.line(f"{target} = from_ordinal({EPOCH_ORDINAL} + n)")
        case Wire.INSTANT:
            code.line("n, pos = read_long(data, pos)")
            code.line(f"{target} = EPOCH + timedelta(0, 0, n * 1000)")
        case Wire.DECIMAL:
            _write_decimal(code, field, target)
        case Wire.ENUM:
            _write_enum(code, field, target, reader)
        case Wire.TEXT_LIST:
            with code.block("if data[pos]:"):
                code.line(f"{target}, pos = read_list(data, pos)")
            with code.block("else:"):
                code.line(f"{target} = ()")
                code.line("pos += 1")
        case _:
            raise InvariantError(f"expected a field that the compiler knows, found {field.value.wire}")


def _write_skip(code: SourceCode, kind: Wire) -> None:
    match kind:
        case Wire.TEXT | Wire.BYTES | Wire.DECIMAL:
            code.line("pos += STEPS[data[pos]] or skip_span(data, pos) - pos")
        case Wire.INT | Wire.LONG | Wire.DATE | Wire.INSTANT | Wire.ENUM:
            code.line(f"pos = skip_long(data, pos) if data[pos] > {_LAST_OF_NUMBER} else pos + 1")
        case Wire.BOOLEAN:
            code.line("pos += 1")
        case Wire.TEXT_LIST:
            code.line("pos = skip_list(data, pos) if data[pos] else pos + 1")
        case _:
            raise InvariantError(f"expected a field that the compiler knows, found {kind}")


def _write_bytes(code: SourceCode, target: str, converted: str) -> None:
    # A slice past the end comes out short and leaves `pos` past the end, where the next read raises IndexError: what
    # follows in the envelope always reads on, so no length needs a check of its own.
    code.line("n = STEPS[data[pos]]")
    with code.block("if n:"):
        code.line("n += pos")
        code.line(f"{target} = data[pos + 1:n]{converted}")
        code.line("pos = n")
    with code.block("else:"):
        code.line("n, pos = read_span(data, pos)")
        code.line(f"{target} = data[n:pos]{converted}")


def _write_number(code: SourceCode, target: str, kind: Wire) -> None:
    code.line("n = data[pos]")
    with code.block(f"if n > {_LAST_OF_NUMBER}:"):
        code.line(f"{target}, pos = {'read_int' if kind is Wire.INT else 'read_long'}(data, pos)")
    with code.block("else:"):
        code.line(f"{target} = (n >> 1) ^ -(n & 1)")
        code.line("pos += 1")


def _write_boolean(code: SourceCode, name: str, target: str) -> None:
    code.line("b = data[pos]")
    with code.block("if b > 1:"):
        code.line(f"raise Damaged({f'{name} is neither true nor false'!r})")
    code.line(f"{target} = b == 1")
    code.line("pos += 1")


def _write_decimal(code: SourceCode, field: FieldShape, target: str) -> None:
    digits_end, scale = 10 ** (field.spec.precision or 0), field.spec.scale or 0
    most = most_decimal_bytes(field.spec.precision or 0)
    _write_bytes(code, "t", "")
    code.line(f"{target} = read_decimal(t, {code.constant(digits_end)}, {most}, {scale}, {code.constant(EXACT)})")


def most_decimal_bytes(precision: int) -> int:
    """How many bytes the longest unscaled number of so many digits takes, and one that a writer may pad it with."""
    return (cast("int", 10**precision).bit_length() + 8) >> 3


def _write_enum(code: SourceCode, field: FieldShape, target: str, reader: FieldShape) -> None:
    symbols = tuple(enum_reading(field, reader).values())
    _write_number(code, "n", Wire.INT)
    with code.block(f"if not 0 <= n < {len(symbols)}:"):
        code.line(f"raise Damaged({f'{field.spec.name} is none of its symbols'!r})")
    code.line(f"{target} = {code.constant(symbols)}[n]")
    if None in symbols:
        with code.block(f"if {target} is None:"):
            code.line(f"raise Damaged({f'{field.spec.name} is a symbol that the newest version dropped'!r})")


def enum_reading(field: FieldShape, reader: FieldShape) -> dict[str, str | None]:
    """What the reader takes each of the writer's symbols for; None where it has neither the symbol nor a default.

    Avro 1.12, "Schema Resolution": a symbol that the reader does not know becomes the reader's default.
    """
    known = reader.value.symbols
    return {symbol: symbol if symbol in known else reader.enum_default for symbol in field.value.symbols}


def _write_envelope(code: SourceCode, names: SourceNames) -> None:
    """Write the lines that read what follows the rows, and return the event."""
    begin = source_bytes(names)
    with code.block(f"if data.startswith({code.constant(begin)}, pos):"):
        code.line(f"department = {code.constant(names.department)}")
        code.line(f"pos += {len(begin)}")
    with code.block("else:"):
        # A record type may have had another authority once; another view's message is none of ours.
        code.line("department, pos = read_text(data, pos)")
        rest = source_bytes(SourceNames(department="", record_type=names.record_type, view=names.view))[1:]
        with code.block(f"if not data.startswith({code.constant(rest)}, pos):"):
            code.line("raise Damaged('its source names another record type or view')")
        code.line(f"pos += {len(rest)}")
    _write_bytes(code, "record_key", ".decode()")
    for name in ("epoch", "version", "sequence"):
        _write_number(code, name, Wire.LONG)
    # Codes are looked up as they lie on the wire, length and all.
    origins = {_coded(origin): origin for origin in Origin}
    code.line("n = pos + 1 + (data[pos] >> 1)")
    code.line(f"origin = {code.constant(origins)}[data[pos:n]]")
    code.line("pos = n")
    code.line("committed_at_ms, pos = read_long(data, pos)")
    operations = {_coded(operation): operation for operation in Operation}
    code.line(f"op = {code.constant(operations)}[data[pos:pos + 2]]")
    code.line("published_at_ms, pos = read_long(data, pos + 2)")
    with code.block("if pos != len(data):"):
        code.line("raise Damaged('bytes follow its end')")
    known = {"record_type": code.constant(names.record_type), "view": code.constant(names.view)}
    code.line("event = Unfrozen()")
    for field in dataclasses.fields(ChangeEvent):
        code.line(f"event.{field.name} = {known.get(field.name, field.name)}")
    code.line("event.__class__ = ChangeEvent")
    code.line("return event")


def _coded(code: str) -> bytes:
    written = code.encode()
    return wire.length_bytes(len(written)) + written
