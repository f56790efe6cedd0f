"""Signs of life: what a service tells, and who is noticed to have fallen silent."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, cast

from confluent_kafka import KafkaException, Producer
from structlog.testing import capture_logs

from tellonce.cli.heartbeat import SILENT_SECONDS, Hearing, Pulse, newest_heartbeats
from tellonce.cli.meters import applier_meters, reconciler_meters
from tellonce.control.channel import Heard
from tellonce.control.messages import Heartbeat, decode_message, encode_message
from tellonce.demo.sites import demo_root
from tellonce.model.errors import ConfigurationError
from tellonce.observability import metrics as m
from tellonce.testing.channel import MemoryTopics, unsigned
from tellonce.topology import load_topology
from tellonce.topology.topics import RECONCILER, heartbeats

TOPOLOGY = load_topology(demo_root() / "topology.yaml")
FUND = "provident-fund"


class FakeProducer:
    """Keeps what it is handed, or refuses it."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.sent: list[tuple[str, bytes, bytes]] = []

    def produce(self, topic: str, value: bytes, key: bytes, headers: Mapping[str, bytes]) -> None:
        """Takes a message."""
        assert headers == {}, "nobody signs here"
        if self.refuses:
            raise KafkaException
        self.sent.append((topic, value, key))

    def poll(self, _seconds: float) -> None:
        """Does nothing."""

    def flush(self, _seconds: float) -> None:
        """Does nothing."""


def pulse_of(*producers: FakeProducer) -> Pulse:
    """The fund's applier's, which is given these producers one after the other."""
    waiting = deque(producers)
    meters = applier_meters(FUND, TOPOLOGY)
    meters.set(m.LAG_RECORDS, 7, department=FUND, view="citizen.identity")
    return Pulse(
        meters, m.Service.APPLIER, FUND, lambda: cast("Producer", waiting.popleft()), unsigned(), clock=lambda: 5.0
    )


def test_sign_of_life_tells_gauges_and_leaves_out_what_is_not_known() -> None:
    """A known figure is its value, and an unknown one is null: neither looks like the other."""
    producer = FakeProducer()

    pulse_of(producer).beat("running")

    ((topic, value, key),) = producer.sent
    heartbeat = decode_message(Heartbeat, value)
    assert (topic, key, heartbeat.at_ms) == (heartbeats(FUND), b"applier", 5000)
    (records,), (seconds,) = heartbeat.gauges[m.LAG_RECORDS.name], heartbeat.gauges[m.LAG_SECONDS.name]
    assert (records.value, seconds.value) == (7, None)


def test_last_sign_of_life_says_that_it_stopped() -> None:
    """A service that ends as it was told to is not taken for one that vanished."""
    producer = FakeProducer()
    pulse = pulse_of(producer)
    pulse.beat("running")

    pulse.close()

    assert [decode_message(Heartbeat, value).state for _, value, _ in producer.sent] == ["running", "stopped"]


def test_client_that_failed_for_good_is_made_anew() -> None:
    """The service goes on, and the next sign of life is sent by another client."""
    broken, whole = FakeProducer(refuses=True), FakeProducer()
    pulse = pulse_of(broken, whole)

    with capture_logs() as logs:
        pulse.beat("running")
        pulse.beat("running")

    assert [line["event"] for line in logs] == ["heartbeat_not_sent"]
    assert len(whole.sent) == 1


def test_client_that_cannot_be_made_is_asked_for_again() -> None:
    """A password file that has gone ends no service: the next sign of life tries again."""
    whole = FakeProducer()
    answers = deque[Callable[[], FakeProducer]]([no_password, lambda: whole])
    pulse = Pulse(
        applier_meters(FUND, TOPOLOGY),
        m.Service.APPLIER,
        FUND,
        lambda: cast("Producer", answers.popleft()()),
        unsigned(),
    )

    with capture_logs() as logs:
        pulse.beat("running")
        pulse.beat("running")

    assert [(line["event"], line["error"]) for line in logs] == [("heartbeat_not_sent", "ConfigurationError")]
    assert len(whole.sent) == 1


def no_password() -> FakeProducer:
    """No client: the file of its password is not there."""
    raise ConfigurationError("expected a password, found no file")


def beat(department: str, **more: Any) -> Heartbeat:
    """A sign of life of a department's applier."""
    plain: dict[str, Any] = {
        "department": department,
        "service": "applier",
        "holder": "h",
        "state": "running",
        "release": "1",
        "started_at_ms": 0,
        "at_ms": 0,
        "gauges": {},
    }
    return Heartbeat.model_validate(plain | more)


def test_newest_sign_of_life_of_each_process_counts() -> None:
    """Two processes of one service are told apart, and what was before is gone."""
    said = [beat(FUND, at_ms=1), beat(FUND, at_ms=2, holder="other"), beat(FUND, at_ms=3)]
    place = (heartbeats(FUND), 0)

    found = newest_heartbeats(Heard(speaker=FUND, message=each, place=place, offset=n) for n, each in enumerate(said))

    assert {process: each.at_ms for process, each in found.items()} == {
        (FUND, "applier", "h"): 3,
        (FUND, "applier", "other"): 2,
    }


def test_silent_service_is_told_once_and_again_when_it_is_heard() -> None:
    """Silence is told after a minute, once; a service that stopped or was never heard falls silent like another."""
    now = [0.0]
    topics, meters = MemoryTopics(), reconciler_meters(TOPOLOGY)
    channel = topics.channel(RECONCILER)
    hearing = Hearing(meters, TOPOLOGY, channel, clock=lambda: 99.0, monotonic=lambda: now[0])

    def silent_after(seconds: float, *messages: Heartbeat) -> list[tuple[str, str]]:
        now[0] += seconds
        for each in messages:
            topics.append(heartbeats(each.department), encode_message(each))
        with capture_logs() as logs:
            hearing.listen()
        return [(line["event"], line["department"]) for line in logs if line.get("service") == "applier"]

    others = [name for name in TOPOLOGY.departments if TOPOLOGY.subscribed_by(name) and name != FUND]
    assert silent_after(SILENT_SECONDS - 1, beat(FUND)) == []
    assert sorted(silent_after(2)) == [("service_silent", name) for name in sorted(others)]
    assert silent_after(SILENT_SECONDS, beat(FUND, state="stopped")) == [("service_silent", FUND)]
    assert silent_after(SILENT_SECONDS) == []
    assert silent_after(1, beat(FUND)) == [("service_heard_again", FUND)]
    (heard,) = (
        reading.value
        for reading in meters.readings([m.HEARD_TIMESTAMP])[m.HEARD_TIMESTAMP.name]
        if reading.labels == {"service": "applier", "department": FUND}
    )
    assert heard == 99
