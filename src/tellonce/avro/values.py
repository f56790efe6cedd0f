"""Which values a type can hold, said in words that never repeat the value.

The compiled encoder is the fast form of the same rules.
It comes here only once it has refused, to learn which field and why.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation
from enum import StrEnum
from functools import lru_cache
from typing import cast

from tellonce.avro.jsonvalue import Json
from tellonce.model.change import Value

__all__ = [
    "EPOCH",
    "EPOCH_ORDINAL",
    "FIRST_INSTANT",
    "INT_RANGE",
    "LAST_INSTANT",
    "LONG_RANGE",
    "ValueShape",
    "Wire",
    "default_from_json",
    "refusal",
    "unscaled",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A zone can put an instant outside the years that a reader's datetime in UTC can hold.
FIRST_INSTANT = datetime.min.replace(tzinfo=UTC)
LAST_INSTANT = datetime.max.replace(tzinfo=UTC)
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
INT_RANGE = range(-(2**31), 2**31)
LONG_RANGE = range(-(2**63), 2**63)


class Wire(StrEnum):
    """How a value lies on the wire."""

    TEXT = "string"
    INT = "int"
    LONG = "long"
    BOOLEAN = "boolean"
    BYTES = "bytes"
    ENUM = "enum"
    FIXED = "fixed"
    DECIMAL = "decimal"
    FIXED_DECIMAL = "decimal on fixed"
    DATE = "date"
    INSTANT = "timestamp-millis"
    TEXT_LIST = "array of strings"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueShape:
    """The type of a value, apart from the name of the field that holds it."""

    wire: Wire
    nullable: bool = False
    precision: int | None = None
    scale: int | None = None
    size: int | None = None
    """Of fixed, in bytes."""
    symbols: tuple[str, ...] = ()


def refusal(shape: ValueShape, value: object) -> str | None:
    """Why a value is none of this type, as `expected …, found …`; None if it is one."""
    if value is None:
        return None if shape.nullable else f"expected {_name(shape)}, found null"
    return _REFUSALS[shape.wire](shape, value)


def unscaled(value: Decimal, precision: int, scale: int) -> int:
    """The whole number that stands for a decimal on the wire: the value times ten to the power of `scale`.

    Raises:
        ValueError: the value is not finite, has more than `scale` fractional digits or more than `precision` digits.
    """
    context, smallest = _exact(precision, scale)
    try:
        return int(value.quantize(smallest, context=context).scaleb(scale, context))
    except (DecimalException, ValueError, OverflowError):
        raise ValueError("a decimal that does not fit") from None


@lru_cache(maxsize=256)
def _exact(precision: int, scale: int) -> tuple[Context, Decimal]:
    # Inexact is trapped and nothing else is rounded away, so a value that does not fit is never cut to one that does.
    return Context(prec=precision, traps=[Inexact, InvalidOperation]), Decimal((0, (1,), -scale))


def default_from_json(shape: ValueShape, written: Json) -> Value:
    """The value that a field's default stands for, in the JSON form of the Avro specification ("Schema Declaration").

    Raises:
        ValueError: the default is none of this type.
    """
    if shape.nullable:
        # A default belongs to a union's first branch, and that is null in the only union allowed.
        if written is not None:
            raise ValueError("another value than null in a union that begins with null")
        return None
    value = _from_json(shape, written)
    refused = refusal(shape, value)
    if refused is not None:
        raise ValueError(refused.partition("found ")[2])
    return value


def _from_json(shape: ValueShape, written: Json) -> Value:
    match shape.wire:
        case Wire.BYTES | Wire.FIXED | Wire.DECIMAL | Wire.FIXED_DECIMAL:
            # Avro writes bytes as text whose code points 0-255 are the bytes.
            raw = written.encode("latin-1") if isinstance(written, str) and _is_latin(written) else None
            if raw is None or shape.wire in (Wire.BYTES, Wire.FIXED):
                return raw
            return Decimal(int.from_bytes(raw, "big", signed=True)).scaleb(-(shape.scale or 0), Context(prec=1000))
        case Wire.DATE | Wire.INSTANT:
            if isinstance(written, bool) or not isinstance(written, int):
                return None
            return _day_or_instant(shape.wire, written)
        case Wire.TEXT_LIST:
            return _texts(written)
        case _:
            return None if isinstance(written, (list, dict, float)) else written


def _day_or_instant(wire: Wire, number: int) -> Value:
    try:
        if wire is Wire.DATE:
            return date.fromordinal(EPOCH_ORDINAL + number)
        return EPOCH + timedelta(milliseconds=number)
    except (ValueError, OverflowError):
        return None


def _is_latin(text: str) -> bool:
    return all(character <= "\xff" for character in text)


def _texts(written: Json) -> tuple[str, ...] | None:
    if not isinstance(written, list):
        return None
    texts = tuple(item for item in written if isinstance(item, str))
    return texts if len(texts) == len(written) else None


def _name(shape: ValueShape) -> str:
    if shape.wire in (Wire.DECIMAL, Wire.FIXED_DECIMAL):
        return f"decimal({shape.precision}, {shape.scale})"
    if shape.wire is Wire.FIXED:
        return f"fixed of {shape.size} bytes"
    return str(shape.wire)


def _found(shape: ValueShape, value: object) -> str:
    # The type's name, never its repr: an error message holds no personal data.
    return f"expected {_name(shape)}, found {type(value).__name__}"


def _text_refusal(_: ValueShape, value: object) -> str | None:
    if not isinstance(value, str):
        return f"expected string, found {type(value).__name__}"
    if any("\ud800" <= character <= "\udfff" for character in value):
        return "expected Unicode text, found half of a surrogate pair"
    return None


def _integer_refusal(shape: ValueShape, value: object) -> str | None:
    # A bool is an int to Python, and 1 is not what a person meant by true.
    if type(value) is not int:
        return _found(shape, value)
    bits = 32 if shape.wire is Wire.INT else 64
    if value not in (INT_RANGE if shape.wire is Wire.INT else LONG_RANGE):
        return f"expected {shape.wire}, found a number of more than {bits} bits"
    return None


def _boolean_refusal(shape: ValueShape, value: object) -> str | None:
    return None if isinstance(value, bool) else _found(shape, value)


def _bytes_refusal(shape: ValueShape, value: object) -> str | None:
    return None if isinstance(value, bytes) else _found(shape, value)


def _fixed_refusal(shape: ValueShape, value: object) -> str | None:
    if not isinstance(value, bytes):
        return _found(shape, value)
    return None if len(value) == shape.size else f"expected {_name(shape)}, found {len(value)}"


def _enum_refusal(shape: ValueShape, value: object) -> str | None:
    if not isinstance(value, str):
        return _found(shape, value)
    return None if value in shape.symbols else "expected a symbol of the enum, found another text"


def _decimal_refusal(shape: ValueShape, value: object) -> str | None:
    if not isinstance(value, Decimal):
        return _found(shape, value)
    try:
        unscaled(value, shape.precision or 0, shape.scale or 0)
    except ValueError:
        return f"expected {_name(shape)}, found a decimal that does not fit exactly"
    return None


def _date_refusal(shape: ValueShape, value: object) -> str | None:
    # A datetime is a date to Python; writing it would drop the time.
    return None if isinstance(value, date) and not isinstance(value, datetime) else _found(shape, value)


def _instant_refusal(shape: ValueShape, value: object) -> str | None:
    if not isinstance(value, datetime):
        return _found(shape, value)
    if value.utcoffset() is None:
        return "expected an instant with a time zone, found one without"
    if (value - EPOCH).microseconds % 1000:
        return "expected an instant in whole milliseconds, found a finer one"
    if not FIRST_INSTANT <= value <= LAST_INSTANT:
        return "expected an instant within the years 1 to 9999 in UTC, found another"
    return None


def _list_refusal(shape: ValueShape, value: object) -> str | None:
    if not isinstance(value, tuple):
        return _found(shape, value)
    refusals = (_text_refusal(shape, item) for item in cast("tuple[object, ...]", value))
    return next((f"{refused} in the list" for refused in refusals if refused is not None), None)


_REFUSALS: dict[Wire, Callable[[ValueShape, object], str | None]] = {
    Wire.TEXT: _text_refusal,
    Wire.INT: _integer_refusal,
    Wire.LONG: _integer_refusal,
    Wire.BOOLEAN: _boolean_refusal,
    Wire.BYTES: _bytes_refusal,
    Wire.ENUM: _enum_refusal,
    Wire.FIXED: _fixed_refusal,
    Wire.DECIMAL: _decimal_refusal,
    Wire.FIXED_DECIMAL: _decimal_refusal,
    Wire.DATE: _date_refusal,
    Wire.INSTANT: _instant_refusal,
    Wire.TEXT_LIST: _list_refusal,
}
