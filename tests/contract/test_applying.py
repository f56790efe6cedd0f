"""Guarantees 2 to 4: the newest version wins, effects are exactly once, and every event reaches one terminal state."""

from collections import Counter
from collections.abc import Mapping

import pytest
from sqlalchemy import update

from contract.city import City, MakeCity, drive
from contract.forms import id_number
from tellonce.kafka.group import GroupReader, Partition
from tellonce.storage.database import writing
from tellonce.storage.tables import own_tables


class Crash(Exception):  # noqa: N818 - it stands for the process's end, not for an error that anybody handles
    """The applier's process ends here."""


def crash(*_arguments: object, **_named: object) -> None:
    """End here."""
    raise Crash


def read_again(city: City, department: str) -> None:
    """Let a department read the view from offset 0 again, as `tellonce reread` does."""
    with writing(city.engines[department]) as connection:
        table = own_tables(connection.dialect.name).position
        connection.execute(update(table).values(offset=0, leader_epoch=-1, attestable=False))


def writes(city: City, department: str) -> Counter[object]:
    """How often each name was written into a row of a department's table."""
    return Counter(name for (name,) in city.rows(department, "SELECT name FROM written"))


def state_of(city: City, department: str) -> object:
    """What a department holds of each record, as its ledger says."""
    names = ("pseudonym", "epoch", "version", "row_digest", "state")
    return sorted(tuple(row[name] for name in names) for row in city.own_rows(department, "applied"))


def test_newest_of_many_versions_is_held(city: City) -> None:
    """Each department ends with the newest version of each record."""
    city.add(1, 2)
    city.begin_epoch()
    city.run()

    for count in range(5):
        city.rename(1, f"Zhao {count}")
    city.run()

    assert sorted(city.patients().values(), key=str) == ["Wang Fang", "Zhao 4"]


def test_older_version_behind_a_newer_one_changes_nothing(city: City) -> None:
    """An older version that comes later, as after a lost acknowledgement, does not overwrite a newer one."""
    city.begin_epoch()
    city.publish()
    city.add(1, name="Zhao Old")
    city.publish()
    old = next(one for one in city.log() if not one.is_marker)
    city.rename(1, "Zhao New")
    city.run()

    city.send_again(old)
    city.apply()

    assert list(city.patients().values()) == ["Zhao New"]


def test_duplicate_has_no_second_effect(city: City) -> None:
    """The same event twice in the log is written once."""
    city.begin_epoch()
    city.publish()
    city.add(1, name="Zhao Once")
    city.publish()
    city.send_again(next(one for one in city.log() if not one.is_marker))

    city.apply()

    assert writes(city, city.names.clinic) == {"Zhao Once": 1}


def test_reading_the_log_again_has_no_effect(city: City) -> None:
    """Applying everything again from offset 0 writes no row and changes nothing in the ledger."""
    city.add(1, 2, 3)
    city.begin_epoch()
    city.run()
    city.rename(2, "Zhao New")
    city.run()
    before = state_of(city, city.names.clinic), writes(city, city.names.clinic)

    read_again(city, city.names.clinic)
    city.apply(city.names.clinic)

    assert (state_of(city, city.names.clinic), writes(city, city.names.clinic)) == before


def test_crash_between_apply_and_commit_to_kafka_has_no_second_effect(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The position in the department's database counts, so what it holds is not applied again."""
    city.begin_epoch()
    city.publish()
    city.add(1, 2, 3)
    city.publish()

    def crash_behind_a_transaction(_reader: GroupReader, offsets: Mapping[Partition, int]) -> None:
        # Not before: a member that closes while it joins the group is missed by the broker for 45 s.
        if offsets and writes(city, city.names.clinic):
            raise Crash

    with monkeypatch.context() as patch, city.applier(city.names.clinic) as applier:
        patch.setattr(GroupReader, "commit", crash_behind_a_transaction)
        with pytest.raises(Crash):
            drive(applier)

    city.apply(city.names.clinic)

    assert writes(city, city.names.clinic) == {"Wang Fang": 3}


def test_crash_inside_the_transaction_leaves_nothing_half_done(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and position are of one transaction: without the position there are no rows."""
    city.begin_epoch()
    city.publish()
    city.add(1, 2, 3)
    city.publish()

    with monkeypatch.context() as patch, city.applier(city.names.clinic) as applier:
        patch.setattr("tellonce.apply.transaction.attest", crash)
        with pytest.raises(Crash):
            drive(applier)

    assert writes(city, city.names.clinic) == {}


def test_crash_inside_the_transaction_is_made_good(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a crash took back is applied by the applier that follows, once."""
    city.begin_epoch()
    city.publish()
    city.add(1, 2, 3)
    city.publish()
    with monkeypatch.context() as patch, city.applier(city.names.clinic) as applier:
        patch.setattr("tellonce.apply.transaction.attest", crash)
        with pytest.raises(Crash):
            drive(applier)

    city.apply(city.names.clinic)

    assert writes(city, city.names.clinic) == {"Wang Fang": 3}


def test_applier_that_lost_its_place_writes_nothing(city: City) -> None:
    """A position that another applier has moved makes a late one begin anew: no effect happens twice."""
    city.begin_epoch()
    city.publish()
    with city.applier(city.names.clinic) as late:
        drive(late)
        places = {place: stream.position for place, stream in late._streams.items()}
        city.add(1, 2, 3)
        city.publish()
        drive(late, until=lambda: len(city.patients()) == 3)

        # It believes itself where it was before, and is handed the same events once more.
        for place, stream in late._streams.items():
            stream._position = places[place]
            late._reader.seek(place, (places[place].offset, -1))
        drive(late)

    assert writes(city, city.names.clinic) == {"Wang Fang": 3}


def test_rebalance_has_no_second_effect(city: City) -> None:
    """Partitions that move between two appliers of one department leave each effect once."""
    city.begin_epoch()
    city.publish()
    with city.relay() as relay, city.applier(city.names.clinic) as first:
        drive(first)
        with city.applier(city.names.clinic) as second:
            city.add(*range(1, 9), name="Zhao A")
            drive(relay, first, second, until=lambda: bool(second._reader.assigned))
            city.add(*range(11, 19), name="Zhao B")
            drive(relay, first, second, until=lambda: len(city.patients()) == 16)
        city.add(*range(21, 29), name="Zhao C")
        drive(relay, first, until=lambda: len(city.patients()) == 24)

    assert writes(city, city.names.clinic) == {"Zhao A": 8, "Zhao B": 8, "Zhao C": 8}


def test_every_event_reaches_one_terminal_state(city: City) -> None:
    """Applied, superseded, out of scope and parked add up to the events in the log, and each occurs."""
    names = city.names
    city.add(1, 2)
    city.add(3, name="N" * 31)
    city.begin_epoch()
    for serial in (1, 3):
        city.open_account(id_number(serial))
    city.publish()
    for count in range(3):
        city.rename(1, f"Zhao {count}")
    city.run()

    outcomes = city.outcomes(names.fund)
    events = sum(not one.is_marker for one in city.log())
    assert sum(outcomes.values()) == events
    assert all(outcomes.values()), outcomes


def test_events_read_twice_are_counted_as_superseded(city: City) -> None:
    """A replay adds as many superseded events as the log holds, and no other."""
    city.add(1, 2, 3)
    city.begin_epoch()
    city.run()
    before = city.outcomes(city.names.clinic)

    read_again(city, city.names.clinic)
    city.apply(city.names.clinic)

    assert city.outcomes(city.names.clinic) == {**before, "superseded": before["superseded"] + 3}


@pytest.mark.parametrize(
    ("on_delete", "expected"), [("keep", [("Wang Fang", "0")]), ("mark", [("Wang Fang", "9")]), ("delete", [])]
)
def test_deleted_record_is_treated_as_the_binding_says(
    make_city: MakeCity, on_delete: str, expected: list[tuple[str, str]]
) -> None:
    """`on_delete` keeps, marks or deletes the row of a record that the authority deleted."""
    city = make_city(on_delete=on_delete)
    city.add(1)
    city.open_account(id_number(1))
    city.begin_epoch()
    city.run()

    city.execute(city.names.registry, "DELETE FROM resident WHERE resident_id = 1")
    city.run()

    assert city.rows(city.names.fund, "SELECT xm, zt FROM account") == expected
