"""The live load at the authorities."""

from collections import Counter
from collections.abc import Callable, Mapping

import pytest
from sqlalchemy import Engine
from stdnum.cn import ric

from tellonce.demo.generation import City, build_city
from tellonce.demo.load import ChangeKind, ChangeLoad, Done
from tellonce.storage.database import open_database

RowsOf = Callable[[Engine, str], list[dict[str, object]]]


def run(
    city: City, engines: Mapping[str, Engine], *, changes: int = 200, avoid: frozenset[int] = frozenset()
) -> list[Done]:
    """Everything a load did, made as fast as the databases allow."""
    return list(ChangeLoad(city, seed=3, changes=changes, avoid=avoid).run(engines))


def test_load_makes_as_many_changes_as_asked_of_every_kind(city: City, filled: Mapping[str, Engine]) -> None:
    """Every kind of change occurs in a load of two hundred, in either store."""
    done = run(city, filled)

    assert [one.number for one in done] == list(range(200))
    assert set(Counter(one.kind for one in done)) == set(ChangeKind)


def test_upgrade_writes_number_and_history_together(city: City, filled: Mapping[str, Engine], rows_of: RowsOf) -> None:
    """After an ID upgrade the register has 18 valid characters, and the history the 15 digits before."""
    before = {str(person.resident_id): person.id_number for person in city.population.residents}

    upgraded = {one.record_key for one in run(city, filled) if one.kind is ChangeKind.ID_UPGRADE}

    now = {str(row["resident_id"]): str(row["id_number"]) for row in rows_of(filled["public-security"], "resident")}
    history = {(str(row["resident_id"]), row["id_number"]) for row in rows_of(filled["public-security"], "id_history")}
    assert upgraded
    assert all(len(before[key]) == 15 and ric.is_valid(now[key]) for key in upgraded)
    assert all((key, before[key]) in history for key in upgraded)


def test_undone_correction_leaves_the_record_as_it_was(
    city: City, filled_sqlite: Mapping[str, Engine], rows_of: RowsOf
) -> None:
    """A correction that is undone ends in the first value again, and each undoing follows its correction."""
    before = {str(person.resident_id): person.id_number for person in city.population.residents}

    done = run(city, filled_sqlite, changes=400)

    wrong = [one for one in done if one.kind is ChangeKind.WRONG_CORRECTION]
    undone = [one for one in done if one.kind is ChangeKind.CORRECTION_UNDONE]
    upgraded = {one.record_key for one in done if one.kind is ChangeKind.ID_UPGRADE}
    now = {str(row["resident_id"]): row["id_number"] for row in rows_of(filled_sqlite["public-security"], "resident")}
    assert len(wrong) == 20
    assert [one.record_key for one in wrong] == [one.record_key for one in undone]
    assert all(first.number < second.number for first, second in zip(wrong, undone, strict=True))
    assert all(now[one.record_key] == before[one.record_key] for one in wrong if one.record_key not in upgraded)


def test_rolled_back_change_leaves_nothing(city: City, filled: Mapping[str, Engine], rows_of: RowsOf) -> None:
    """A transaction that is rolled back changes no row, and says that it did not commit."""
    names = {row["resident_id"]: row["name"] for row in rows_of(filled["public-security"], "resident")}

    rolled_back = []
    for one in ChangeLoad(city, seed=3, changes=60).run(filled):
        after = {row["resident_id"]: row["name"] for row in rows_of(filled["public-security"], "resident")}
        if one.kind is ChangeKind.ROLLED_BACK:
            rolled_back.append(one)
            assert after == names
        names = after

    assert rolled_back
    assert not any(one.committed for one in rolled_back)


def test_marriage_opens_a_file_for_both(city: City, filled: Mapping[str, Engine], rows_of: RowsOf) -> None:
    """Civil affairs files both parties in the transaction that registers them, so an existing binding gains rows."""
    files_before = len(rows_of(filled["civil-affairs"], "party_file"))

    married = [one for one in run(city, filled) if one.kind is ChangeKind.MARRIAGE]

    registry = {str(row["marriage_id"]) for row in rows_of(filled["civil-affairs"], "marriage")}
    assert married
    assert {one.record_key for one in married} <= registry
    assert all((one.department, one.record_type) == ("civil-affairs", "marriage") for one in married)
    assert len(rows_of(filled["civil-affairs"], "party_file")) == files_before + 2 * len(married)


def test_new_residents_get_keys_and_numbers_of_their_own(
    city: City, filled_sqlite: Mapping[str, Engine], rows_of: RowsOf
) -> None:
    """A birth adds a record that never was, with a valid number."""
    known = {str(person.resident_id) for person in city.population.residents}

    born = {one.record_key for one in run(city, filled_sqlite) if one.kind is ChangeKind.NEW_RESIDENT}

    numbers = {
        str(row["resident_id"]): str(row["id_number"]) for row in rows_of(filled_sqlite["public-security"], "resident")
    }
    assert born
    assert not born & known
    assert all(ric.is_valid(numbers[key]) for key in born)


def test_avoided_residents_are_left_alone(city: City, filled_sqlite: Mapping[str, Engine]) -> None:
    """Whoever a planted fault concerns is not changed by the load, which would heal the fault."""
    avoid = frozenset(person.resident_id for person in city.population.residents[:500])

    done = run(city, filled_sqlite, changes=300, avoid=avoid)

    touched = {int(one.record_key) for one in done if one.record_type == "citizen"}
    assert not touched & avoid


def test_same_seed_makes_the_same_changes(
    city: City, filled_sqlite: Mapping[str, Engine], rows_of: RowsOf, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A seed names one course of changes, but for the times."""
    first = [(one.kind, one.record_key) for one in run(city, filled_sqlite)]
    state = rows_of(filled_sqlite["public-security"], "resident")

    folder = tmp_path_factory.mktemp("again")
    again = {department: open_database(f"sqlite:///{folder / department}.sqlite") for department in filled_sqlite}
    city.create_databases(again)
    second = [(one.kind, one.record_key) for one in run(city, again)]

    state_again = rows_of(again["public-security"], "resident")
    for engine in again.values():
        engine.dispose()
    without_time = [{k: v for k, v in row.items() if k != "updated_at"} for row in state]
    assert second == first
    assert [{k: v for k, v in row.items() if k != "updated_at"} for row in state_again] == without_time


def test_small_city_runs_out_of_upgrades_and_still_makes_every_change(
    sqlite_databases: Mapping[str, str],
) -> None:
    """Where nobody is left for a kind of change somebody moves instead, so the number asked for is made."""
    small = build_city(1, 12)
    engines = {department: open_database(url) for department, url in sqlite_databases.items()}
    small.create_databases(engines)

    done = run(small, engines, changes=150)

    assert len(done) == 150
    assert all(one.committed for one in done if one.kind is not ChangeKind.ROLLED_BACK)
    for engine in engines.values():
        engine.dispose()


def test_commit_time_is_the_clocks(city: City, filled_sqlite: Mapping[str, Engine]) -> None:
    """The time of a change is read after its transaction ended, in milliseconds."""
    done = list(ChangeLoad(city, seed=1, changes=3, clock=lambda: 1_750_000_000.25).run(filled_sqlite))

    assert {one.committed_at_ms for one in done} == {1_750_000_000_250}
