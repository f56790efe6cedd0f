"""Rows that carry an old number: found by former and derived numbers, never by guess where two records answer."""

from dataclasses import replace

import pytest

from contract.city import City, drive
from contract.forms import id_number, short_number


def accounts(city: City) -> list[tuple[object, ...]]:
    """The fund's accounts with their numbers and names."""
    return city.rows(city.names.fund, "SELECT zhbh, gmsfhm, xm FROM account ORDER BY zhbh")


def reasons(city: City) -> dict[str, str]:
    """Why records are parked at the fund, by pseudonym."""
    return {pseudonym: record.reason for pseudonym, record in city.parked(city.names.fund).items()}


def test_row_under_a_former_number_gets_the_present_one(city: City) -> None:
    """`previous` finds the row by a number from the authority's history and writes the authority's value."""
    city.add(1, former="OLD-NUMBER")
    city.open_account("OLD-NUMBER", account="A1")
    city.begin_epoch()

    city.run()

    assert accounts(city) == [("A1", id_number(1), "Wang Fang")]


def test_row_under_a_derived_number_gets_the_present_one(city: City) -> None:
    """`candidate` finds the row whose 15 digits lead to the authority's number."""
    city.add(1)
    city.open_account(short_number(1), account="A1")
    city.begin_epoch()

    city.run()

    assert accounts(city) == [("A1", id_number(1), "Wang Fang")]


@pytest.mark.parametrize("kind", ["previous", "candidate"])
def test_old_number_waits_for_the_end_of_the_snapshot(city: City, kind: str) -> None:
    """Until every record of the epoch was read, another might answer to the same old number."""
    number = "OLD-NUMBER" if kind == "previous" else short_number(1)
    city.add(1, former="OLD-NUMBER" if kind == "previous" else None)
    city.add(2, 3)
    city.open_account(number, name="before", account="A1")
    city.begin_epoch()
    with city.relay() as relay:
        relay._cycle._stager._limits = replace(relay._cycle._stager._limits, snapshot_records=1)
        drive(relay, until=lambda: any(not one.is_marker for one in city.log()))
    city.apply(city.names.fund)
    while_open = reasons(city), accounts(city)

    city.run()

    assert while_open == ({city.pseudonym(1): "awaiting_snapshot"}, [("A1", number, "before")])
    assert accounts(city) == [("A1", id_number(1), "Wang Fang")]


def test_number_that_two_records_share_is_ambiguous(city: City) -> None:
    """A former number of two residents links no row: both are ambiguous, and the row stays as it was."""
    city.add(1, 2, former="SHARED")
    city.open_account("SHARED", name="before", account="A1")
    city.begin_epoch()

    city.run()

    assert accounts(city) == [("A1", "SHARED", "before")]
    assert reasons(city) == {city.pseudonym(1): "ambiguous", city.pseudonym(2): "ambiguous"}


def test_two_rows_under_one_number_are_ambiguous(city: City) -> None:
    """Where a department may have one row for a record, two rows with its number wait for a person."""
    city.add(1)
    for account in ("A1", "A2"):
        city.open_account(id_number(1), name="before", account=account)
    city.begin_epoch()

    city.run()

    assert [name for _, _, name in accounts(city)] == ["before", "before"]
    assert reasons(city) == {city.pseudonym(1): "ambiguous"}


def test_existing_binding_opens_no_row(city: City) -> None:
    """A fund never opens an account because a resident exists."""
    city.add(1, 2)
    city.open_account(id_number(1), account="A1")
    city.begin_epoch()

    city.run()

    assert [account for account, _, _ in accounts(city)] == ["A1"]


def test_closed_row_is_left_as_it_is(city: City) -> None:
    """A row for which `open` is not true is out of scope."""
    city.add(1)
    city.open_account(id_number(1), name="before", account="A1")
    city.begin_epoch()
    city.run()
    city.execute(city.names.fund, "UPDATE account SET zt = '9', xm = 'before'")

    city.rename(1, "Zhao New")
    city.run()

    assert accounts(city) == [("A1", id_number(1), "before")]


def test_row_that_turns_up_later_is_brought_up_to_date(city: City) -> None:
    """The fund's sweep finds the record of a row opened after its event, and orders it for itself."""
    city.add(1)
    city.begin_epoch()
    city.run()

    city.open_account(id_number(1), name="before", account="A1")
    city.apply(city.names.fund)
    city.run()

    assert accounts(city) == [("A1", id_number(1), "Wang Fang")]
