"""Text, code lists, yes and no, bytes: what each option means."""

from decimal import Decimal

import pytest

from tellonce import boolean, bytes_, codes, text
from tellonce.declare import CannotHold, Raw, Undecodable, encode_checked
from tellonce.model.change import Value
from tellonce.model.digest import canonical
from tellonce.model.errors import ConfigurationError


def test_max_bytes_counts_in_the_declared_charset() -> None:
    """A name of four characters takes 12 bytes in UTF-8 and 8 in GBK, and the column's limit is in its own bytes."""
    name = "欧阳子轩"

    assert encode_checked(text(max_bytes=8, charset="gbk"), name) == name
    with pytest.raises(CannotHold, match="holds 8 bytes of utf-8, the text has 12"):
        encode_checked(text(max_bytes=8), name)


def test_max_chars_counts_characters() -> None:
    """VARCHAR(3) in PostgreSQL holds three characters, whatever their bytes."""
    codec = text(max_chars=3)

    assert encode_checked(codec, "王小明") == "王小明"
    with pytest.raises(CannotHold, match="3 characters, the text has 4"):
        encode_checked(codec, "欧阳子轩")


@pytest.mark.parametrize(
    ("charset", "character"), [("gbk", "\U00020000"), ("latin-1", "王"), ("utf-8", "\ud800"), ("gb18030", "\udfff")]
)
def test_a_character_outside_the_charset_cannot_be_held(charset: str, character: str) -> None:
    """A rare character that the department's system lacks parks the record; it never becomes a question mark."""
    with pytest.raises(CannotHold, match=charset):
        encode_checked(text(charset=charset), f"a{character}")


def test_a_character_that_the_charset_replaces_cannot_be_held() -> None:
    """Some encoders answer with a look-alike instead of an error: Shift JIS makes a backslash of the yen sign."""
    with pytest.raises(CannotHold, match="shift_jis"):
        encode_checked(text(charset="shift_jis"), "\u00a5")


@pytest.mark.parametrize("codec", [text(), text(charset="gbk")])
def test_nul_can_neither_be_held_nor_read(codec: object) -> None:
    """PostgreSQL refuses NUL in text, so no shared text may have it."""
    assert isinstance(codec, type(text()))

    with pytest.raises(CannotHold, match="NUL"):
        codec.encode("a\0b")
    with pytest.raises(Undecodable, match="NUL"):
        codec.decode("a\0b")


def test_half_a_surrogate_pair_is_not_read() -> None:
    """Text that UTF-8 cannot carry must stop at the authority, not at every subscriber."""
    with pytest.raises(Undecodable, match="surrogate"):
        text().decode("a\ud800")


@pytest.mark.parametrize("raw", ["", "  ", "\u3000", None])
def test_blank_is_null_where_declared(raw: str | None) -> None:
    """Empty, blank and null are one value only where the binding says so."""
    assert text(blank_is_null=True).decode(raw) is None
    assert text().decode(raw) == raw


def test_empty_text_cannot_be_held_where_it_means_null() -> None:
    """An empty value that would read back as no value is not the same value."""
    with pytest.raises(CannotHold):
        encode_checked(text(blank_is_null=True), "")


def test_padding_is_no_part_of_the_value() -> None:
    """CHAR(6) gives back trailing blanks that nobody entered."""
    assert text(padded=True).decode("王明  ") == "王明"
    assert text().decode("王明  ") == "王明  "


def test_upper_reads_any_case() -> None:
    """A number typed with a small x is the number with a capital X."""
    codec = text(upper=True)

    assert codec.decode("11010519491231002x") == "11010519491231002X"
    with pytest.raises(CannotHold):
        encode_checked(codec, "11010519491231002x")


def test_spellings_name_every_way_a_row_may_hold_the_text() -> None:
    """A row typed in lower case or padded by CHAR(n) is found all the same."""
    codec = text(upper=True, padded=True, max_chars=4)

    assert set(codec.spellings("12X")) == {"12X", "12x", "12X ", "12x "}


@pytest.mark.parametrize("raw", [110105491231002, Decimal(110105491231002)])
def test_digits_that_a_loosely_typed_column_made_a_number_are_text_again(raw: Raw) -> None:
    """SQLite's NUMERIC affinity turns a 15-digit identifier into an integer."""
    assert text().decode(raw) == "110105491231002"


@pytest.mark.parametrize("raw", [b"a", True, 1.0, Decimal("1.5"), Decimal("NaN"), Decimal("1E+999999999")])
def test_text_does_not_guess(raw: Raw) -> None:
    """Bytes, floats, yes and no are no text, however they could be printed."""
    with pytest.raises(Undecodable, match="expected text"):
        text().decode(raw)


@pytest.mark.parametrize("arguments", [{"max_bytes": 0}, {"max_chars": -1}])
def test_a_limit_below_one_is_refused(arguments: dict[str, int]) -> None:
    """A column that holds nothing is a mistake in the form."""
    with pytest.raises(ConfigurationError, match="at least 1"):
        text(**arguments)  # type: ignore[arg-type]  # each key is one of the limits, which mypy cannot see


@pytest.mark.parametrize("charset", ["gkb", "base64"])
def test_an_unknown_charset_is_refused(charset: str) -> None:
    """A misspelt character set, or one that is none, is found when the form is read."""
    with pytest.raises(ConfigurationError, match=charset):
        text(charset=charset)


GENDER = codes({"1": "male", "2": "female", "M": "male"})


@pytest.mark.parametrize(("raw", "value"), [("1", "male"), ("2 ", "female"), (1, "male"), ("M", "male"), (None, None)])
def test_codes_are_read_however_the_column_holds_them(raw: Raw, value: Value) -> None:
    """A code list knows its codes as text, as numbers and padded, because columns change one into the other."""
    assert GENDER.decode(raw) == value


def test_first_code_is_written() -> None:
    """Of several codes for one word, the department's first choice is used; a row may still have any of them."""
    assert encode_checked(GENDER, "male") == "1"
    assert GENDER.spellings("male") == ("1", "M")


@pytest.mark.parametrize("value", ["unknown", "1", 1, True])
def test_a_word_without_code_cannot_be_held(value: Value) -> None:
    """The list is closed: a new word parks the record until the department has a code for it."""
    with pytest.raises(CannotHold, match="no code"):
        encode_checked(GENDER, value)


@pytest.mark.parametrize("raw", ["3", 3, "", b"1", float("nan"), Decimal("Infinity")])
def test_a_code_without_word_is_not_understood(raw: Raw) -> None:
    """A code outside the list is never passed on as if it were a word."""
    with pytest.raises(Undecodable):
        GENDER.decode(raw)


def test_a_code_may_stand_for_no_value() -> None:
    """A NOT NULL column has a code for "not stated", which is written for null and read as null."""
    codec = codes({"0": None, "1": "male"})

    assert encode_checked(codec, None) == "0"
    assert codec.decode("0") is None


@pytest.mark.parametrize("listed", [{}, {"1": "a", "1 ": "b"}])
def test_a_wrong_code_list_is_refused(listed: dict[str, str | None]) -> None:
    """An empty list and codes that a column cannot tell apart are mistakes in the form."""
    with pytest.raises(ConfigurationError):
        codes(listed)


@pytest.mark.parametrize(
    ("true", "false", "raw"), [("Y", "N", "Y "), (1, 0, True), (True, False, 1), (1, 2, "1"), ("1", "0", Decimal(1))]
)
def test_yes_is_read_in_the_types_a_column_may_give(true: Raw, false: Raw, raw: Raw) -> None:
    """SQLite has no boolean type and CHAR(n) pads, yet yes stays yes."""
    assert isinstance(true, str | int | bool)
    assert isinstance(false, str | int | bool)

    assert boolean(true=true, false=false).decode(raw) is True


def test_no_third_value_of_yes_and_no_is_guessed() -> None:
    """A column declared Y and N that holds J is not understood."""
    with pytest.raises(Undecodable):
        boolean(true="Y", false="N").decode("J")


def test_equal_raws_for_yes_and_no_are_refused() -> None:
    """A pair that reads alike could not be told apart."""
    with pytest.raises(ConfigurationError, match="differ"):
        boolean(true=1, false="1")


def test_bytes_are_read_from_postgresqls_hex_form() -> None:
    """A bytea column passes through the outbox's JSON as hex text."""
    assert bytes_().decode("\\x00ff") == b"\x00\xff"


@pytest.mark.parametrize("raw", ["00ff", "\\x0", 5])
def test_other_text_is_no_bytes(raw: Raw) -> None:
    """Only PostgreSQL's own hex form is taken for bytes."""
    with pytest.raises(Undecodable, match="expected bytes"):
        bytes_().decode(raw)


def test_too_many_bytes_cannot_be_held() -> None:
    """Bytes are never cut."""
    with pytest.raises(CannotHold, match="2 bytes"):
        encode_checked(bytes_(max_bytes=2), b"abc")


@pytest.mark.parametrize("name", ["u\u0308ber", "\ufa1a\ufa19", "\u3402\u200d\u5b50", "\U00020bb7\u91ce", "\u212b"])
def test_name_is_the_characters_that_it_is_written_in(name: str) -> None:
    """Compatibility ideographs, joiners and decomposed accents are a legal name's own, and no form replaces them."""
    assert text().decode(encode_checked(text(), name)) == name
    assert canonical([name]) == b"s%d:%b" % (len(name.encode()), name.encode())
