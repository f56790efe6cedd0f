"""What is read from librdkafka's statistics, be they whole, of another version, or none at all."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_brokers import Broker
from tellonce.kafka.clients import STATISTICS_SECONDS, make_producer
from tellonce.kafka.statistics import ClientStatistics, read_statistics
from waiting import wait_until

NOTHING = ClientStatistics()
FIELDS = ("waitresp_cnt", "req_timeouts", "txerrs", "rxerrs", "disconnects")


def broker(**given: Any) -> dict[str, Any]:
    """One broker, with which nothing is the matter but what a test names."""
    rtt = {"p99": 2_500, "cnt": 3, "max": 9_000_000}
    return {"name": "kafka.example:9092/1", **dict.fromkeys(FIELDS, 0), "rtt": rtt, "outbuf_cnt": 9} | given


def told(*brokers: object, **given: Any) -> str:
    """A client's statistics."""
    named = {f"kafka.example:9092/{number}": one for number, one in enumerate(brokers)}
    return json.dumps({"client_id": "c", "msg_cnt": 0, "brokers": named, "topics": {"t": {"msg_cnt": 7}}} | given)


def test_each_number_is_read_from_its_field() -> None:
    """The brokers of a client are summed; times are in seconds."""
    first = broker(waitresp_cnt=1, req_timeouts=2, txerrs=3, rxerrs=4, disconnects=5)
    second = broker(waitresp_cnt=10, req_timeouts=20, txerrs=30, rxerrs=40, disconnects=50)

    assert read_statistics(told(first, second, msg_cnt=6)) == ClientStatistics(
        round_trip_seconds=0.0025,
        queued_messages=6,
        unanswered_requests=11,
        timed_out_requests=22,
        send_errors=33,
        receive_errors=44,
        disconnects=55,
    )


def test_round_trip_is_that_of_the_slowest_broker_of_which_it_is_known() -> None:
    """A broker that answered nothing of late has a 0 there, which would say that it is fast."""
    idle = broker(rtt={"p99": 0, "cnt": 0})

    assert read_statistics(told(broker(), idle, broker(rtt={"p99": 40_000, "cnt": 1}))).round_trip_seconds == 0.04
    assert read_statistics(told(idle)).round_trip_seconds is None


@pytest.mark.parametrize("wrong", [None, "3", -1, 1.5, True, [], {}, 1 << 64])
@pytest.mark.parametrize("name", FIELDS)
def test_field_that_is_no_number_is_unknown_and_the_others_are_told(name: str, wrong: object) -> None:
    """A sum that leaves one broker out would look like less trouble than there is."""
    found = read_statistics(told(broker(), broker(**{name: wrong})))

    names = (
        "queued_messages",
        "unanswered_requests",
        "timed_out_requests",
        "send_errors",
        "receive_errors",
        "disconnects",
    )
    unknown = [one for one in names if getattr(found, one) is None]
    assert unknown == [names[1 + FIELDS.index(name)]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "7",
        "NaN",
        '{"brokers": []}',
        '{"msg_cnt": "7"}',
        '{"brokers": {}}',
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_what_is_no_statistics_tells_nothing(text: str) -> None:
    """A callback of librdkafka may not raise."""
    assert read_statistics(text) == NOTHING


KEYS = st.sampled_from(["brokers", "msg_cnt", "rtt", "p99", "cnt", *FIELDS]) | st.text(max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)


@given(st.fixed_dictionaries({"brokers": st.dictionaries(KEYS, st.dictionaries(KEYS, JSON) | JSON)}) | JSON)
def test_no_shape_raises_or_gives_what_is_no_count(shape: object) -> None:
    """Whatever another version of librdkafka says, a gauge can take what is read."""
    found = read_statistics(json.dumps(shape))

    for name in ClientStatistics.__slots__:
        value = getattr(found, name)
        assert value is None or 0 <= value < float("inf")


def test_client_itself_tells_all_that_is_read(embedded: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fields have these names in the librdkafka that is installed, and a sent message has a round trip."""
    assert STATISTICS_SECONDS >= 10, "more often would cost more than it tells"
    monkeypatch.setattr("tellonce.kafka.clients.STATISTICS_SECONDS", 0.05)
    found: list[ClientStatistics] = []
    producer = make_producer(
        embedded.settings, "test-statistics", on_statistics=lambda text: found.append(read_statistics(text))
    )
    producer.produce("statistics", b"x")

    def is_measured() -> bool:
        producer.poll(0)
        return any(one.round_trip_seconds is not None for one in found)

    wait_until(is_measured)

    assert all(getattr(found[-1], name) is not None for name in ClientStatistics.__slots__ if "round" not in name)


def test_client_that_nobody_asks_tells_nothing(monkeypatch: pytest.MonkeyPatch, embedded: Broker) -> None:
    """Statistics wait in memory until somebody polls, so only a client that is polled always makes them."""
    asked: list[dict[str, Any]] = []

    class Asked:
        def __init__(self, config: dict[str, Any], **_: object) -> None:
            asked.append(config)

        def poll(self, _seconds: float) -> None:
            """Nothing."""

    monkeypatch.setattr("tellonce.kafka.clients.Producer", Asked)
    make_producer(embedded.settings, "quiet")
    make_producer(embedded.settings, "telling", on_statistics=lambda _text: None)

    assert ["stats_cb" in config and "statistics.interval.ms" in config for config in asked] == [False, True]
    assert "statistics.interval.ms" not in asked[0]
