"""The laws that every codec keeps, whatever it is given."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellonce import boolean, bytes_, codes, decimal, instant, integer, iso_date, text, yyyymmdd
from tellonce.avro.fields import Kind
from tellonce.declare import CannotHold, Codec, Raw, Undecodable, default_codec, encode_checked
from tellonce.model.change import Value
from tellonce.model.errors import ConfigurationError

CODECS: dict[str, Codec] = {
    "text": text(),
    "text of 8 bytes": text(max_bytes=8),
    "text of 3 characters": text(max_chars=3),
    "text in gbk": text(charset="gbk", max_bytes=6),
    "text in gb18030": text(charset="gb18030"),
    "text in latin-1": text(charset="latin-1"),
    "blank text": text(blank_is_null=True),
    "padded text": text(padded=True, max_chars=5),
    "upper text": text(upper=True),
    "all text options": text(blank_is_null=True, padded=True, upper=True, max_bytes=12, max_chars=4, charset="gbk"),
    "integer": integer(),
    "small integer": integer(-5, 120),
    "boolean": boolean(),
    "boolean as letters": boolean(true="Y", false="N"),
    "boolean as numbers": boolean(true=1, false=2),
    "decimal": decimal(5, 2),
    "whole decimal": decimal(3),
    "long decimal": decimal(60, 30),
    "date": iso_date(),
    "date as text": iso_date(as_text=True),
    "digits": yyyymmdd(),
    "digits with zeros": yyyymmdd(null="00000000"),
    "digits with blank": yyyymmdd(null=""),
    "digits as number": yyyymmdd(null="00000000", as_integer=True),
    "instant": instant(),
    "instant as text": instant("text"),
    "instant in Shanghai": instant(zone="Asia/Shanghai"),
    "instant as Shanghai text": instant("text", zone="Asia/Shanghai"),
    "instant in seconds": instant("seconds"),
    "instant in millis": instant("millis"),
    "codes": codes({"1": "male", "2": "female", "M": "male", "0": None}),
    "number codes": codes({1: "male", 2: "female"}),
    "bytes": bytes_(),
    "4 bytes": bytes_(max_bytes=4),
}

# Near the edges of what the codecs above hold, where mistakes live: halves of pairs, NUL, padding, compatibility forms.
TEXTS = st.one_of(
    st.text(max_size=10),
    st.text(alphabet=st.characters(codec=None, categories=["Cs", "Cc", "Zs"]), max_size=4),
    st.text(alphabet="aÉé\u0301\u4e2d\uf92c\u3000 xX1-\U00020000", max_size=10),
    st.sampled_from(
        ["male", "female", "Y", "N", "1", "0", "", " ", "1949-12-31", "19491231", "00000000", "0000-00-00"]
    ),
    st.datetimes(timezones=st.just(UTC)).map(str),
    st.dates().map(str),
)
INSTANTS = st.datetimes(timezones=st.just(UTC))
DECIMALS = st.one_of(st.decimals(allow_nan=True, allow_infinity=True), st.decimals(-999, 999, places=2))
INTEGERS = st.one_of(st.integers(), st.integers(-200, 200), st.dates().map(lambda day: int(day.strftime("%Y%m%d"))))
VALUES: st.SearchStrategy[Value] = st.one_of(
    st.none(),
    TEXTS,
    INTEGERS,
    st.booleans(),
    DECIMALS,
    st.dates(),
    INSTANTS,
    INSTANTS.map(lambda moment: moment.replace(microsecond=0)),
    st.binary(max_size=8),
    st.lists(st.text(max_size=3), max_size=2).map(tuple),
)
RAWS: st.SearchStrategy[Raw] = st.one_of(
    st.none(),
    TEXTS,
    INTEGERS,
    st.booleans(),
    DECIMALS,
    st.floats(),
    st.dates(),
    st.datetimes(),
    INSTANTS,
    st.binary(max_size=8),
)

every_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS.keys())


@every_codec
@given(value=VALUES)
def test_what_is_written_reads_back_as_the_value_or_is_refused(codec: Codec, value: Value) -> None:
    """A codec either holds a value exactly or raises CannotHold; nothing is shortened, rounded or replaced."""
    try:
        raw = encode_checked(codec, value)
    except CannotHold:
        return

    back = codec.decode(raw)

    assert back == value
    assert type(back) is type(value)


@every_codec
@given(raw=RAWS)
def test_any_raw_value_is_decoded_or_refused(codec: Codec, raw: Raw) -> None:
    """Decoding whatever stands in a column ends in a value of the codec's kind or in Undecodable."""
    kinds = {
        Kind.TEXT: str,
        Kind.INTEGER: int,
        Kind.BOOLEAN: bool,
        Kind.DECIMAL: Decimal,
        Kind.DATE: date,
        Kind.INSTANT: datetime,
        Kind.BYTES: bytes,
    }
    try:
        value = codec.decode(raw)
    except Undecodable:
        return

    assert value is None or type(value) is kinds[codec.kind]


@every_codec
@given(raw=RAWS)
def test_a_decoded_value_is_canonical(codec: Codec, raw: Raw) -> None:
    """Decoding gives the shared form at once: whole characters, UTC instants to the millisecond, one zero."""
    try:
        value = codec.decode(raw)
    except Undecodable:
        return

    if isinstance(value, str):
        assert "\0" not in value
        value.encode()
    if isinstance(value, datetime):
        assert value.tzinfo is UTC
        assert value.microsecond % 1000 == 0
    if isinstance(value, Decimal):
        assert not (value.is_zero() and value.is_signed())


@every_codec
@given(raw=RAWS)
def test_a_value_read_from_a_column_can_be_written_again(codec: Codec, raw: Raw) -> None:
    """What one decodes from a column either is what writing it again gives, or the column's limits refuse it."""
    try:
        value = codec.decode(raw)
        again = codec.decode(encode_checked(codec, value))
    except (Undecodable, CannotHold):
        return

    assert again == value


@every_codec
@given(value=VALUES)
def test_every_spelling_decodes_to_its_value(codec: Codec, value: Value) -> None:
    """A row found by a spelling of a value holds that value, and the spelling that is written is among them."""
    try:
        written = encode_checked(codec, value)
    except CannotHold:
        with pytest.raises(CannotHold):
            codec.spellings(value)
        return

    spellings = codec.spellings(value)

    assert spellings[0] == written
    for spelling in spellings:
        assert codec.decode(spelling) == value


# No message contains these for reasons of its own; a value drawn freely may be a word or a limit that one names.
MARKS = ("qzqzqz", "\u2603\u2603", "271828182")
MARKED_TEXTS = st.tuples(TEXTS, st.sampled_from(MARKS), TEXTS).map("".join)
MARKED_NUMBERS = st.integers(0, 10**30).map(lambda number: number * 10**9 + int(MARKS[2]))
MARKED_BYTES = st.binary(max_size=4).map(lambda data: data + MARKS[0].encode())
MARKED = st.one_of(MARKED_TEXTS, MARKED_NUMBERS, MARKED_NUMBERS.map(Decimal), MARKED_BYTES)


@every_codec
@given(value=MARKED)
def test_no_error_carries_the_value(codec: Codec, value: str | int | Decimal | bytes) -> None:
    """Errors go to logs and parked records, so neither their text nor their cause may show what the value was."""
    errors: list[BaseException] = []
    for translate in (lambda: encode_checked(codec, value), lambda: codec.decode(value)):
        try:
            translate()
        except (CannotHold, Undecodable) as error:
            errors.append(error)

    while errors:
        shown = errors.pop()
        # Python's own error of a character set carries the whole text, and shows a part of it escaped.
        assert not isinstance(shown, UnicodeError)
        assert not [mark for mark in MARKS if mark in str(shown).lower()]
        errors += [cause for cause in (shown.__cause__, shown.__context__) if cause is not None]


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.TEXT_LIST])
def test_default_codec_has_the_kind_asked_for(kind: Kind) -> None:
    """A bare column name holds its field as it is, so its codec is of the field's kind."""
    assert default_codec(kind, 6, 2).kind is kind


def test_default_codec_of_a_list_is_refused() -> None:
    """No single column holds a list of former identifiers."""
    with pytest.raises(ConfigurationError, match="text_list"):
        default_codec(Kind.TEXT_LIST)


def test_default_codec_of_a_decimal_needs_its_precision() -> None:
    """A decimal without a known precision could be rounded unseen."""
    with pytest.raises(ConfigurationError, match="precision"):
        default_codec(Kind.DECIMAL)


class _Lossy(Codec):
    """A codec such as a department might write by mistake: it cuts what does not fit."""

    kind = Kind.TEXT

    def decode(self, raw: Raw) -> Value:
        return raw if isinstance(raw, str) else None

    def encode(self, value: Value) -> Raw:
        return value[:2] if isinstance(value, str) else None


class _OneWay(_Lossy):
    """A codec that writes what it does not read."""

    def decode(self, raw: Raw) -> Value:
        raise Undecodable(f"not understood: {type(raw).__name__}")


@pytest.mark.parametrize("codec", [_Lossy(), _OneWay()])
def test_a_departments_own_lossy_codec_is_caught(codec: Codec) -> None:
    """The round trip is enforced for every codec, not left to the honesty of its author."""
    with pytest.raises(CannotHold):
        encode_checked(codec, "abc")


def test_equal_values_of_different_kinds_are_told_apart() -> None:
    """Python's 1 == True must not let a number pass for a yes."""

    class Loose(_Lossy):
        def encode(self, value: Value) -> Raw:
            return value if isinstance(value, int) else None

        def decode(self, raw: Raw) -> Value:
            return bool(raw)

    with pytest.raises(CannotHold):
        encode_checked(Loose(), 1)
