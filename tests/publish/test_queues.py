"""What is sent next of each stream, and what an error means to whom."""

import pytest
from confluent_kafka import KafkaError

from tellonce.publish.queues import Queues, Reach, SendLimits, reach_of
from tellonce.publish.staged import StagedEvent
from tellonce.publish.streams import StreamId

FIRST: StreamId = ("person.base", 0)
SECOND: StreamId = ("person.base", 1)


def event(sequence: int, stream_id: StreamId = FIRST) -> StagedEvent:
    """A staged event of a stream."""
    view, partition = stream_id
    return StagedEvent(
        view=view,
        partition=partition,
        epoch=1,
        sequence=sequence,
        record_key=str(sequence),
        kafka_key=f"key-{sequence}",
        version=1,
        payload=b"x" * 100,
        committed_at_ms=0,
        ends_batch=True,
    )


def reaches(*codes: int, is_any_acknowledged: bool = False) -> list[Reach]:
    """Whom the errors of one send concern, one for each stream."""
    errors = {("person.base", number): KafkaError(code) for number, code in enumerate(codes)}
    return list(reach_of(errors, is_any_acknowledged=is_any_acknowledged).values())


@pytest.mark.parametrize("code", [KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG])
def test_refusal_concerns_an_event(code: int) -> None:
    """What the broker refuses of a message set is about what is in it."""
    assert reaches(code) == [Reach.EVENT]


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.POLICY_VIOLATION,
    ],
)
def test_trouble_of_a_topic_concerns_its_stream(code: int) -> None:
    """A topic that is gone or closed stops nobody else."""
    assert reaches(code) == [Reach.STREAM]


@pytest.mark.parametrize(
    "code", [KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION, KafkaError.CLUSTER_AUTHORIZATION_FAILED]
)
def test_trouble_with_the_broker_concerns_all(code: int) -> None:
    """It pauses the service, also where another stream was served just before."""
    assert reaches(code, is_any_acknowledged=True) == [Reach.BROKER]


def test_fatal_error_concerns_all() -> None:
    """The producer takes nothing more of any stream."""
    error = KafkaError(KafkaError.UNKNOWN_PRODUCER_ID, "fatal", fatal=True)

    assert reach_of({FIRST: error}, is_any_acknowledged=True) == {FIRST: Reach.BROKER}


def test_silence_is_the_brokers_only_where_it_answered_nobody() -> None:
    """A partition without a leader is as silent as a broker that is away."""
    silence = KafkaError._MSG_TIMED_OUT

    assert reaches(silence, silence) == [Reach.BROKER, Reach.BROKER]
    assert reaches(silence, is_any_acknowledged=True) == [Reach.STREAM]
    assert reaches(silence, KafkaError._UNKNOWN_TOPIC) == [Reach.STREAM, Reach.STREAM]


def test_only_what_is_refused_alone_is_parked() -> None:
    """A refused set says nothing of its events; the next goes alone, and then the sets grow again."""
    queues = Queues(SendLimits(rows=8))
    events = [event(sequence) for sequence in range(1, 9)]
    sizes = [100] * 8

    assert not queues.note(FIRST, events, 0, Reach.EVENT)
    assert queues.portion(FIRST, sizes, 10_000) == 1
    assert queues.note(FIRST, events[:1], 0, Reach.EVENT)
    assert not queues.note(FIRST, events[:1], 1, None)
    assert queues.portion(FIRST, sizes, 10_000) == 2
    for _ in range(2):
        queues.note(FIRST, events[:2], 2, None)
    assert queues.portion(FIRST, sizes, 10_000) == 8


def test_refusal_of_one_stream_leaves_the_sets_of_others() -> None:
    """Each stream has its own queue."""
    queues = Queues()

    queues.note(FIRST, [event(1), event(2)], 0, Reach.EVENT)

    assert queues.portion(SECOND, [100] * 5, 10_000) == 5
    assert list(queues.behind) == [FIRST]


@pytest.mark.parametrize(
    ("sizes", "room", "expected"),
    [
        ([], 1_000, 0),
        ([10] * 9, 1_000, 5),
        ([40, 40, 40], 1_000, 2),
        ([40, 40, 40], 50, 1),
        ([500, 10], 1_000, 1),
        ([500, 10], 0, 1),
    ],
)
def test_what_is_in_hand_is_bounded_in_rows_and_bytes(sizes: list[int], room: int, expected: int) -> None:
    """And an event above all bounds goes alone, so that every queue moves."""
    queues = Queues(SendLimits(rows=5, stream_bytes=100))

    assert queues.portion(FIRST, sizes, room) == expected


def test_stream_waits_longer_each_time_up_to_a_minute_and_says_a_reason_once() -> None:
    """A topic that stays away is not asked for in a loop, and its log is not filled."""
    queues, now, pauses, told = Queues(), 0.0, list[float](), list[bool]()
    for _ in range(9):
        told.append(queues.wait(FIRST, "gone", now))
        assert queues.is_waiting(FIRST)
        assert queues.due(now) == []
        before = now
        while not queues.due(now):
            now += 0.5
        pauses.append(now - before)
        queues.resume(FIRST)

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert told == [True] + [False] * 8
    assert queues.wait(FIRST, "closed", now)
    assert queues.recovered(FIRST)
    queues.wait(FIRST, "gone", now)
    assert queues.due(now + 1) == [FIRST]
