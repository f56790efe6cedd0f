"""Avro's bytes: the numbers, lengths and lists that generated code reads and writes through function calls.

Avro 1.12 specification, "Binary encoding".
A reader trusts no length: a slice past the end is short, so the next byte read raises IndexError or the final check of
the position fails, and no length makes it allocate more than the message holds.
"""

# ruff: noqa: PLR2004 - the numbers compared are Avro's groups of seven bits, and a name would cost a look-up each time

from datetime import date, datetime
from decimal import Context, Decimal

from tellonce.avro.values import EPOCH, EPOCH_ORDINAL, FIRST_INSTANT, INT_RANGE, LAST_INSTANT, unscaled

__all__ = [
    "NUMBERS",
    "PRESENT_LENGTHS",
    "STEPS",
    "Damaged",
    "Unfit",
    "day_number",
    "decimal_bytes",
    "instant_number",
    "int_bytes",
    "length_bytes",
    "list_bytes",
    "long_bytes",
    "read_decimal",
    "read_int",
    "read_list",
    "read_long",
    "read_span",
    "read_text",
    "skip_list",
    "skip_long",
    "skip_span",
]

# A 64-bit number fills at most ten groups of seven bits.
_MAX_SHIFT = 70
_TABLE_SIZE = 1024


class Damaged(Exception):  # noqa: N818 - internal; becomes an UndecodableMessage
    """The bytes are not what the schema says; the text is the reason, without any of the bytes."""


class Unfit(Exception):  # noqa: N818 - internal; the slow rules then say which field and why
    """A value is not of its field's type."""


def long_bytes(number: int) -> bytes:
    """A whole number of 64 bits, zigzag and seven bits a byte.

    Raises:
        Unfit: the number has more than 64 bits.
    """
    number = (number << 1) ^ (number >> 63)
    if number < 1 << 7:
        return bytes((number,))
    if number < 1 << 14:
        return bytes((number & 0x7F | 0x80, number >> 7))
    if number < 1 << 21:
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    if number >> 64:
        raise Unfit
    if 1 << 35 <= number < 1 << 42:
        # A time in milliseconds, of which every message has two: a loop takes twice as long.
        low, high = number & 0x1FFFFF, number >> 21
        return bytes(
            (
                low & 0x7F | 0x80,
                low >> 7 & 0x7F | 0x80,
                low >> 14 | 0x80,
                high & 0x7F | 0x80,
                high >> 7 & 0x7F | 0x80,
                high >> 14,
            )
        )
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def int_bytes(number: int) -> bytes:
    """A whole number of 32 bits.

    Raises:
        Unfit: the number has more than 32 bits.
    """
    if number not in INT_RANGE:
        raise Unfit
    return long_bytes(number)


NUMBERS = tuple(long_bytes(number) for number in range(_TABLE_SIZE))
"""The small natural numbers written, by number."""
PRESENT_LENGTHS = tuple(b"\x02" + written for written in NUMBERS)
"""The same behind the index of the second branch of a union."""

STEPS = tuple(0 if byte & 0x81 else 1 + (byte >> 1) for byte in range(256))
"""By the first byte of a length, how far it is to the byte behind what is that long.

0 where it takes a function to say: odd begins a negative length, and the highest bit says that more bytes follow.
"""


def length_bytes(length: int) -> bytes:
    """A length or count of any size."""
    return NUMBERS[length] if length < _TABLE_SIZE else long_bytes(length)


def list_bytes(items: object) -> bytes:
    """A list of texts, as one block.

    Raises:
        Unfit: this is no tuple of texts.
    """
    if not isinstance(items, tuple):
        raise Unfit
    if not items:
        return b"\x00"
    parts = [length_bytes(len(items))]  # pyright: ignore[reportUnknownArgumentType] - items are checked one by one
    for item in items:  # pyright: ignore[reportUnknownVariableType]
        text = str.encode(item)  # pyright: ignore[reportUnknownArgumentType]
        parts.append(length_bytes(len(text)))
        parts.append(text)
    parts.append(b"\x00")
    return b"".join(parts)


def day_number(day: object) -> int:
    """Days since 1970-01-01.

    Raises:
        Unfit: this is no date, or one with a time.
    """
    if not isinstance(day, date) or isinstance(day, datetime):
        raise Unfit
    return day.toordinal() - EPOCH_ORDINAL


def instant_number(instant: object) -> int:
    """Milliseconds since 1970-01-01 UTC.

    Raises:
        Unfit: this is no datetime, one without a zone, finer than a millisecond, or outside the years 1 to 9999 in UTC.
    """
    if not isinstance(instant, datetime) or instant.tzinfo is None:
        raise Unfit
    since = instant - EPOCH
    if since.microseconds % 1000 or not FIRST_INSTANT <= instant <= LAST_INSTANT:
        raise Unfit
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def decimal_bytes(value: object, precision: int, scale: int) -> bytes:
    """A decimal's unscaled number as big-endian two's complement behind its length, in as many bytes as fastavro takes.

    Raises:
        Unfit: this is no decimal, or one that does not fit exactly.
    """
    if not isinstance(value, Decimal):
        raise Unfit
    try:
        number = unscaled(value, precision, scale)
    except ValueError:
        raise Unfit from None
    written = number.to_bytes((number.bit_length() + 8) >> 3, "big", signed=True)
    return length_bytes(len(written)) + written


def read_long(data: bytes, pos: int) -> tuple[int, int]:  # noqa: PLR0911 - a loop written out, see below
    """The 64-bit number at `pos`, and the position behind it.

    Raises:
        Damaged: it goes on for more than 64 bits.
    """
    # Written out as far as times in milliseconds go, of which every message has two: a loop takes half as long again.
    # Each byte that another follows is 128 too large, which is taken back with the next.
    number = data[pos]
    if number < 0x80:
        return (number >> 1) ^ -(number & 1), pos + 1
    byte = data[pos + 1]
    number += (byte << 7) - 0x80
    if byte < 0x80:
        return (number >> 1) ^ -(number & 1), pos + 2
    byte = data[pos + 2]
    number += (byte << 14) - (0x80 << 7)
    if byte < 0x80:
        return (number >> 1) ^ -(number & 1), pos + 3
    byte = data[pos + 3]
    number += (byte << 21) - (0x80 << 14)
    if byte < 0x80:
        return (number >> 1) ^ -(number & 1), pos + 4
    byte = data[pos + 4]
    number += (byte << 28) - (0x80 << 21)
    if byte < 0x80:
        return (number >> 1) ^ -(number & 1), pos + 5
    byte = data[pos + 5]
    number += (byte << 35) - (0x80 << 28)
    if byte < 0x80:
        return (number >> 1) ^ -(number & 1), pos + 6
    return _read_longer(data, pos + 6, number - (0x80 << 35))


def _read_longer(data: bytes, pos: int, number: int) -> tuple[int, int]:
    for shift in range(42, _MAX_SHIFT, 7):
        byte = data[pos]
        pos += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if number >> 64:
                raise Damaged("a number has more than 64 bits")
            return (number >> 1) ^ -(number & 1), pos
    raise Damaged("a number goes on for more than ten bytes")


def read_int(data: bytes, pos: int) -> tuple[int, int]:
    """The 32-bit number at `pos`, and the position behind it.

    Raises:
        Damaged: it has more than 32 bits.
    """
    number, pos = read_long(data, pos)
    if number not in INT_RANGE:
        raise Damaged("a number has more than 32 bits")
    return number, pos


def skip_long(data: bytes, pos: int) -> int:
    """The position behind the number at `pos`.

    Raises:
        Damaged: it goes on for more than 64 bits.
    """
    return read_long(data, pos)[1]


def read_span(data: bytes, pos: int) -> tuple[int, int]:
    """Where the bytes begin and end whose length stands at `pos`; the end may lie past the message's.

    Raises:
        Damaged: the length is negative.
    """
    length, pos = read_long(data, pos)
    if length < 0:
        raise Damaged("a length is negative")
    return pos, pos + length


def skip_span(data: bytes, pos: int) -> int:
    """The position behind the bytes whose length stands at `pos`; it may lie past the message's end.

    Raises:
        Damaged: the length is negative.
    """
    return read_span(data, pos)[1]


def read_text(data: bytes, pos: int) -> tuple[str, int]:
    """The text at `pos`, and the position behind it."""
    begin, end = read_span(data, pos)
    return data[begin:end].decode(), end


def read_list(data: bytes, pos: int) -> tuple[tuple[str, ...], int]:
    """The list of texts at `pos`, and the position behind it.

    Raises:
        Damaged: a block claims more items than bytes are left, or another size than its items have.
    """
    items: list[str] = []
    while True:
        count, size, pos = _read_block(data, pos)
        if not count:
            return tuple(items), pos
        begin = pos
        for _ in range(count):
            text, pos = read_text(data, pos)
            items.append(text)
        if size is not None and pos != begin + size:
            raise Damaged("a block of a list has another size than it says")


def skip_list(data: bytes, pos: int) -> int:
    """The position behind the list of texts at `pos`.

    Raises:
        Damaged: a block claims more items than bytes are left.
    """
    while True:
        count, size, pos = _read_block(data, pos)
        if not count:
            return pos
        if size is not None:
            pos += size
            continue
        for _ in range(count):
            pos = skip_span(data, pos)


def _read_block(data: bytes, pos: int) -> tuple[int, int | None, int]:
    count, pos = read_long(data, pos)
    size: int | None = None
    if count < 0:
        # The specification's other form, which some writers use: the count negated, then the block's size in bytes.
        count = -count
        size, pos = read_long(data, pos)
        if size < count:
            raise Damaged("a block of a list is smaller than its items can be")
    if count > len(data) - pos:
        raise Damaged("a list claims more items than there are bytes left")
    return count, size, pos


def read_decimal(raw: bytes, digits_end: int, max_size: int, scale: int, context: Context) -> Decimal:
    """The decimal whose unscaled number these bytes are, with exactly `scale` fractional digits.

    `digits_end` is ten to the power of the precision, and `max_size` the most bytes that such a number takes.

    Raises:
        Damaged: there are no bytes, or the number has more digits than the precision.
    """
    # Size first: turning a number of a million digits into a decimal takes quadratic time.
    if not 0 < len(raw) <= max_size:
        raise Damaged("a decimal has no digits, or more than its precision")
    number = int.from_bytes(raw, "big", signed=True)
    if not -digits_end < number < digits_end:
        raise Damaged("a decimal has more digits than its precision")
    return context.scaleb(Decimal(number), -scale)
