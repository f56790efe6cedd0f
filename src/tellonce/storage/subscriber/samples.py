"""Values of each kind of field, by which a column is tried before anything is applied to it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from tellonce.avro.fields import FieldSpec, Kind
from tellonce.declare.codec import Codec
from tellonce.declare.textual import CodeListCodec
from tellonce.model.change import Value

__all__ = ["DIGITS", "samples_of"]

DIGITS = "110105194912310021"
"""A text that a column of numbers holds as well."""

_UUID = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
_PLAIN: dict[Kind, Sequence[Value]] = {
    Kind.TEXT: (DIGITS, "a", "王芳", "A-1", "Abc-1 d", _UUID, _UUID.upper()),
    Kind.INTEGER: (0, 1, -7, 2**31 - 1),
    Kind.BOOLEAN: (True, False),
    Kind.DATE: (date(1949, 10, 1), date(2024, 2, 29)),
    Kind.INSTANT: (datetime(2024, 2, 29, 8, 30, tzinfo=UTC), datetime(2024, 2, 29, 8, 30, 15, 250_000, UTC)),
    Kind.BYTES: (b"\x00\xff", b"a"),
}


def samples_of(spec: FieldSpec, codec: Codec) -> Sequence[Value]:
    """Gives values that a field may have: all of them where these are few, else ordinary ones and the largest."""
    if spec.symbols:
        return spec.symbols
    if isinstance(codec, CodeListCodec):
        return tuple(word for _, word in codec.pairs if word is not None)
    if spec.kind is Kind.DECIMAL:
        scale, precision = spec.scale or 0, spec.precision or 1
        step = Decimal((0, (1,), -scale))
        return (Decimal(0).quantize(step), step, (10**precision - 1) * step)
    return _PLAIN.get(spec.kind, ())
