"""What the departments' tables hold at the start."""

from collections import Counter

import pytest

from tellonce.demo.generation import City, build_city
from tellonce.demo.tables import Row


def by_key(city: City, department: str, table: str, key: str) -> dict[str, Row]:
    """A table's rows by their own key."""
    return {str(row[key]): row for row in city.rows[department][table]}


@pytest.fixture(scope="module")
def town() -> City:
    """The demonstration's default size."""
    return build_city(1, 3000)


def test_three_in_ten_accounts_carry_a_short_number(town: City) -> None:
    """30 % of the fund's accounts still stand under 15 digits."""
    lengths = Counter(len(str(row["gmsfhm"])) for row in town.rows["provident-fund"]["fund_account"])

    assert lengths[15] / lengths.total() == pytest.approx(0.30, abs=0.001)


def test_undecidable_accounts_carry_a_number_that_two_residents_shared(town: City) -> None:
    """Some of the 15-digit numbers match two residents, and their accounts are open."""
    accounts = by_key(town, "provident-fund", "fund_account", "zhbh")

    undecidable = [accounts[key] for key in town.ownership["provident-fund"].undecidable]

    assert len(undecidable) == 15
    assert all(row["gmsfhm"] in town.population.shared_short_numbers for row in undecidable)
    assert all(row["zhzt"] != "9" for row in undecidable)


def test_who_shared_a_number_has_no_account_under_another(town: City) -> None:
    """An undecidable account is not made decidable by a second one of the same person."""
    owners = Counter(town.ownership["provident-fund"].owners.values())
    shared = {
        person.resident_id
        for person in town.population.residents
        if set(person.former_id_numbers) & town.population.shared_short_numbers
    }

    undecidable = {town.ownership["provident-fund"].owners[key] for key in town.ownership["provident-fund"].undecidable}

    assert shared & set(owners) == undecidable
    assert max(owners.values()) == 1


def test_closed_accounts_are_untouchable(town: City) -> None:
    """A closed account keeps its number, whatever becomes of its holder."""
    accounts = by_key(town, "provident-fund", "fund_account", "zhbh")
    closed = {key: row["gmsfhm"] for key, row in accounts.items() if row["zhzt"] == "9"}

    untouchable = town.ownership["provident-fund"].untouchable

    assert closed
    assert closed.items() <= untouchable.items()
    assert set(untouchable) == set(closed) | set(town.ownership["provident-fund"].undecidable)


def test_fund_names_fit_their_column(town: City) -> None:
    """A clerk cut the long names; the column never held more than 30 bytes."""
    names = [str(row["xm"]) for row in town.rows["provident-fund"]["fund_account"]]

    assert max(len(name.encode()) for name in names) <= 30
    assert any(len(name.encode()) > 27 for name in names), "a long name was cut"


def test_mirrors_lack_some_residents_and_have_some_strangers(town: City) -> None:
    """A mirror has to be completed, and its rows of other cities' people left alone."""
    for department, table, key in (
        ("social-security", "insured_person", "ryid"),
        ("healthcare", "patient_index", "pid"),
    ):
        rows = by_key(town, department, table, key)
        owned = town.ownership[department]

        assert 2000 < len(owned.owners) < 3000
        assert set(rows) == set(owned.owners) | set(owned.strangers)
        assert owned.strangers


def test_every_row_of_the_register_is_there(town: City) -> None:
    """The authority holds every resident, and each former number it remembers."""
    tables = town.rows["public-security"]

    assert [row["resident_id"] for row in tables["resident"]] == [p.resident_id for p in town.population.residents]
    assert len(tables["id_history"]) == sum(len(p.former_id_numbers) for p in town.population.residents)


def test_same_arguments_give_the_same_city() -> None:
    """The departments' rows are part of what a seed names."""
    assert build_city(5, 400) == build_city(5, 400)
