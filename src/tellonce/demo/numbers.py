"""Resident identity numbers: 18 characters (GB 11643-1999), and 15 digits if issued before October 1999."""

from datetime import date
from random import Random
from typing import Literal

from stdnum.cn import ric

__all__ = ["LAST_SHORT_BIRTH", "SHORT_LENGTH", "NumberOffice", "Sex", "short_form"]

Sex = Literal["male", "female"]

SHORT_LENGTH = 15

LAST_SHORT_BIRTH = date(1999, 9, 30)
"""Whoever was born later was given 18 characters at once."""

# Counties whose code never changed: a number is valid only if its county existed in the year of birth.
# fmt: off
_COUNTIES = (
    "110101", "110105", "110108", "120101", "120104", "140121", "150121", "210726", "222401", "230722",
    "310101", "310104", "310110", "330122", "330127", "340121", "340621", "350121", "360121", "422823",
    "430121", "433123", "510121", "510421", "520203", "522625", "530124", "532326", "540121", "610323",
    "610326", "620121", "620123", "632221", "640121", "640122", "650121", "652323", "652325", "652722",
)
# fmt: on
# Counties of the young, by the first year of their code.
_NEWER_COUNTIES = {"110113": 1998, "110114": 1999, "110115": 2001}


class NumberOffice:
    """Issues numbers, each to one person only.

    No two of them have the same short form either, so that two people share a 15-digit number only where that is meant.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._short_forms: set[str] = set()

    def reserve(self, number: str) -> None:
        """Keeps a number that somebody has, and its short form, from being issued."""
        self._short_forms.add(number if len(number) == SHORT_LENGTH else short_form(number))

    def issue(self, birth_date: date, sex: Sex) -> str:
        """A valid 18-character number that nobody has."""
        while True:
            newer = [county for county, first_year in _NEWER_COUNTIES.items() if birth_date.year >= first_year]
            number = self._number(self._rng.choice([*_COUNTIES, *newer]), birth_date, sex)
            if short_form(number) not in self._short_forms:
                self._short_forms.add(short_form(number))
                return number

    def reissue(self, number: str, birth_date: date, sex: Sex) -> str:
        """A valid number of the same county as `number` with another sequence, as is given where two shared one."""
        while True:
            other = self._number(number[:6], birth_date, sex)
            if short_form(other) not in self._short_forms:
                self._short_forms.add(short_form(other))
                return other

    def _number(self, county: str, birth_date: date, sex: Sex) -> str:
        # The sequence is odd for men and even for women.
        sequence = 2 * self._rng.randrange(500) + (sex == "male")
        first_17 = f"{county}{birth_date:%Y%m%d}{sequence:03d}"
        return first_17 + ric.calc_check_digit(first_17 + "0")


def short_form(number: str) -> str:
    """The 15-digit number that stood for an 18-character one before: no century, no check character."""
    return number[:6] + number[8:17]
