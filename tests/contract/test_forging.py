"""Somebody with every right at the broker: what the authority did not write there is told, and changes no row."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from contract.city import City, Logged, MakeCity
from contract.forms import id_number
from tellonce.kafka.clients import make_producer
from tellonce.kafka.group import GroupReader, Partition, ReadMessage
from tellonce.kafka.reading import read_to_end
from tellonce.model.position import HEADER_NAME
from tellonce.model.seal import StreamSeal


def append(
    city: City, partition: int, key: bytes, value: bytes | None, *sealed: bytes | None, topic: str | None = None
) -> None:
    """Write a message past the relay."""
    producer = make_producer(city.kafka, "test-forger")
    headers: list[tuple[str, str | bytes | None]] = [(HEADER_NAME, each) for each in sealed]
    producer.produce(topic or city.topic, partition=partition, key=key, value=value, headers=headers)
    assert producer.flush(10) == 0


def newest(city: City) -> Logged:
    """The newest event about a record."""
    return [one for one in city.log() if not one.is_marker][-1]


def alter(city: City) -> None:
    """The newest event with other bytes, under its own seal."""
    one = newest(city)
    body = one.payload.replace(b"Wang Fang", b"Wang Fake")
    assert body != one.payload
    append(city, one.partition, one.key.encode(), body, one.sealed)


def move(city: City) -> None:
    """The newest event, as it is, in another partition."""
    one = newest(city)
    append(city, 1 - one.partition, one.key.encode(), one.payload, one.sealed)


def forge(city: City) -> None:
    """A newer version, sealed with a key that is not the view's."""
    one = newest(city)
    header = replace(one.header, version=one.header.version + 1, sequence=one.header.sequence + 1)
    seal = StreamSeal(b"x" * 32, city.names.view, one.partition)
    append(city, one.partition, one.key.encode(), one.payload, seal.header(header, one.key.encode(), one.payload))


def rename(city: City) -> None:
    """The newest event under another record's key."""
    one = newest(city)
    append(city, one.partition, b"0" * 32, one.payload, one.sealed)


def bury(city: City) -> None:
    """A null, which lets compaction forget the record."""
    one = newest(city)
    append(city, one.partition, one.key.encode(), None)


def scribble(city: City) -> None:
    """Bytes of somebody who knows nothing."""
    append(city, 0, b"key", b"value", b"value")


FORGERIES: list[Callable[[City], None]] = [alter, move, forge, rename, bury, scribble]


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.__name__)
def test_forgery_is_told_and_changes_no_row(city: City, forgery: Callable[[City], None]) -> None:
    """Every subscriber says so, no row is another, and what the authority writes next is applied as ever."""
    city.begin_epoch()
    city.add(1)
    city.run()
    before = city.patients()
    forgery(city)

    with capture_logs() as logs:
        city.apply()

    told = [line for line in logs if line["event"] == "messages_refused"]
    assert [line["count"] for line in told] == [1] * len(city.subscribers)
    assert city.patients() == before
    city.rename(1, "Wang Fang the Second")
    city.run()
    assert list(city.patients().values()) == ["Wang Fang the Second"]
    assert city.parked(city.names.clinic) == {}


def test_replayed_event_changes_no_row(city: City) -> None:
    """An event of the authority's own that comes once more is an older version by now."""
    city.begin_epoch()
    city.add(1)
    city.run()
    old = newest(city)
    city.rename(1, "Li Na")
    city.run()
    append(city, old.partition, old.key.encode(), old.payload, old.sealed)

    city.apply()

    assert list(city.patients().values()) == ["Li Na"]
    assert city.outcomes(city.names.clinic)["superseded"] == 1


def serve(monkeypatch: pytest.MonkeyPatch, change: Callable[[list[ReadMessage]], list[ReadMessage]]) -> None:
    """From now on the broker gives subscribers what `change` makes of the messages of a partition."""
    honest = GroupReader.poll

    def poll(reader: GroupReader) -> dict[Partition, list[ReadMessage]]:
        return {place: change(messages) for place, messages in honest(reader).items()}

    monkeypatch.setattr(GroupReader, "poll", poll)


def test_withheld_event_is_named(make_city: MakeCity, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record whose change a broker keeps from subscribers differs by the next mark behind it."""
    city = make_city(partitions=1)
    serials = range(1, 9)
    city.add(*serials)
    city.begin_epoch()
    city.run()
    city.rename(2, "Li Na")
    city.publish()
    for serial in set(serials) - {2}:
        city.rename(serial, "Li Na")
    withheld = city.pseudonym(2).encode()
    serve(monkeypatch, lambda messages: [one for one in messages if one.key != withheld])

    city.run()
    reconciled = city.reconcile()

    assert {(one.pseudonym, one.kind.value) for one in reconciled.divergences} == {(city.pseudonym(2), "stale")}
    assert city.patients() == {id_number(serial): "Wang Fang" if serial == 2 else "Li Na" for serial in serials}


def test_reordered_events_leave_the_newest_rows(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that turns the order of what it serves around makes no row older, and nothing is proved by it."""
    serials = range(1, 9)
    city.add(*serials)
    city.begin_epoch()
    for name in ("Li Na", "Li Nan"):
        city.publish()
        for serial in serials:
            city.rename(serial, name)
    city.publish()
    serve(monkeypatch, lambda messages: messages[::-1])

    city.apply()
    reconciled = city.reconcile(deadline_seconds=4)

    assert set(city.patients().values()) == {"Li Nan"}
    assert reconciled.states(city.names.clinic) == {"unknown"}
    assert reconciled.divergences == []


def test_appended_event_does_not_stop_the_stream_of_the_authority(city: City) -> None:
    """A relay that starts compares its database with what it wrote itself, and not with what others put behind it."""
    city.begin_epoch()
    city.add(1)
    city.run()
    one = newest(city)
    header = replace(one.header, epoch=2**62, sequence=2**62, settled=0)
    seal = StreamSeal(b"x" * 32, city.names.view, one.partition)
    append(city, one.partition, one.key.encode(), one.payload, seal.header(header, one.key.encode(), one.payload))
    city.rename(1, "Li Na")

    city.run()

    assert list(city.patients().values()) == ["Li Na"]
    assert [row["stopped"] for row in city.own_rows(city.names.registry, "stream") if row["stopped"]] == []


def test_authoritys_own_tombstone_is_sealed(city: City) -> None:
    """The null behind a delete that all have attested is not taken for a forgery."""
    city.begin_epoch()
    city.add(1, 2)
    city.run()
    city.execute(city.names.registry, "DELETE FROM resident WHERE resident_id = 1")
    city.run()
    city.reconcile()
    city.publish()
    nulls = [message for message in read_to_end(city.kafka, city.topic) if message.value() is None]

    with capture_logs() as logs:
        city.apply()

    assert len(nulls) == 1
    assert [line for line in logs if line["event"] == "messages_refused"] == []
