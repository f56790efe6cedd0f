"""Keyed digests of records, their sums, and pseudonyms: what equality is proved with.

An element is a keyed BLAKE2b of one record's key and canonical fields.
A set of records is summed modulo 2^128, never XORed, because equal parts would cancel.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b

from tellonce.model.change import Value

__all__ = [
    "DIGEST_BYTES",
    "MODULUS",
    "bucket_of",
    "canonical",
    "element",
    "from_hex",
    "pseudonym_of",
    "to_hex",
]

DIGEST_BYTES = 16
MODULUS = 1 << (8 * DIGEST_BYTES)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _exact(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        msg = "a decimal that is not a finite number has no canonical form"
        raise TypeError(msg)
    text = "".join(map(str, digits)).lstrip("0")
    stripped = text.rstrip("0")
    if not stripped:
        return b"0"
    return f"{'-' if sign else ''}{stripped}e{exponent + len(text) - len(stripped)}".encode()


def _part(value: Value) -> tuple[bytes, bytes]:  # noqa: PLR0911 - one return for each kind
    match value:
        case None:
            return b"n", b""
        case bool():
            return b"b", b"1" if value else b"0"
        case int():
            return b"i", b"%d" % value
        case Decimal():
            return b"x", _exact(value)
        case datetime():
            return b"t", b"%d" % ((value - _EPOCH) // _MICROSECOND)
        case date():
            return b"d", value.isoformat().encode()
        case bytes():
            return b"y", value
        case str():
            return b"s", value.encode()
        case tuple():
            return b"a", canonical(value)


def canonical(values: Sequence[Value]) -> bytes:
    """Gives one byte string for a list of logical values; two lists give the same only if they are equal.

    Text is compared character by character, decimals exactly (1.50 equals 1.5), instants in UTC to the microsecond.
    """
    parts: list[bytes] = []
    for value in values:
        # Most values are texts, and asking for each kind in turn takes longer than the rest.
        tag, body = (b"s", value.encode()) if type(value) is str else _part(value)
        parts += (b"%b%d:" % (tag, len(body)), body)
    return b"".join(parts)


def element(key: bytes, pseudonym: str, values: Sequence[Value]) -> int:
    """Gives the digest of one record in one view, from 0 to 2^128 - 1.

    `values` are the view's fields but for its match-only ones, sorted by field name.
    """
    data = canonical((pseudonym, *values))
    return int.from_bytes(blake2b(data, digest_size=DIGEST_BYTES, key=key, person=b"tellonce.element").digest(), "big")


def pseudonym_of(key: bytes, record_key: str) -> str:
    """Gives the 32 hexadecimal digits that stand for a record wherever its key may not be seen."""
    return blake2b(record_key.encode(), digest_size=DIGEST_BYTES, key=key, person=b"tellonce.pseudo").hexdigest()


def bucket_of(pseudonym: str, buckets: int) -> int:
    """Gives the bucket, from 0 to `buckets - 1`, that a record is summed in when a stream is inquired about."""
    return int(pseudonym[:8], 16) % buckets


def to_hex(digest: int) -> str:
    """Gives a digest or sum as 32 hexadecimal digits, the form it has in databases and messages."""
    return f"{digest:032x}"


def from_hex(text: str) -> int:
    """Gives the digest or sum that `to_hex` wrote."""
    return int(text, 16)
