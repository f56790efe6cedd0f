"""Codecs for whole and decimal numbers."""

import re
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import ClassVar

from tellonce.avro.fields import Kind
from tellonce.declare.codec import CannotHold, Codec, Raw, Undecodable, kind_of, whole_number
from tellonce.model.change import Value
from tellonce.model.errors import ConfigurationError

__all__ = ["DecimalCodec", "IntegerCodec", "decimal", "integer"]

_LEAST = -(2**63)
_MOST = 2**63 - 1
"""The range of Avro's `long`, in which integers travel."""

_MOST_PRECISE = 1000
"""PostgreSQL's highest declared precision of NUMERIC."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,1000}(\.[0-9]{1,1000})?")


@dataclass(frozen=True, slots=True)
class IntegerCodec(Codec):
    """Whole numbers; see `integer`."""

    kind: ClassVar[Kind] = Kind.INTEGER

    min: int = _LEAST
    max: int = _MOST

    def decode(self, raw: Raw) -> Value:
        """Gives the number, also from text of digits and from a decimal or floating number without a fraction."""
        if raw is None:
            return None
        value = whole_number(raw)
        if isinstance(raw, str) and _WHOLE.fullmatch(raw.strip(" ")):
            value = int(raw)
        if value is None or not _LEAST <= value <= _MOST:
            raise Undecodable(f"expected a whole number of at most 64 bits, found {kind_of(raw)} that is none")
        return value

    def encode(self, value: Value) -> Raw:
        """Gives the number itself, once it is known to be in range."""
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise CannotHold(f"a column of whole numbers was given {kind_of(value)}")
        if not self.min <= value <= self.max:
            raise CannotHold(f"the column holds whole numbers from {self.min} to {self.max}; the value is outside")
        return value


def integer(min: int = _LEAST, max: int = _MOST) -> IntegerCodec:  # noqa: A002 (the form's own words)
    """Declares a column of whole numbers from `min` to `max`, both included; 64 bits if not said.

    Raises:
        ConfigurationError: `min` is above `max`.
    """
    if min > max:
        raise ConfigurationError(f"expected min <= max for a column of whole numbers, found {min} and {max}")
    return IntegerCodec(min, max)


@dataclass(frozen=True, slots=True)
class DecimalCodec(Codec):
    """Exact decimal numbers; see `decimal`."""

    kind: ClassVar[Kind] = Kind.DECIMAL

    precision: int
    scale: int

    def _fit(self, number: Decimal) -> Decimal | None:
        if not number.is_finite():
            return None
        exact = Context(prec=self.precision, traps=[Inexact, InvalidOperation])
        try:
            fitted = number.quantize(Decimal(1).scaleb(-self.scale), context=exact)
        except (Inexact, InvalidOperation):
            return None
        # Decimal keeps a minus on zero; the shared form has one zero only.
        return fitted or abs(fitted)

    def decode(self, raw: Raw) -> Value:
        """Gives the number with `scale` digits after the point, from text and a floating number's shortest form."""
        if raw is None:
            return None
        number: Decimal | None = None
        if isinstance(raw, Decimal):
            number = raw
        elif isinstance(raw, float):
            number = Decimal(repr(raw))
        elif isinstance(raw, int) and not isinstance(raw, bool):
            number = Decimal(raw)
        elif isinstance(raw, str) and _DECIMAL.fullmatch(raw.strip(" ")):
            number = Decimal(raw.strip(" "))
        fitted = None if number is None else self._fit(number)
        if fitted is None:
            raise Undecodable(
                f"expected a number of {self.precision} digits, {self.scale} of them after the point, "
                f"found {kind_of(raw)} that is none"
            )
        return fitted

    def encode(self, value: Value) -> Raw:
        """Gives the number with exactly `scale` digits after the point; it is never rounded."""
        if value is None:
            return None
        if not isinstance(value, Decimal):
            raise CannotHold(f"a column of decimal numbers was given {kind_of(value)}")
        fitted = self._fit(value)
        if fitted is None:
            raise CannotHold(
                f"the column holds {self.precision} digits, {self.scale} of them after the point; the value needs more"
            )
        return fitted


def decimal(precision: int, scale: int = 0) -> DecimalCodec:
    """Declares a column of exact decimal numbers, as NUMERIC(precision, scale).

    It holds `precision` digits in all, `scale` of them after the point; nothing is rounded.

    Raises:
        ConfigurationError: the precision is not 1 to 1,000 or the scale not 0 to the precision.
    """
    if not 1 <= precision <= _MOST_PRECISE or not 0 <= scale <= precision:
        raise ConfigurationError(
            f"expected a precision from 1 to {_MOST_PRECISE} and a scale from 0 to the precision, "
            f"found {precision} and {scale}"
        )
    return DecimalCodec(precision, scale)
