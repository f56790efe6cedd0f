"""Resident identity numbers."""

from datetime import date
from random import Random

import pytest
from stdnum.cn import ric

from tellonce.demo.numbers import NumberOffice, short_form


@pytest.mark.parametrize("birth_date", [date(1934, 2, 28), date(1984, 12, 31), date(1999, 1, 1), date(2026, 5, 31)])
def test_issued_number_is_valid_and_tells_birth_date_and_sex(birth_date: date) -> None:
    """Every number issued passes python-stdnum, whose county codes hold for the year of birth."""
    office = NumberOffice(Random(1))

    numbers = [office.issue(birth_date, "female") for _ in range(200)]

    assert all(ric.is_valid(number) for number in numbers)
    assert {ric.get_birth_date(number) for number in numbers} == {birth_date}
    assert all(int(number[16]) % 2 == 0 for number in numbers)


def test_no_two_issued_numbers_share_a_short_form() -> None:
    """Two people share a 15-digit number only where that is meant, so ambiguity in a run is planned."""
    office = NumberOffice(Random(1))

    numbers = [office.issue(date(1970, 1, 1), "male") for _ in range(5000)]

    assert len({short_form(number) for number in numbers}) == 5000


def test_reissued_number_keeps_county_and_birth_date() -> None:
    """Who shared a number gets another sequence, and nothing else changes."""
    office = NumberOffice(Random(1))
    number = office.issue(date(1970, 1, 1), "male")

    other = office.reissue(number, date(1970, 1, 1), "male")

    assert other != number
    assert other[:14] == number[:14]
    assert ric.is_valid(other)


def test_reserved_number_is_never_issued() -> None:
    """A number that a resident has is not given to another one."""
    first = NumberOffice(Random(5)).issue(date(1970, 1, 1), "male")
    office = NumberOffice(Random(5))

    office.reserve(first)

    assert office.issue(date(1970, 1, 1), "male") != first


def test_short_form_drops_century_and_check_character() -> None:
    """The 15-digit number is the 18-digit one without century and check character."""
    assert short_form("11010519491231002X") == "110105491231002"
