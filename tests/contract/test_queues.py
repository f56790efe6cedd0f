"""A queue per stream: what one topic or one record refuses keeps nothing else back, and no send outlasts the lease."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from structlog.testing import capture_logs

from contract.city import City, MakeCity, drive
from tellonce.kafka.admin import Admin
from tellonce.kafka.clients import make_admin
from tellonce.publish.queues import SendLimits, by_stream
from tellonce.publish.relay import Relay
from tellonce.publish.send import SendResult
from tellonce.publish.staged import StagedEvent
from tellonce.topology import Topology
from tellonce.topology.topics import TopicSpec, topics_of
from waiting import wait_until

REAL_KAFKA = pytest.mark.parametrize(
    "site", [pytest.param("kafka-postgres", marks=[pytest.mark.kafka, pytest.mark.postgres])], indirect=True
)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a stream that waits be tried again at once."""
    monkeypatch.setattr("tellonce.publish.queues._FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr("tellonce.publish.queues._LONGEST_PAUSE_SECONDS", 0.2)


class Meddling:
    """A producer between the relay and the real one, which a test lets refuse, or be slow."""

    def __init__(self, producer: Producer) -> None:
        """Refuse nothing yet."""
        self._producer = producer
        self.refused: Callable[[int], KafkaError | None] = lambda _partition: None
        self.largest_set: int | None = None
        self.on_slice: Callable[[], bool] = lambda: False
        self._sets: dict[int, list[Mapping[str, object]]] = {}

    def produce(self, topic: str, **message: object) -> None:
        """Keep a message until the set is sent, or refuse it."""
        partition = int(str(message["partition"]))
        error = self.refused(partition)
        if error is not None:
            raise KafkaException(error)
        self._sets.setdefault(partition, []).append({"topic": topic, **message})

    def flush(self, seconds: float) -> int:
        """Send each partition's set, or refuse it whole as a broker does."""
        if self.on_slice():
            return 1
        sets, self._sets = self._sets, {}
        for some in sets.values():
            size = sum(len(str(each["value"])) for each in some)
            for each in some:
                if self.largest_set is not None and size > self.largest_set:
                    each["on_delivery"](KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), None)  # type: ignore[operator]  # it is a report
                else:
                    self._producer.produce(**each)  # type: ignore[arg-type]  # as the sender gave it
        return self._producer.flush(seconds)

    def poll(self, seconds: float) -> int:
        """Let the real one work."""
        return self._producer.poll(seconds)

    def purge(self, **named: bool) -> None:
        """Drop everything."""
        self._sets.clear()
        self._producer.purge(**named)


def meddle(relay: Relay, change: Callable[[Meddling], None]) -> None:
    """Let a relay send by such a producer from now on."""
    sender = relay._cycle._sender
    make = sender._make_producer

    def make_meddling() -> Producer:
        meddling = Meddling(make())
        change(meddling)
        return meddling  # type: ignore[return-value]  # it has what the sender uses of one

    sender.discard_producer()
    sender._make_producer = make_meddling


def limit_sets(city: City, relay: Relay, largest: int) -> None:
    """Let the broker take no set above so many bytes: the real one by its topic's setting."""
    if city.site.embedded is None:
        Admin(city.kafka, "test-admin").change_settings(city.topic, {"max.message.bytes": str(largest)})
    else:
        meddle(relay, lambda meddling: setattr(meddling, "largest_set", largest))


def assert_dense(city: City) -> None:
    """In every stream the sequences count up from 1; one may come twice, with the same bytes."""
    found: dict[int, dict[int, set[bytes]]] = {}
    for one in city.log():
        found.setdefault(one.partition, {}).setdefault(one.header.sequence, set()).add(one.payload)
    assert all(sorted(some) == list(range(1, len(some) + 1)) for some in found.values())
    assert all(len(payloads) == 1 for some in found.values() for payloads in some.values())


def test_partition_that_forbids_writing_keeps_the_others_going(city: City) -> None:
    """Its stream waits with one sentence, the others go on, and it goes on by itself when it may."""
    city.begin_epoch()
    forbidden = [True]

    def forbid(meddling: Meddling) -> None:
        error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
        meddling.refused = lambda partition: error if partition == 0 and forbidden[0] else None

    with city.relay() as relay, capture_logs() as logs:
        meddle(relay, forbid)
        city.add(*range(1, 9))
        drive(relay, until=lambda: len(city.own_rows(city.names.registry, "staged")) > 0 and not relay.turn())
        others = {one.partition for one in city.log()}
        waiting, done = relay.waiting_streams(), relay.is_done()
        city.add(*range(9, 17))
        forbidden[0] = False
        drive(relay)

    told = [line for line in logs if line["event"] == "stream_waiting"]
    assert others == {1}
    assert waiting == {city.names.view: 1}
    assert not done
    assert [line["partition"] for line in told] == [0]
    assert all("TOPIC_AUTHORIZATION_FAILED" in line["why"] for line in told)
    assert [line["partition"] for line in logs if line["event"] == "stream_resumed"] == [0]
    assert len(city.names_in_log()) == 16
    assert_dense(city)


def test_topic_that_refuses_everything_waits_and_parks_no_more_than_its_next_record(city: City) -> None:
    """A marker that is refused alone is no record's fault, and a relay that is still finding out is not done."""
    city.begin_epoch()
    registry, refusing = city.names.registry, [True]
    error = KafkaError(KafkaError.INVALID_RECORD)
    with city.relay() as relay:
        drive(relay)
        meddle(relay, lambda each: setattr(each, "refused", lambda _partition: error if refusing[0] else None))
        city.add(*range(1, 9))
        while relay.turn():
            assert not relay.is_done()
        staged = {row["partition"] for row in city.own_rows(registry, "staged")}
        waiting, parked = relay.waiting_streams(), len(city.own_rows(registry, "unpublished"))
        refusing[0] = False
        drive(relay)

    assert len(staged) == 2
    assert waiting == {city.names.view: 2}
    assert parked == 2
    assert len(city.names_in_log()) == 6
    assert_dense(city)


def test_no_markers_are_made_for_a_stream_that_waits(city: City) -> None:
    """They would fill the staging table for as long as its topic is away."""
    city.begin_epoch()
    registry, stream_id = city.names.registry, (city.names.view, 0)
    with city.relay() as relay:
        meddle(
            relay, lambda each: setattr(each, "refused", lambda _partition: KafkaError(KafkaError._UNKNOWN_PARTITION))
        )
        drive(relay, until=lambda: relay.sweeps > 0 and len(relay._cycle.troubled) == city.terms.partitions)
        staged = len(city.own_rows(registry, "staged"))
        relay._cycle._sender.owed.add(stream_id)
        monotonic = relay._cycle._sender._clock
        started = monotonic()
        drive(relay, until=lambda: monotonic() > started + 0.3)

        assert len(city.own_rows(registry, "staged")) == staged


def test_what_is_sent_at_a_time_is_bounded_and_nothing_is_left(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is staged, a stream has so many events in hand; the rest is read from the staging table."""
    city.begin_epoch()
    sizes: list[int] = []
    with city.relay() as relay:
        relay._cycle._queues.limits = SendLimits(rows=2)
        sender = relay._cycle._sender
        send = sender.send

        def measured(events: Sequence[StagedEvent], renew: Callable[[], None], *, more_waiting: bool) -> SendResult:
            sizes.extend(len(some) for some in by_stream(events).values())
            return send(events, renew, more_waiting=more_waiting)

        monkeypatch.setattr(sender, "send", measured)
        city.add(*range(1, 13))
        relay.turn()
        # What is staged while a stream is behind must not overtake it.
        city.add(*range(13, 21))
        drive(relay)

    assert max(sizes) == 2
    assert city.own_rows(city.names.registry, "staged") == []
    assert len(city.names_in_log()) == 20
    assert_dense(city)


def test_batch_above_the_topics_limit_parks_nobody(city: City) -> None:
    """The broker refuses a whole set for its size; its small records are all published."""
    city.begin_epoch()
    city.publish()
    with city.relay() as relay:
        drive(relay)
        limit_sets(city, relay, 2_000)
        city.add(*range(1, 61))
        drive(relay)

    assert city.own_rows(city.names.registry, "unpublished") == []
    assert len(city.names_in_log()) == 60
    assert_dense(city)


def test_only_the_record_that_is_too_large_is_parked(city: City) -> None:
    """Of a refused set the one that is refused alone is kept back, wherever in the set it is."""
    city.begin_epoch()
    city.publish()
    with city.relay() as relay:
        drive(relay)
        limit_sets(city, relay, 2_000)
        city.add(*range(1, 13))
        city.add(13, name="Z" * 5_000)
        city.add(*range(14, 21))
        drive(relay)

    assert [row["record_key"] for row in city.own_rows(city.names.registry, "unpublished")] == ["13"]
    assert city.names_in_log() == ["Wang Fang"] * 19
    assert_dense(city)


@REAL_KAFKA  # the embedded broker makes a topic when it is asked for
def test_missing_topic_neither_ends_a_relay_nor_keeps_it_from_starting(
    make_city: MakeCity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay starts without it, waits with one sentence, and publishes when the topic is made."""

    def without_views(topology: Topology) -> list[TopicSpec]:
        return [spec for spec in topics_of(topology) if not spec.name.endswith(".v1")]

    with monkeypatch.context() as patch:
        patch.setattr("contract.city.topics_of", without_views)
        city = make_city()
    city.begin_epoch()
    city.add(1)
    with city.relay() as relay, capture_logs() as logs:
        drive(relay, until=lambda: relay.sweeps > 0 and not relay.turn())
        waiting = relay.waiting_streams()
        city._make_topics()
        drive(relay)

    told = [line for line in logs if line["event"] == "stream_waiting"]
    assert waiting == {city.names.view: city.terms.partitions}
    assert len(told) == city.terms.partitions
    assert all("topic" in line["why"] and "tellonce topics apply" in line["why"] for line in told)
    assert city.names_in_log() == ["Wang Fang"]


@REAL_KAFKA
def test_topic_deleted_under_a_relay_waits_and_one_made_again_stops(city: City) -> None:
    """What the broker had acknowledged is gone with the topic, so only a new epoch makes the log whole."""
    city.begin_epoch()
    city.add(1)
    with city.relay() as relay, capture_logs() as logs:
        drive(relay)
        admin = make_admin(city.kafka, "test-admin")
        (deleted,) = admin.delete_topics([city.topic]).values()
        deleted.result(10)
        city.add(2, 3, 4, 5)
        wait_until(lambda: relay.turn() is None or relay.waiting_streams(), 30, what="a stream waits")
        city._make_topics()
        wait_until(lambda: relay.turn() is None or not relay.waiting_streams(), 30, what="no stream waits")
        told = {line["event"] for line in logs}
        why = [line["why"] for line in logs if line["event"] == "stream_stopped"]
        city.begin_epoch()
        wait_until(lambda: relay.turn() is None or relay.is_done(), 30, what="the new epoch is published")

    assert "stream_waiting" in told
    assert why
    assert all("tellonce resync" in sentence for sentence in why)
    assert len(city.names_in_log()) == 5
    assert_dense(city)


@contextmanager
def clock(monkeypatch: pytest.MonkeyPatch, relay: Relay) -> Iterator[Callable[[float], None]]:
    """A clock that the lease and the relay's look at it share, and what moves it."""
    now = [relay._cycle._renewed_at]
    with monkeypatch.context() as patch:
        patch.setattr("tellonce.storage.lease.clock_ms", lambda _connection: int(now[0] * 1000))
        patch.setattr(relay._cycle, "_monotonic", lambda: now[0])
        yield lambda seconds: now.__setitem__(0, now[0] + seconds)


def test_send_that_is_longer_than_the_lease_keeps_it(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease is renewed while the broker takes its time, so what was sent is confirmed."""
    city.begin_epoch()
    slices = list(range(30))
    with city.relay() as relay, capture_logs() as logs:
        with clock(monkeypatch, relay) as move:

            def wait_a_second() -> bool:
                if slices:
                    slices.pop()
                    move(1.0)
                return bool(slices)

            meddle(relay, lambda meddling: setattr(meddling, "on_slice", wait_a_second))
            city.add(1, 2, 3)
            drive(relay)
        assert relay.holds_lease

    assert slices == []
    assert [line["event"] for line in logs if line["event"].startswith("lease_")] == ["lease_taken"]
    assert len(city.names_in_log()) == 3


def test_two_relays_of_one_host_and_process_id_do_not_take_each_others_lease(city: City) -> None:
    """As containers of one name have them: the second waits."""
    city.begin_epoch()
    with city.relay() as first, city.relay() as second:
        drive(first)

        assert not second.turn()
        assert not second.holds_lease
        assert first.turn() is not None
        assert first.holds_lease
