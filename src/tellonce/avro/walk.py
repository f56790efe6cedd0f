"""A walk through the bytes of a message before a library sees them.

It finds what fastavro would take wrongly or pay for: a length or a count of more than is left, a number of more bits
than its type, a boolean or a branch of a union that is none, a decimal of more digits than its precision.
"""

from collections.abc import Callable, Sequence

from tellonce.avro import wire
from tellonce.avro.decoder import EXACT, most_decimal_bytes
from tellonce.avro.fieldshape import FieldShape
from tellonce.avro.values import ValueShape, Wire
from tellonce.avro.wire import Damaged

__all__ = ["walk_message"]

_PRESENT = 2

# The kinds of the envelope's fields behind the rows, in their order.
_TAIL = (
    *(Wire.TEXT,) * 4,
    *(Wire.LONG,) * 3,
    Wire.TEXT,
    Wire.LONG,
    Wire.TEXT,
    Wire.LONG,
)


def walk_message(fields: Sequence[FieldShape], data: bytes, pos: int) -> None:
    """Returns where the bytes from `pos` on are one message of rows of these fields, to the last byte.

    Texts are looked at for their length alone.

    Raises:
        Damaged: they are not; the text is the reason.
        IndexError: they end before.
    """
    for side in ("before", "after"):
        is_there, pos = _branch(data, pos, f"{side} is neither null nor a row")
        if is_there:
            for field in fields:
                pos = _walk_field(field, data, pos)
    for kind in _TAIL:
        pos = _walk_value(ValueShape(wire=kind), "the envelope", data, pos)
    if pos != len(data):
        raise Damaged("bytes follow its end")


def _walk_field(field: FieldShape, data: bytes, pos: int) -> int:
    name = field.spec.name
    if field.spec.nullable:
        is_there, pos = _branch(data, pos, f"{name} is neither null nor a value")
        if not is_there:
            return pos
    return _walk_value(field.value, name, data, pos)


def _branch(data: bytes, pos: int, problem: str) -> tuple[bool, int]:
    branch = data[pos]
    if branch not in (0, _PRESENT):
        raise Damaged(problem)
    return branch == _PRESENT, pos + 1


def _walk_value(shape: ValueShape, name: str, data: bytes, pos: int) -> int:
    """The position behind a value that is not null."""
    try:
        return _WALKS[shape.wire](shape, data, pos)
    except _NoValueError as error:
        raise Damaged(f"{name} is {error}") from None


class _NoValueError(Exception):
    """The text completes a sentence that begins with the field's name."""


def _walk_span(_: ValueShape, data: bytes, pos: int) -> int:
    return _within(data, wire.skip_span(data, pos))


def _walk_int(_: ValueShape, data: bytes, pos: int) -> int:
    return wire.read_int(data, pos)[1]


def _walk_long(_: ValueShape, data: bytes, pos: int) -> int:
    return wire.skip_long(data, pos)


def _walk_boolean(_: ValueShape, data: bytes, pos: int) -> int:
    if data[pos] > 1:
        raise _NoValueError("neither true nor false")
    return pos + 1


def _walk_enum(shape: ValueShape, data: bytes, pos: int) -> int:
    number, pos = wire.read_int(data, pos)
    if not 0 <= number < len(shape.symbols):
        raise _NoValueError("none of its symbols")
    return pos


def _walk_fixed(shape: ValueShape, data: bytes, pos: int) -> int:
    return _within(data, pos + (shape.size or 0))


def _walk_decimal(shape: ValueShape, data: bytes, pos: int) -> int:
    begin, end = wire.read_span(data, pos)
    precision = shape.precision or 0
    raw = data[begin : _within(data, end)]
    wire.read_decimal(raw, 10**precision, most_decimal_bytes(precision), shape.scale or 0, EXACT)
    return end


def _walk_fixed_decimal(shape: ValueShape, data: bytes, pos: int) -> int:
    size = shape.size or 0
    end = _within(data, pos + size)
    wire.read_decimal(data[pos:end], 10 ** (shape.precision or 0), size, shape.scale or 0, EXACT)
    return end


def _walk_list(_: ValueShape, data: bytes, pos: int) -> int:
    # Its count says nothing of its size in bytes to a library, so each text of it is looked at.
    return _within(data, wire.read_list(data, pos)[1])


def _within(data: bytes, end: int) -> int:
    if end > len(data):
        raise IndexError
    return end


_WALKS: dict[Wire, Callable[[ValueShape, bytes, int], int]] = {
    Wire.TEXT: _walk_span,
    Wire.INT: _walk_int,
    Wire.LONG: _walk_long,
    Wire.BOOLEAN: _walk_boolean,
    Wire.BYTES: _walk_span,
    Wire.ENUM: _walk_enum,
    Wire.FIXED: _walk_fixed,
    Wire.DECIMAL: _walk_decimal,
    Wire.FIXED_DECIMAL: _walk_fixed_decimal,
    Wire.DATE: _walk_long,
    Wire.INSTANT: _walk_long,
    Wire.TEXT_LIST: _walk_list,
}
