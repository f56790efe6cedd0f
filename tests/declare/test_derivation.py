"""The candidate that an old resident ID number stands for."""

from hypothesis import given
from hypothesis import strategies as st

from tellonce import from_15_digits

OLD_NUMBERS = st.text(alphabet="0123456789", min_size=15, max_size=15)


def test_check_character_of_the_candidate() -> None:
    """The check character is that of ISO 7064 MOD 11-2 over 17 digits: 11010519491231002 gives X (GB 11643)."""
    assert from_15_digits.forward("110105491231002") == "11010519491231002X"


def test_nobody_born_before_1900_is_found_by_the_default_century() -> None:
    """44052418800101001 has the check character 4, but its 15-digit form derives to 1980 and must not match 1880."""
    assert from_15_digits.backward("440524188001010014") == ()
    assert from_15_digits.forward("440524800101001") == "440524198001010013"


@given(old=OLD_NUMBERS)
def test_both_directions_agree(old: str) -> None:
    """The look-up by the authority's number finds exactly the local values that derive to it."""
    candidate = from_15_digits.forward(old)

    assert candidate is not None
    assert len(candidate) == 18
    assert from_15_digits.backward(candidate) == (old,)


@given(number=st.one_of(st.text(max_size=20), st.from_regex(r"[0-9]{6}19[0-9]{9}[0-9X]", fullmatch=True)))
def test_backward_gives_only_what_derives_forward(number: str) -> None:
    """A number with a wrong check character, or no number at all, has no local value."""
    for local in from_15_digits.backward(number):
        assert from_15_digits.forward(local) == number


def test_letters_are_no_digits() -> None:
    """The checksum routine reads base 13 and underscores, so what it is given is checked before."""
    for value in ("11010549123100a", "1101054912310_2", "１１０１０５４９１２３１００２", "11010549123100", ""):
        assert from_15_digits.forward(value) is None
