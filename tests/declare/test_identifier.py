"""Identifiers: one number however it is spelt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellonce import Binding, Column, current, existing, identifier, text
from tellonce.declare import CannotHold, Raw, Undecodable, encode_checked
from tellonce.declare.check import doubts_about_binding
from tellonce.model.errors import ConfigurationError

NUMBER = "11010519491231002X"


@pytest.mark.parametrize(
    "raw", [NUMBER, NUMBER.lower(), f" {NUMBER} ", f"\u3000{NUMBER}", "\uff11\uff11010519491231002\uff38"]
)
@pytest.mark.parametrize("of", [None, "cn.ric"])
def test_spellings_are_one_number(raw: str, of: str | None) -> None:
    """Case, width and blanks around it tell nobody from somebody else."""
    assert identifier(of=of).decode(raw) == NUMBER


def test_number_of_digits_may_stand_in_a_column_of_numbers() -> None:
    """A BIGINT gives a whole number."""
    assert identifier().decode(110105194912310021) == "110105194912310021"


@pytest.mark.parametrize("raw", ["", "  ", "\u3000", None])
def test_blanks_are_no_number(raw: Raw) -> None:
    """Who has none is found by none."""
    assert identifier().decode(raw) is None


@pytest.mark.parametrize("raw", [b"1", 1.5, "1\0", "\ud800"])
def test_what_is_no_number_is_not_understood(raw: Raw) -> None:
    """Bytes, fractions, and what is no character."""
    with pytest.raises(Undecodable):
        identifier().decode(raw)


@pytest.mark.parametrize("value", [NUMBER.lower(), f"{NUMBER} ", "1" * 19])
def test_number_is_written_in_its_canonical_form_alone(value: str) -> None:
    """Another spelling would read back as another value; a longer one would be cut."""
    with pytest.raises(CannotHold):
        encode_checked(identifier(max_chars=18), value)


@given(st.text(max_size=20))
def test_canonical_form_is_its_own(value: str) -> None:
    """Reading twice is reading once, and every spelling that rows are looked up by reads as the number."""
    codec = identifier()
    try:
        number = codec.decode(value)
        spellings = codec.spellings(number)
    except (Undecodable, CannotHold):
        return
    assert {codec.decode(each) for each in spellings} == {number}


@pytest.mark.parametrize("of", ["cn.nothing", "ric", ""])
def test_unknown_number_is_a_mistake_in_the_form(of: str) -> None:
    """python-stdnum has a module for each that it knows."""
    with pytest.raises(ConfigurationError, match="python-stdnum"):
        identifier(of=of)


@pytest.mark.parametrize(("codec", "count"), [(None, 1), (text(max_chars=18), 1), (identifier(), 0)])
def test_number_bound_as_plain_text_is_doubted(codec: object, count: int) -> None:
    """It is found in one spelling only."""
    column = Column("number") if codec is None else Column("number", codec)  # type: ignore[arg-type]
    binding = Binding(
        view="citizen.identity",
        table="account",
        match=[current("id_number")],
        columns={"id_number": column},
        scope=existing(),
        on_delete="keep",
    )

    assert len(doubts_about_binding(binding)) == count
