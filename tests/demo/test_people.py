"""The generated residents and marriages."""

import time

from stdnum.cn import ric

from tellonce.demo.numbers import short_form
from tellonce.demo.people import TODAY, Resident, populate


def upgraded(person: Resident) -> str:
    """The 18-character number that the person has or will have."""
    return person.next_id_number or person.id_number


def test_every_number_is_valid_and_nobody_elses() -> None:
    """Numbers of 18 characters are valid by python-stdnum's rules, and unique in the register."""
    people = populate(1, 2000).residents

    assert all(ric.is_valid(upgraded(person)) for person in people)
    assert len({person.id_number for person in people}) == 2000


def test_same_seed_gives_the_same_people_and_another_seed_others() -> None:
    """A seed names one city for ever, so a failed run can be repeated."""
    assert populate(3, 300) == populate(3, 300)
    assert populate(3, 300).residents != populate(4, 300).residents


def test_only_who_was_born_before_october_1999_ever_had_a_short_number() -> None:
    """The 15-digit number was given until 30 September 1999."""
    people = populate(1, 2000).residents

    late = [person for person in people if person.birth_date.isoformat() > "1999-09-30"]

    assert late
    assert all(person.former_id_numbers == () and len(person.id_number) == 18 for person in late)


def test_every_history_of_a_number_occurs() -> None:
    """Some still hold 15 digits, most are upgraded with a history, for some the history is lost."""
    people = [p for p in populate(1, 3000).residents if p.birth_date.isoformat() <= "1999-09-30"]

    still = [p for p in people if len(p.id_number) == 15]
    lost = [p for p in people if len(p.id_number) == 18 and not p.former_id_numbers]

    assert 0.03 < len(still) / len(people) < 0.1
    assert 0.04 < len(lost) / len(people) < 0.12
    assert all(p.next_id_number is not None and not p.former_id_numbers for p in still)
    assert any(short_form(p.next_id_number or "") != p.id_number for p in still), "an upgrade is no mere derivation"


def test_shared_short_number_is_the_former_one_of_exactly_two() -> None:
    """A shared 15-digit number leads to two residents with different numbers today, and no other number does."""
    population = populate(1, 3000)

    holders: dict[str, list[Resident]] = {}
    for person in population.residents:
        for number in person.former_id_numbers:
            holders.setdefault(number, []).append(person)

    assert {number for number, people in holders.items() if len(people) > 1} == population.shared_short_numbers
    assert all(len(holders[number]) == 2 for number in population.shared_short_numbers)
    assert len(population.shared_short_numbers) == 10


def test_some_names_are_longer_than_thirty_bytes() -> None:
    """Names in two parts with a middle dot do not fit the housing fund's column."""
    names = [person.name for person in populate(1, 3000).residents]

    long = [name for name in names if len(name.encode()) > 30]

    assert 10 < len(long) < 60
    assert all("·" in name for name in long)


def test_spouses_are_adults_and_married_once() -> None:
    """A couple are two living adults of either sex, and nobody stands in two marriages at the start."""
    population = populate(1, 3000)
    people = {person.resident_id: person for person in population.residents}

    couples = [[people[one] for one in marriage.spouse_ids] for marriage in population.marriages]

    assert len(couples) > 300
    assert all(person.age >= 24 and person.alive for couple in couples for person in couple)
    assert all({person.sex for person in couple} == {"male", "female"} for couple in couples)
    assert len({one for marriage in population.marriages for one in marriage.spouse_ids}) == 2 * len(couples)


def test_strangers_are_not_in_the_register() -> None:
    """People of other cities have numbers that lead to no resident, by no rule."""
    population = populate(1, 500)

    known = {upgraded(person) for person in population.residents}

    assert population.strangers
    assert all(stranger.id_number not in known for stranger in population.strangers)


def test_nobody_is_born_in_the_future() -> None:
    """The registers stand at one fixed day."""
    assert all(person.birth_date < TODAY for person in populate(2, 2000).residents)


def test_three_thousand_residents_take_less_than_two_seconds() -> None:
    """The demonstration may not spend its minute on inventing people."""
    started = time.process_time()

    populate(1, 3000)

    assert time.process_time() - started < 2
