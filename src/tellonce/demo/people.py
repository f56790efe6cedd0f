"""The residents of the demonstration city and their marriages, all invented, the same for the same seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random
from typing import Literal

from faker import Faker

from tellonce.demo.numbers import LAST_SHORT_BIRTH, SHORT_LENGTH, NumberOffice, Sex, short_form

__all__ = ["DISTRICTS", "TODAY", "Marriage", "NameOffice", "Population", "Resident", "happens", "populate"]

TODAY = date(2026, 6, 1)
"""The day on which the city's registers stand at the start; fixed, so that a seed gives the same city for ever."""

DISTRICTS = ("990101", "990102", "990103", "990104", "990105", "990106")
"""The city's districts; no province has the code 99."""

FIRST_RESIDENT_ID = 10_000_001
FIRST_MARRIAGE_ID = 500_001

# Shares that give each situation often enough to be seen in 3,000 residents and yet leave most people ordinary.
_STILL_SHORT = 0.06
"""Of those who once had a 15-digit number: it is still the one in force."""
_HISTORY_LOST = 0.08
"""Likewise: upgraded, but the register does not know the old number any more."""
_LONG_NAME = 0.008
_HAS_MOVED = 0.3
_OLD_SINCE = 1960
_OLD_AND_DEAD = 0.03
_RESIDENTS_PER_SHARED_NUMBER = 300
_FIRST_SHARED = 7
_MARRIED_COUPLES_PER_RESIDENT = 0.22
_DIVORCED = 0.12
_STRANGERS = 6
_MARRYING_AGE = 24
_FIRST_NEW_CARDS = 2004

_LONG_FIRST = ("阿卜杜热合曼", "阿卜杜克热木", "努尔麦麦提", "吐尔逊古丽", "阿依努尔古丽", "古丽巴哈尔", "麦麦提艾力江")
_LONG_LAST = ("买买提依明", "阿卜力克木", "吐尔逊尼亚孜", "艾合买提江", "木合塔尔江", "热合木图拉")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """One natural person as the household register knows them, in plain logical values."""

    resident_id: int
    id_number: str
    name: str
    sex: Sex
    birth_date: date
    alive: bool
    former_id_numbers: tuple[str, ...]
    address: str
    district_code: str
    moved_on: date | None
    phone: str | None
    next_id_number: str | None = None
    """The number that an upgrade will give; None where the number in force has 18 characters."""

    @property
    def earlier_number(self) -> str | None:
        """The 15-digit number held before the one in force, whether or not the register remembers it."""
        if len(self.id_number) == SHORT_LENGTH or self.birth_date > LAST_SHORT_BIRTH:
            return None
        return self.former_id_numbers[0] if self.former_id_numbers else short_form(self.id_number)

    @property
    def age(self) -> int:
        """Whole years on the day the registers stand at."""
        birthday_to_come = (TODAY.month, TODAY.day) < (self.birth_date.month, self.birth_date.day)
        return TODAY.year - self.birth_date.year - birthday_to_come


@dataclass(frozen=True, slots=True, kw_only=True)
class Marriage:
    """One registered marriage, with the numbers that the spouses showed on the day."""

    marriage_id: int
    certificate_number: str
    spouse_a_id_number: str
    spouse_b_id_number: str
    registered_on: date
    status: Literal["married", "divorced"]
    spouse_ids: tuple[int, int]
    """Who they really are; no table holds this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Everybody, and who is or was married to whom."""

    residents: tuple[Resident, ...]
    marriages: tuple[Marriage, ...]
    shared_short_numbers: frozenset[str]
    """The 15-digit numbers that two residents once held at the same time."""
    strangers: tuple[Resident, ...]
    """People of other cities, whom some departments serve and the household register does not have."""


class NameOffice:
    """Names and streets drawn from pools that Faker fills once: a Faker call per person would take most of the time."""

    def __init__(self, rng: Random, seed: int) -> None:
        fake = Faker("zh_CN")
        fake.seed_instance(seed)
        self._rng = rng
        self._family = _pool(fake.last_name, 400)
        self._given = {"male": _pool(fake.first_name_male, 300), "female": _pool(fake.first_name_female, 300)}
        self._streets = _pool(fake.street_name, 300)

    def name(self, sex: Sex) -> str:
        """An ordinary name of two to four characters."""
        return self._rng.choice(self._family) + self._rng.choice(self._given[sex])

    def long_name(self) -> str:
        """A name in two parts with a middle dot, longer than 30 bytes in UTF-8."""
        return f"{self._rng.choice(_LONG_FIRST)}·{self._rng.choice(_LONG_LAST)}"

    def address(self) -> str:
        """Street, house, building and door."""
        rng = self._rng
        return f"{rng.choice(self._streets)}{rng.randint(1, 380)}号{rng.randint(1, 24)}幢{rng.randint(101, 1804)}室"

    def phone(self) -> str:
        """Eleven digits of no operator's range."""
        return f"100{self._rng.randrange(10**8):08d}"


def populate(seed: int, residents: int) -> Population:
    """The city's people; the same for the same arguments.

    Among those born before October 1999 most were upgraded from a 15-digit number that the register remembers, some
    from one that it lost, and some still hold it. One pair in every 300 residents once held the same 15-digit number.
    """
    rng = Random(f"residents {seed}")
    office = _RegistryOffice(rng, NameOffice(rng, seed))
    people: list[Resident] = []
    shared: set[str] = set()
    while len(people) < residents:
        next_id = FIRST_RESIDENT_ID + len(people)
        if len(people) % _RESIDENTS_PER_SHARED_NUMBER == _FIRST_SHARED and len(people) + 1 < residents:
            pair = office.pair_with_one_short_number(next_id)
            people.extend(pair)
            shared.add(pair[0].former_id_numbers[0])
        else:
            people.append(office.resident(next_id))
    return Population(
        residents=tuple(people),
        marriages=tuple(_marriages(rng, people)),
        shared_short_numbers=frozenset(shared),
        strangers=tuple(office.stranger(-1 - count) for count in range(_STRANGERS)),
    )


class _RegistryOffice:
    def __init__(self, rng: Random, names: NameOffice) -> None:
        self._rng = rng
        self._names = names
        self._numbers = NumberOffice(rng)

    def resident(self, resident_id: int) -> Resident:
        birth_date, sex = self._birth_date(), self._sex()
        number = self._numbers.issue(birth_date, sex)
        if birth_date > LAST_SHORT_BIRTH:
            return self._described(resident_id, birth_date, sex, number)
        draw = self._rng.random()
        if draw < _STILL_SHORT:
            # One upgrade in ten does not simply add a century and a check character: the sequence was another's.
            upgraded = number if happens(self._rng, 0.9) else self._numbers.reissue(number, birth_date, sex)
            still_short = self._described(resident_id, birth_date, sex, short_form(number))
            return replace(still_short, next_id_number=upgraded)
        former = () if draw < _STILL_SHORT + _HISTORY_LOST else (short_form(number),)
        return replace(self._described(resident_id, birth_date, sex, number), former_id_numbers=former)

    def pair_with_one_short_number(self, first_id: int) -> tuple[Resident, Resident]:
        rng, sex = self._rng, self._sex()
        birth_date = date(rng.randint(1955, 1985), rng.randint(1, 12), rng.randint(1, 28))
        number = self._numbers.issue(birth_date, sex)
        other = self._numbers.reissue(number, birth_date, sex)
        former = (short_form(number),)
        return (
            replace(self._described(first_id, birth_date, sex, number), former_id_numbers=former),
            replace(self._described(first_id + 1, birth_date, sex, other), former_id_numbers=former),
        )

    def stranger(self, resident_id: int) -> Resident:
        birth_date, sex = TODAY - timedelta(days=self._rng.randint(9_000, 25_000)), self._sex()
        return self._described(resident_id, birth_date, sex, self._numbers.issue(birth_date, sex))

    def _sex(self) -> Sex:
        return "male" if happens(self._rng, 0.51) else "female"

    def _birth_date(self) -> date:
        # Roughly the age structure of a Chinese city: a sixth children, a fifth above sixty.
        groups = ((0, 17), (18, 39), (40, 59), (60, 92))
        youngest, oldest = self._rng.choices(groups, weights=(15, 29, 34, 22))[0]
        return TODAY - timedelta(days=self._rng.randint(youngest * 365 + 1, oldest * 365 + 364))

    def _described(self, resident_id: int, birth_date: date, sex: Sex, number: str) -> Resident:
        rng, names = self._rng, self._names
        moved = rng.random() < _HAS_MOVED
        return Resident(
            resident_id=resident_id,
            id_number=number,
            name=names.long_name() if happens(rng, _LONG_NAME) else names.name(sex),
            sex=sex,
            birth_date=birth_date,
            alive=birth_date.year >= _OLD_SINCE or not happens(rng, _OLD_AND_DEAD),
            former_id_numbers=(),
            address=names.address(),
            district_code=rng.choice(DISTRICTS),
            moved_on=TODAY - timedelta(days=rng.randint(40, 7000)) if moved else None,
            phone=names.phone() if happens(rng, 0.8) else None,
        )


def happens(rng: Random, share: float) -> bool:
    """Whether something happens that happens to this share of people."""
    return rng.random() < share


def _pool(draw: Callable[[], str], size: int) -> Sequence[str]:
    return [draw() for _ in range(size)]


def _marriages(rng: Random, people: Sequence[Resident]) -> list[Marriage]:
    adults = [person for person in people if person.age >= _MARRYING_AGE and person.alive]
    men = [person for person in adults if person.sex == "male"]
    women = [person for person in adults if person.sex == "female"]
    rng.shuffle(men)
    rng.shuffle(women)
    # Sorted by age after a coarse shuffle, couples come out of similar age without a search.
    men.sort(key=lambda person: person.birth_date.year // 4)
    women.sort(key=lambda person: person.birth_date.year // 4)
    wanted = round(len(people) * _MARRIED_COUPLES_PER_RESIDENT)
    couples = [couple for couple in zip(men, women, strict=False) if happens(rng, 0.9)]
    rng.shuffle(couples)
    return [_marriage(rng, FIRST_MARRIAGE_ID + n, couple) for n, couple in enumerate(couples[:wanted])]


def _marriage(rng: Random, marriage_id: int, couple: tuple[Resident, Resident]) -> Marriage:
    adult_since = max(person.birth_date.year for person in couple) + 22
    last_year = TODAY.year - 1
    registered_on = date(rng.randint(min(adult_since, last_year), last_year), rng.randint(1, 12), rng.randint(1, 28))
    first, second = (_number_shown(person, registered_on) for person in couple)
    return Marriage(
        marriage_id=marriage_id,
        certificate_number=f"J{rng.choice(DISTRICTS)}-{registered_on.year}-{marriage_id - FIRST_MARRIAGE_ID + 1:06d}",
        spouse_a_id_number=first,
        spouse_b_id_number=second,
        registered_on=registered_on,
        status="divorced" if happens(rng, _DIVORCED) else "married",
        spouse_ids=(couple[0].resident_id, couple[1].resident_id),
    )


def _number_shown(person: Resident, on: date) -> str:
    # Cards of the second generation, from 2004 on, all carry 18 characters.
    if on.year < _FIRST_NEW_CARDS and person.former_id_numbers:
        return person.former_id_numbers[0]
    return person.id_number
