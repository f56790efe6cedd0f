"""Guarantee 1: a committed change is published, a rolled-back one never is; and what is staged is sent as staged."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import text, update
from structlog.testing import capture_logs

from contract.city import City, drive
from tellonce.model.change import Operation
from tellonce.publish.relay import Relay
from tellonce.publish.staged import marker_key
from tellonce.storage.database import writing
from tellonce.storage.tables import own_tables


class Crash(Exception):  # noqa: N818 - it stands for the process's end, not for an error that anybody handles
    """The relay's process ends here."""


@contextmanager
def crashing(city: City, monkeypatch: pytest.MonkeyPatch, place: str) -> Iterator[Relay]:
    """A relay whose process ends at a function, and so never gives its lease back."""

    def crash(*_arguments: object, **_named: object) -> None:
        raise Crash

    with city.relay() as relay:
        drive(relay)
        with monkeypatch.context() as patch, pytest.raises(Crash):
            patch.setattr(place, crash)
            yield relay
        relay._cycle._lease = None


def sequences_in_log(city: City) -> list[tuple[int, int, str]]:
    """Partition, sequence and key of every event about a record, in the order of the log."""
    return [(one.partition, one.header.sequence, one.key) for one in city.log() if not one.is_marker]


def sequences_staged(city: City) -> list[tuple[int, int, str]]:
    """The same of what is staged and not confirmed."""
    rows = city.own_rows(city.names.registry, "staged")
    found = [(row["partition"], row["sequence"], row["kafka_key"]) for row in rows if row["record_key"]]
    return sorted(found, key=lambda one: one[:2])


def test_committed_change_is_published(city: City) -> None:
    """A change that its transaction committed is in the log."""
    city.begin_epoch()
    city.publish()

    city.add(1, name="Zhao Committed")
    city.publish()

    assert city.names_in_log() == ["Zhao Committed"]


def test_rolled_back_change_is_not_published(city: City) -> None:
    """A change whose transaction was rolled back is in no log."""
    city.begin_epoch()
    insert = "INSERT INTO resident (resident_id, id_number, name, born) VALUES (1, '1', 'Rolled Back', '1970-01-01')"

    with pytest.raises(ZeroDivisionError), city.engines[city.names.registry].begin() as connection:
        connection.execute(text(insert))
        raise ZeroDivisionError
    city.add(2, name="Zhao Committed")
    city.publish()

    assert city.names_in_log() == ["Zhao Committed"]


def test_what_was_staged_before_a_crash_is_sent_once_with_its_sequences(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Position rule 1: sequences are durable before sending, so a relay that follows sends exactly those."""
    city.begin_epoch()
    with crashing(city, monkeypatch, "tellonce.publish.send.Sender.send") as relay:
        city.add(1, 2, 3, 4)
        drive(relay)
    staged = sequences_staged(city)

    city.publish()

    assert len(staged) == 4
    assert sequences_in_log(city) == staged


def test_what_was_sent_before_a_crash_is_sent_again_as_it_was(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event whose acknowledgement was lost comes again with the same sequence and the same bytes."""
    city.begin_epoch()
    with crashing(city, monkeypatch, "tellonce.publish.cycle.confirm") as relay:
        city.add(1, 2, 3, 4)
        drive(relay)
    first = [(one.partition, one.header.sequence, one.payload) for one in city.log() if not one.is_marker]

    city.publish()

    both = [(one.partition, one.header.sequence, one.payload) for one in city.log() if not one.is_marker]
    assert len(first) == 4
    assert sorted(both) == sorted(first + first)


def test_nothing_stays_staged_after_a_crash_and_a_restart(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the broker has acknowledged to the relay that follows leaves the staging table."""
    city.begin_epoch()
    with crashing(city, monkeypatch, "tellonce.publish.cycle.confirm") as relay:
        city.add(1, 2)
        drive(relay)

    city.publish()

    assert city.own_rows(city.names.registry, "staged") == []


def test_stream_of_an_earlier_format_waits_for_a_new_epoch(city: City) -> None:
    """After an update that changed what stands on the wire nothing is appended to the old events; a resync mends it."""
    city.begin_epoch()
    city.add(1)
    city.publish()
    (settings, *_) = {row["settings"] for row in city.own_rows(city.names.registry, "stream")}
    earlier = json.dumps({name: value for name, value in json.loads(settings).items() if name != "format"})
    with writing(city.engines[city.names.registry]) as connection:
        connection.execute(update(own_tables(connection.dialect.name).stream).values(settings=earlier))
    before = city.names_in_log()
    city.add(2, name="Li Na")

    with capture_logs() as logs:
        city.publish()

    assert city.names_in_log() == before == ["Wang Fang"]
    told = [line for line in logs if line["event"] == "stream_stopped"]
    assert told
    assert all("`tellonce resync person" in line["why"] for line in told)
    city.begin_epoch()
    city.publish()
    assert "Li Na" in city.names_in_log()


def test_sequences_are_dense(city: City) -> None:
    """In every stream the sequences of one epoch count up from 1 without a gap."""
    city.add(*range(1, 12))
    city.begin_epoch()
    city.publish()
    city.rename(3, "Zhao New")
    city.publish()

    by_partition: dict[int, list[int]] = {}
    for one in city.log():
        by_partition.setdefault(one.partition, []).append(one.header.sequence)
    assert by_partition == {number: list(range(1, len(some) + 1)) for number, some in by_partition.items()}


def test_row_changed_with_triggers_off_is_published_by_the_sweep(city: City) -> None:
    """What was changed behind the outbox gets its next version from the authority's sweep."""
    city.add(1, name="Zhao Before")
    city.begin_epoch()
    city.publish()

    city.change_behind_the_outbox("UPDATE resident SET name = 'Zhao After' WHERE resident_id = 1")
    city.publish()

    assert city.names_in_log() == ["Zhao Before", "Zhao After"]


def test_record_that_cannot_be_published_parks_alone(city: City) -> None:
    """A row without a required value is kept back at the authority; the others are published."""
    city.begin_epoch()
    insert = "INSERT INTO resident (resident_id, id_number, name, born) VALUES (1, '1', NULL, '1970-01-01')"
    city.execute(city.names.registry, insert)
    city.add(2, name="Zhao Fine")

    city.publish()

    assert city.names_in_log() == ["Zhao Fine"]
    assert [row["record_key"] for row in city.own_rows(city.names.registry, "unpublished")] == ["1"]


def test_unpublishable_record_is_published_once_it_is_mended(city: City) -> None:
    """A record that was kept back goes out with the change that mends it."""
    city.begin_epoch()
    insert = "INSERT INTO resident (resident_id, id_number, name, born) VALUES (1, '1', NULL, '1970-01-01')"
    city.execute(city.names.registry, insert)
    city.publish()

    city.rename(1, "Zhao Mended")
    city.publish()

    assert city.names_in_log() == ["Zhao Mended"]
    assert city.own_rows(city.names.registry, "unpublished") == []


def test_row_that_was_too_large_is_published_once_it_is_mended(city: City) -> None:
    """What a record was may be too large to be told: the change that mends it goes without it."""
    city.begin_epoch()
    city.add(1, name="Z" * 1_100_000)
    city.publish()
    kept_back = [row["reason"] for row in city.own_rows(city.names.registry, "unpublished")]

    city.rename(1, "Zhao Mended")
    city.publish()

    assert kept_back == ["too_large"]
    assert city.names_in_log() == ["Zhao Mended"]
    assert city.own_rows(city.names.registry, "unpublished") == []


def test_refused_event_leaves_the_end_of_the_snapshot_in_the_log(city: City) -> None:
    """What stands in for an event that the broker refuses has a key of its own, or compaction would take the marker
    that says that the snapshot is complete."""
    city.begin_epoch()
    city.publish()
    city.add(1, name="Z" * 1_100_000)

    with city.relay() as relay:
        relay._cycle._stager._limits = replace(relay._cycle._stager._limits, max_event_bytes=2_000_000)
        drive(relay)

    newest = {one.key: one for one in city.log()}
    ends = [one for key, one in newest.items() if key == marker_key(city.names.view, one.partition)]
    assert [row["record_key"] for row in city.own_rows(city.names.registry, "unpublished")] == ["1"]
    assert [one.header.version for one in ends] == [1] * city.terms.partitions
    assert sum(key.endswith("/refused") for key in newest) == 1


def test_new_epoch_tells_of_what_was_deleted_behind_the_outbox(city: City) -> None:
    """A record that an earlier epoch published and that is gone is deleted before the new epoch is complete."""
    city.add(1, 2)
    city.begin_epoch()
    city.publish()
    city.change_behind_the_outbox("DELETE FROM resident WHERE resident_id = 1")

    epoch = city.begin_epoch()
    city.publish()

    partition, told = next(
        (one.partition, one.header.sequence)
        for one in city.log()
        if one.event and one.event.op is Operation.DELETE and one.header.epoch == epoch
    )
    ends = {one.partition: one.header for one in city.log() if one.is_marker and one.header.version}
    assert told < ends[partition].sequence


def test_change_that_a_snapshot_has_overtaken_is_not_told_again(city: City) -> None:
    """Changes that waited while an epoch's snapshot told of them stay out of the next epoch, and take no version."""
    city.add(1, name="Zhao Before")
    city.rename(1, "Zhao After")
    city.begin_epoch()
    with city.relay() as relay:
        relay._cycle._stager._limits = replace(relay._cycle._stager._limits, changes=0)
        drive(relay)

    epoch = city.begin_epoch()
    city.publish()

    versions = [one.header.version for one in city.log() if one.header.epoch == epoch and not one.is_marker]
    assert versions == [1]


def test_event_behind_a_batch_settles_it(city: City) -> None:
    """The newest event of every stream settles all before it, so that nobody waits for what was compacted away."""
    city.begin_epoch()
    city.publish()
    city.add(1, 2, 3, 4, 5, 6, 7, 8)

    city.publish()

    newest = {one.partition: one for one in city.log()}
    assert newest
    assert all(one.header.settles_all for one in newest.values())


def test_authoritys_own_key_and_what_a_record_was_stay_at_home(city: City) -> None:
    """An event names its record by the pseudonym that is its Kafka key, and tells what it is, never what it was."""
    city.add(1, 2)
    city.begin_epoch()
    city.publish()
    city.rename(1, "Li Na")
    city.execute(city.names.registry, "DELETE FROM resident WHERE resident_id = 2")
    city.publish()

    events = [(one.key, one.event) for one in city.log() if not one.is_marker]

    assert {event.op for _, event in events if event} == {Operation.CREATE, Operation.UPDATE, Operation.DELETE}
    assert [key for key, event in events if event is None or (event.record_key, event.before) != (key, None)] == []
