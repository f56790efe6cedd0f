"""Whole and decimal numbers: what columns give and what they can hold."""

from decimal import Decimal

import pytest

from tellonce import decimal, integer
from tellonce.declare import CannotHold, Raw, Undecodable, encode_checked
from tellonce.model.change import Value
from tellonce.model.errors import ConfigurationError


@pytest.mark.parametrize("raw", [42, "42", " 42 ", "0042", Decimal("42.00"), 42.0])
def test_whole_numbers_are_read_from_every_numeric_form(raw: Raw) -> None:
    """A number is the same in an INTEGER, NUMERIC, REAL or text column and in JSON."""
    assert integer().decode(raw) == 42


@pytest.mark.parametrize("raw", ["4.2", "", "四十二", "٤٢", Decimal("4.2"), 4.2, float("inf"), True, b"42", 2**63])
def test_what_is_no_whole_number_of_64_bits_is_not_understood(raw: Raw) -> None:
    """Nothing is rounded, and nothing wider than Avro's long is passed on."""
    with pytest.raises(Undecodable):
        integer().decode(raw)


@pytest.mark.parametrize("value", [-1, 101, True, "5", Decimal(5)])
def test_a_number_outside_the_column_cannot_be_held(value: Value) -> None:
    """The declared range includes both ends, and other kinds of value are no whole numbers."""
    with pytest.raises(CannotHold):
        encode_checked(integer(0, 100), value)


def test_both_ends_of_the_range_are_held() -> None:
    """The declared range includes both ends."""
    codec = integer(0, 100)

    assert (encode_checked(codec, 0), encode_checked(codec, 100)) == (0, 100)


def test_an_empty_range_is_refused() -> None:
    """A column that holds no number is a mistake in the form."""
    with pytest.raises(ConfigurationError, match="min <= max"):
        integer(2, 1)


@pytest.mark.parametrize("raw", [Decimal("0.3"), "0.3", "0.30", 0.3])
def test_decimals_are_read_exactly(raw: Raw) -> None:
    """A REAL column's float is read by its shortest form: 0.3 and not 0.299999999999999988898."""
    value = decimal(5, 2).decode(raw)

    assert isinstance(value, Decimal)
    assert str(value) == "0.30"


@pytest.mark.parametrize("value", ["0.001", "1000.00", "NaN", "Infinity", "1E+400"])
def test_a_decimal_with_more_digits_cannot_be_held(value: str) -> None:
    """NUMERIC(5, 2) would round 0.001 to zero without a word."""
    with pytest.raises(CannotHold):
        encode_checked(decimal(5, 2), Decimal(value))


@pytest.mark.parametrize("raw", [Decimal("0.001"), 0.1 + 0.2, "1e2", "1,5", "NaN", True, ""])
def test_raw_numbers_that_do_not_fit_the_declaration_are_not_understood(raw: Raw) -> None:
    """A column with more digits than declared means that the declaration is wrong, which rounding would hide."""
    with pytest.raises(Undecodable):
        decimal(5, 2).decode(raw)


def test_minus_zero_is_zero() -> None:
    """There is one zero in the shared form."""
    assert str(decimal(5, 2).decode(Decimal("-0.00"))) == "0.00"


@pytest.mark.parametrize(("precision", "scale"), [(0, 0), (3, 4), (3, -1), (1001, 0)])
def test_an_impossible_decimal_is_refused(precision: int, scale: int) -> None:
    """Precision and scale are those a database would accept."""
    with pytest.raises(ConfigurationError, match="precision"):
        decimal(precision, scale)
