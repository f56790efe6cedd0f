"""Guarantee 5: what differs is named to the record and its kind; what is equal, or not there yet, is not reported."""

import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from contract.city import City, MakeCity, Reconciled
from contract.forms import id_number
from tellonce.control.messages import Attestation, Mark, decode_message
from tellonce.kafka.reading import read_to_end
from tellonce.topology.topics import attestations, marks

Found = set[tuple[str, str, str]]


def named(reconciled: Reconciled) -> Found:
    """Department, pseudonym and kind of every divergence that is not resolved."""
    return {(one.department, one.pseudonym, one.kind.value) for one in reconciled.divergences}


def prepared(city: City) -> City:
    """Five residents, all at the clinic and the first three at the fund, applied everywhere."""
    city.add(1, 2, 3, 4, 5)
    for serial in (1, 2, 3):
        city.open_account(id_number(serial))
    city.begin_epoch()
    city.run()
    return city


def test_equal_data_is_proved(city: City) -> None:
    """Every stream of every department whose data is equal ends proved, with no divergence."""
    prepared(city)

    reconciled = city.reconcile()

    assert reconciled.settled
    assert (reconciled.states(city.names.fund), reconciled.states(city.names.clinic)) == ({"proved"}, {"proved"})
    assert named(reconciled) == set()


def test_altered_row_is_named(city: City) -> None:
    """A value changed behind the applier is named as altered, for that department and record alone."""
    prepared(city)
    city.execute(
        city.names.clinic, "UPDATE patient SET patient_name = 'Qian' WHERE card_no = :number", number=id_number(2)
    )

    reconciled = city.reconcile()

    assert named(reconciled) == {(city.names.clinic, city.pseudonym(2), "altered")}


def test_row_gone_from_a_mirror_is_named_missing(city: City) -> None:
    """A row deleted behind the applier of a mirror is named as missing."""
    prepared(city)
    city.execute(city.names.clinic, "DELETE FROM patient WHERE card_no = :number", number=id_number(4))

    reconciled = city.reconcile()

    assert named(reconciled) == {(city.names.clinic, city.pseudonym(4), "missing")}


def test_linked_row_gone_from_an_existing_binding_is_named_missing(city: City) -> None:
    """A record stays in scope until its file says otherwise, so a linked row that is gone is missing."""
    prepared(city)
    city.execute(city.names.fund, "DELETE FROM account WHERE gmsfhm = :number", number=id_number(3))

    reconciled = city.reconcile()

    assert named(reconciled) == {(city.names.fund, city.pseudonym(3), "missing")}


def test_parked_record_is_named(city: City) -> None:
    """A record that a department could not apply is a divergence of that department."""
    prepared(city)
    city.rename(1, "N" * 31)
    city.run()

    reconciled = city.reconcile()

    assert {found for found in named(reconciled) if found[0] == city.names.fund} == {
        (city.names.fund, city.pseudonym(1), "parked")
    }


def test_ambiguous_record_is_named(city: City) -> None:
    """Records that share a number with each other are named as ambiguous."""
    city.add(1, 2, former="SHARED")
    city.open_account("SHARED")
    city.begin_epoch()
    city.run()

    reconciled = city.reconcile()

    expected = {(city.names.fund, city.pseudonym(serial), "ambiguous") for serial in (1, 2)}
    assert named(reconciled) == expected


def test_unpublished_record_is_named_for_every_subscriber(city: City) -> None:
    """A record that the authority could not publish is a divergence of everybody who subscribes."""
    prepared(city)
    city.execute(city.names.registry, "UPDATE resident SET name = NULL WHERE resident_id = 2")
    city.run()

    reconciled = city.reconcile()

    expected = {(name, city.pseudonym(2), "unpublished") for name in city.subscribers}
    assert named(reconciled) == expected


def test_department_that_is_behind_is_not_reported(city: City) -> None:
    """Whoever has not read the newest events holds old data, which is no divergence."""
    prepared(city)
    for serial in (1, 2, 3, 4, 5):
        city.rename(serial, "Zhao New")
    city.publish()

    reconciled = city.reconcile(city.names.fund, deadline_seconds=6)

    assert named(reconciled) == set()
    assert city.every_divergence() == []
    assert "diverged" not in reconciled.states(city.names.clinic)


def test_equal_data_is_not_reported_under_load(city: City) -> None:
    """While changes run and the reconciler compares, nothing is ever said to differ."""
    prepared(city)
    load: list[Callable[[], None]] = []
    for count in range(10):
        load += [partial(city.rename, serial, f"Zhao {count}") for serial in (1, 2, 3)]
        load.append(partial(city.add, 100 + count))
    load.append(partial(city.execute, city.names.registry, "DELETE FROM resident WHERE resident_id = 4"))

    reconciled = city.reconcile(load=load)

    assert city.every_divergence() == []
    assert (reconciled.states(city.names.fund), reconciled.states(city.names.clinic)) == ({"proved"}, {"proved"})


def test_altered_row_is_repaired(make_city: MakeCity) -> None:
    """Where the subscription says repair, the department's sweep and one order put the authority's value back."""
    city = prepared(make_city(on_divergence="repair"))
    city.execute(
        city.names.clinic, "UPDATE patient SET patient_name = 'Qian' WHERE card_no = :number", number=id_number(2)
    )

    # The first run orders the repair, the relay publishes it, the second run proves it.
    city.reconcile()
    city.run()
    reconciled = city.reconcile()

    assert city.patients()[id_number(2)] == "Wang Fang"
    assert (named(reconciled), reconciled.states(city.names.clinic)) == (set(), {"proved"})


def test_missing_row_of_a_mirror_is_repaired(make_city: MakeCity) -> None:
    """Where the subscription says repair, a mirror's missing row comes back."""
    city = prepared(make_city(on_divergence="repair"))
    city.execute(city.names.clinic, "DELETE FROM patient WHERE card_no = :number", number=id_number(4))

    city.reconcile()
    city.run()
    reconciled = city.reconcile()

    assert city.patients()[id_number(4)] == "Wang Fang"
    assert (named(reconciled), reconciled.states(city.names.clinic)) == (set(), {"proved"})


def test_flagged_row_is_left_to_a_person(city: City) -> None:
    """Where the subscription says flag, nothing is written until a person orders it."""
    prepared(city)
    city.execute(
        city.names.clinic, "UPDATE patient SET patient_name = 'Qian' WHERE card_no = :number", number=id_number(2)
    )

    city.reconcile()

    assert city.patients()[id_number(2)] == "Qian"


def test_resync_begins_a_new_epoch_and_ends_proved(city: City) -> None:
    """A new epoch publishes every record again; at its end every department is proved in it."""
    prepared(city)

    epoch = city.begin_epoch()
    city.run()
    reconciled = city.reconcile()

    assert {status.proved_epoch for status in reconciled.statuses} == {epoch}
    assert {status.state.value for status in reconciled.statuses} == {"proved"}


class TestRestored:
    """An authority whose database was restored from a backup that is older than what it had published."""

    @pytest.fixture
    def restored(self, city: City) -> City:
        """A city whose authority forgot that it published resident 6 and renamed resident 1."""
        prepared(city)
        registry = city.names.registry
        city.engines[registry].dispose()
        backup = city.site.copy_database(city.urls[registry], "backup")
        city.add(6)
        city.rename(1, "Zhao Forgotten")
        city.run()
        city.use_database(registry, backup)
        return city

    def test_streams_stop_with_the_command_that_mends_them(self, restored: City) -> None:
        """The relay sees that the log is ahead, stops the stream and names `tellonce resync`."""
        restored.publish()

        sentences = [row["stopped"] for row in restored.own_rows(restored.names.registry, "stream")]
        assert any(sentences)
        assert all(f"`tellonce resync {restored.names.record_type}`" in one for one in sentences if one)

    def test_nothing_is_published_into_a_stopped_stream(self, restored: City) -> None:
        """A stopped stream's log stays as it was."""
        before = Counter(one.partition for one in restored.log())
        for serial in (1, 2, 3, 4, 5):
            restored.rename(serial, "Zhao Late")

        restored.publish()

        stopped = {row["partition"] for row in restored.own_rows(restored.names.registry, "stream") if row["stopped"]}
        after = Counter(one.partition for one in restored.log())
        assert stopped
        assert {number: after[number] for number in stopped} == {number: before[number] for number in stopped}

    def test_resync_names_what_the_backup_did_not_know(self, restored: City) -> None:
        """After the new epoch the record that the backup lacks is orphaned at the clinic, and nothing else differs."""
        restored.begin_epoch()
        restored.run()

        reconciled = restored.reconcile()

        assert restored.patients()[id_number(1)] == "Wang Fang"
        assert {found for found in named(reconciled) if found[0] == restored.names.clinic} == {
            (restored.names.clinic, restored.pseudonym(6), "orphaned")
        }


def test_both_sides_state_anew_though_nothing_changed(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quiet stream is stated again and again, so that silence means that somebody withholds what is said."""
    names = city.names
    prepared(city)
    monkeypatch.setattr("tellonce.publish.relay._BEAT_SECONDS", 0.0)
    monkeypatch.setattr("tellonce.apply.applier._BEAT_SECONDS", 0.0)

    def stated(shape: type[Mark | Attestation], topic: str) -> list[tuple[tuple[int, int, int], str, int]]:
        read = (decode_message(shape, message.value() or b"") for message in read_to_end(city.kafka, topic))
        return [((one.partition, one.epoch, one.sequence), one.sum, one.at_ms) for one in read]

    city.publish()
    city.apply(names.clinic)
    before = [stated(Mark, marks(names.registry)), stated(Attestation, attestations(names.clinic))]
    time.sleep(0.01)
    city.publish()
    city.apply(names.clinic)
    after = [stated(Mark, marks(names.registry)), stated(Attestation, attestations(names.clinic))]

    for old, new in zip(before, after, strict=True):
        newest = {place: (sum_, at_ms) for place, sum_, at_ms in old}
        again = new[len(old) :]
        assert all(newest[place][0] == sum_ for place, sum_, _ in again)
        assert {place[0] for place, _, at_ms in again if at_ms > newest[place][1]} == {0, 1}
