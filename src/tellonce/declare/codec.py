"""What a codec is: the two directions between one column's raw value and the shared form of a field."""

from abc import ABC, abstractmethod
from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar

from tellonce.avro.fields import Kind
from tellonce.model.change import Value
from tellonce.model.errors import PoisonMessageError

__all__ = ["CannotHold", "Codec", "Raw", "Undecodable", "encode_checked", "kind_of", "whole_number"]

Raw = None | str | int | float | bool | Decimal | date | datetime | bytes
"""A column's value as psycopg or sqlite3 gives it, or as JSON gives it on PostgreSQL's capture path."""


_MOST_DIGITS = 100


class CannotHold(PoisonMessageError):  # noqa: N818 (reads as the outcome it becomes: the record parks as cannot_hold)
    """The column cannot hold the field's value unchanged, so nothing is written to it."""


class Undecodable(PoisonMessageError):  # noqa: N818 (pairs with CannotHold)
    """The column's raw value is none that the declared codec understands."""


class Codec(ABC):
    """Translates between one column's raw values and one field's values; immutable and safe to share.

    A department may write its own by subclassing, as a frozen value. Neither direction ever puts a value into an error.
    """

    __slots__ = ()

    kind: ClassVar[Kind]
    """The kind of field that this codec gives and takes."""
    keeps_spelling: ClassVar[bool] = False
    """Whether a column that holds the value already, in whatever spelling, is left as it is."""

    @abstractmethod
    def decode(self, raw: Raw) -> Value:
        """Gives the shared form of what the column holds.

        Raises:
            Undecodable: the raw value is not understood.
        """

    @abstractmethod
    def encode(self, value: Value) -> Raw:
        """Gives what to write into the column; it counts only if `decode` gives `value` again (see `encode_checked`).

        Raises:
            CannotHold: the column cannot hold the value.
        """

    def spellings(self, value: Value) -> tuple[Raw, ...]:
        """Gives every raw value that may stand in a column for `value`, the written one first, for looking rows up.

        Raises:
            CannotHold: no row of this column can hold the value, so there is none to find.
        """
        return (encode_checked(self, value),)


def encode_checked(codec: Codec, value: Value) -> Raw:
    """Gives the raw value for `value`, having seen that it decodes to exactly `value` again.

    Raises:
        CannotHold: the column cannot hold the value, or would hold another one in its place.
    """
    raw = codec.encode(value)
    try:
        back = codec.decode(raw)
    except Undecodable as error:
        raise CannotHold("the column's own codec does not understand what would be written for this value") from error
    # The type is compared too: 1 == True and Decimal(1) == 1, yet they are different values of different kinds.
    if back != value or type(back) is not type(value):
        raise CannotHold(
            "what the column would hold reads back as a different value; nothing is shortened or rounded to fit"
        )
    return raw


def kind_of(value: object) -> str:
    """Names the Python type of a value for an error message, which must never show the value itself."""
    return "nothing" if value is None else type(value).__name__


def whole_number(raw: Raw) -> int | None:
    """Gives the whole number that a numeric raw value is, whatever numeric type the column made of it; else None."""
    if isinstance(raw, bool):
        return None
    if isinstance(raw, int):
        return raw
    if isinstance(raw, float):
        return int(raw) if raw.is_integer() else None
    # An exponent may ask for more digits than memory holds; no field has more than a hundred.
    if (
        isinstance(raw, Decimal)
        and raw.is_finite()
        and raw.adjusted() < _MOST_DIGITS
        and raw == raw.to_integral_value()
    ):
        return int(raw)
    return None
