"""Values and events that try the edges of a schema: always the same, few, and made of nobody's data."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Context, Decimal

from tellonce.avro.eventrules import SourceNames
from tellonce.avro.fieldshape import FieldShape
from tellonce.avro.values import EPOCH, FIRST_INSTANT, INT_RANGE, LAST_INSTANT, LONG_RANGE, ValueShape, Wire
from tellonce.model.change import ChangeEvent, Operation, Origin, Value

__all__ = ["sample_events", "sample_values"]

_EXACT = Context(prec=1100)
# A length takes a second byte from 64 on, and from 1024 on it is in no table of the encoder's.
_LENGTHS = (0, 1, 63, 64, 1023, 1024)
_TEXTS = ("欧阳·明月", "𠀀" * 16, "é\0", *("x" * length for length in _LENGTHS), "汉" * 3000)
# Where a number takes one byte more, and where the encoder turns to another way of writing it.
_NUMBERS = (0, -1, 1, 63, 64, -64, -65, 1023, 1024, 8191, 8192, 2**20, INT_RANGE.start, INT_RANGE.stop - 1)
_LONGS = (1_780_000_000_123, -(2**34), 2**34, 2**41, LONG_RANGE.start, LONG_RANGE.stop - 1)
_UNSCALED = (0, 1, -1, 127, 128, -128, -129, 32_767, 32_768)
_MILLISECOND = timedelta(milliseconds=1)


def sample_events(fields: Sequence[FieldShape], names: SourceNames) -> Iterator[ChangeEvent]:
    """Events whose rows hold every sample of every field at least once, and one without rows."""
    samples = {field.spec.name: sample_values(field.value) for field in fields}
    rows = [
        {name: values[number % len(values)] for name, values in samples.items()}
        for number in range(max(len(values) for values in samples.values()))
    ]
    operations, origins = tuple(Operation), tuple(Origin)
    for number, row in enumerate([None, *rows]):
        yield ChangeEvent(
            op=operations[number % len(operations)],
            # A record type may have had another authority once.
            department=names.department if number % 2 else f"{names.department}-before",
            record_type=names.record_type,
            view=names.view,
            record_key=_TEXTS[number % len(_TEXTS)],
            epoch=1 + number,
            version=_NUMBERS[number % len(_NUMBERS)],
            sequence=_LONGS[number % len(_LONGS)],
            origin=origins[number % len(origins)],
            committed_at_ms=_LONGS[number % len(_LONGS)],
            published_at_ms=_LONGS[number // 2 % len(_LONGS)],
            # In another order than the rows after, so that no two fields meet in the same pair of values each time.
            before=rows[-number] if number > 1 else None,
            after=row,
        )


def sample_values(shape: ValueShape) -> tuple[Value, ...]:
    """Values of a type: its ends, what is usual, and null where it may be."""
    values = _SAMPLES[shape.wire](shape)
    return (None, *values) if shape.nullable else values


def _texts(_: ValueShape) -> tuple[Value, ...]:
    return _TEXTS


def _ints(_: ValueShape) -> tuple[Value, ...]:
    return _NUMBERS


def _longs(_: ValueShape) -> tuple[Value, ...]:
    return (*_NUMBERS, *_LONGS)


def _booleans(_: ValueShape) -> tuple[Value, ...]:
    return (False, True)


def _bytes(_: ValueShape) -> tuple[Value, ...]:
    return tuple(b"\xff" * length for length in _LENGTHS)


def _symbols(shape: ValueShape) -> tuple[Value, ...]:
    # Beyond the 64th symbol the index takes a second byte.
    return tuple(dict.fromkeys((*shape.symbols[:3], *shape.symbols[62:66], *shape.symbols[-3:])))


def _fixed(shape: ValueShape) -> tuple[Value, ...]:
    size = shape.size or 0
    return bytes(size), b"\xff" * size


def _decimals(shape: ValueShape) -> tuple[Value, ...]:
    precision, scale = shape.precision or 0, shape.scale or 0
    largest = int("9" * precision)
    numbers = [number for number in (*_UNSCALED, largest, -largest) if abs(number) <= largest]
    return tuple(_EXACT.scaleb(Decimal(number), -scale) for number in numbers)


def _days(_: ValueShape) -> tuple[Value, ...]:
    return (date(1949, 12, 31), date.min, date.max, *(date(1970, 1, 1) + timedelta(days=n) for n in (-1, 0, 1, 63, 64)))


def _instants(_: ValueShape) -> tuple[Value, ...]:
    last = LAST_INSTANT.replace(microsecond=999_000)
    return FIRST_INSTANT, EPOCH - _MILLISECOND, EPOCH, EPOCH + timedelta(days=20_000, milliseconds=678), last


def _lists(_: ValueShape) -> tuple[Value, ...]:
    return (), ("",), _TEXTS, ("440000", "旧" * 30) * 40


_SAMPLES: dict[Wire, Callable[[ValueShape], tuple[Value, ...]]] = {
    Wire.TEXT: _texts,
    Wire.INT: _ints,
    Wire.LONG: _longs,
    Wire.BOOLEAN: _booleans,
    Wire.BYTES: _bytes,
    Wire.ENUM: _symbols,
    Wire.FIXED: _fixed,
    Wire.DECIMAL: _decimals,
    Wire.FIXED_DECIMAL: _decimals,
    Wire.DATE: _days,
    Wire.INSTANT: _instants,
    Wire.TEXT_LIST: _lists,
}
