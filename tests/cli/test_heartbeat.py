"""Signs of life: what a service tells, and who is noticed to have fallen silent."""

from collections import deque
from typing import Any, cast

import pytest
from confluent_kafka import KafkaException, Producer
from structlog.testing import capture_logs

from tellonce.cli.heartbeat import SILENT_SECONDS, Hearing, Pulse, newest_heartbeats
from tellonce.cli.meters import applier_meters, reconciler_meters
from tellonce.control.messages import Heartbeat, decode_message, encode_message
from tellonce.demo.sites import demo_root
from tellonce.kafka.control import ControlMessage
from tellonce.observability import metrics as m
from tellonce.topology import load_topology
from tellonce.topology.topics import heartbeats

TOPOLOGY = load_topology(demo_root() / "topology.yaml")
FUND = "provident-fund"


class FakeProducer:
    """Keeps what it is handed, or refuses it."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.sent: list[tuple[str, bytes, bytes]] = []

    def produce(self, topic: str, value: bytes, key: bytes) -> None:
        """Takes a message."""
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
    return Pulse(meters, m.Service.APPLIER, FUND, lambda: cast("Producer", waiting.popleft()), clock=lambda: 5.0)


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


class FakeReader:
    """Gives what a test has put in."""

    def __init__(self) -> None:
        self.waiting: list[ControlMessage] = []

    def poll(self, _seconds: float, _most: int = 0) -> list[ControlMessage]:
        """All that waits."""
        given, self.waiting = self.waiting, []
        return given


def message(department: str, topic: str | None = None, **more: Any) -> ControlMessage:
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
    value = encode_message(Heartbeat.model_validate(plain | more))
    return ControlMessage(topic=topic or heartbeats(department), partition=0, offset=0, key=b"applier", value=value)


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff", None, b'{"format": 2}'])
def test_what_is_no_sign_of_life_is_passed_over(value: bytes | None) -> None:
    """A stranger's bytes are told in the log, and the others are heard."""
    stray = ControlMessage(topic=heartbeats(FUND), partition=0, offset=1, key=None, value=value)

    with capture_logs() as logs:
        found = newest_heartbeats([stray, message(FUND)])

    assert set(found) == {(FUND, "applier", "h")}
    assert [line["event"] for line in logs] == ["control_message_skipped"]


def test_department_does_not_speak_for_another() -> None:
    """What claims to be another's than the topic's is refused."""
    with capture_logs() as logs:
        assert not newest_heartbeats([message("healthcare", heartbeats(FUND))])

    assert [line["event"] for line in logs] == ["control_message_refused"]


def test_silent_service_is_told_once_and_again_when_it_is_heard() -> None:
    """Silence is told after a minute, once; a service that stopped or was never heard falls silent like another."""
    now = [0.0]
    reader, meters = FakeReader(), reconciler_meters(TOPOLOGY)
    hearing = Hearing(meters, TOPOLOGY, reader, clock=lambda: 99.0, monotonic=lambda: now[0])

    def silent_after(seconds: float, *messages: ControlMessage) -> list[tuple[str, str]]:
        now[0] += seconds
        reader.waiting = list(messages)
        with capture_logs() as logs:
            hearing.listen()
        return [(line["event"], line["department"]) for line in logs if line.get("service") == "applier"]

    others = [name for name in TOPOLOGY.departments if TOPOLOGY.subscribed_by(name) and name != FUND]
    assert silent_after(SILENT_SECONDS - 1, message(FUND)) == []
    assert sorted(silent_after(2)) == [("service_silent", name) for name in sorted(others)]
    assert silent_after(SILENT_SECONDS, message(FUND, state="stopped")) == [("service_silent", FUND)]
    assert silent_after(SILENT_SECONDS) == []
    assert silent_after(1, message(FUND)) == [("service_heard_again", FUND)]
    (heard,) = (
        reading.value
        for reading in meters.readings([m.HEARD_TIMESTAMP])[m.HEARD_TIMESTAMP.name]
        if reading.labels == {"service": "applier", "department": FUND}
    )
    assert heard == 99
