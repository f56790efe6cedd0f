"""What a service's Kafka client tells of itself is told as it is, and as unknown where it is old or missing."""

import itertools
import json
import math
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from prometheus_client import generate_latest

from tellonce.cli.meters import applier_meters, reconciler_meters, relay_meters
from tellonce.cli.monitor import make_monitor
from tellonce.cli.settings import Settings
from tellonce.cli.statistics_watch import STATISTICS, StatisticsWatch
from tellonce.demo.sites import demo_root
from tellonce.kafka.embedded import EmbeddedBroker
from tellonce.observability import metrics as m
from tellonce.observability.meters import Meters
from tellonce.testing.channel import unsigned
from tellonce.topology import load_topology
from waiting import wait_until

TOPOLOGY = load_topology(demo_root() / "topology.yaml")
FUND = "provident-fund"
LABELS = {"service": "applier", "department": FUND}
BROKER = {
    "nodename": "secret.example:9092",
    "waitresp_cnt": 2,
    "req_timeouts": 3,
    "txerrs": 4,
    "rxerrs": 5,
    "disconnects": 6,
    "rtt": {"p99": 1_500_000, "cnt": 1},
}
TOLD = {"msg_cnt": 1, "brokers": {"secret.example:9092/1": BROKER}, "topics": {"secret-topic": {}}}


def told(meters: Meters) -> list[float | None]:
    """The gauges of a service, None where they are NaN."""
    values = [meters.registry.get_sample_value(metric.name, LABELS) for metric in STATISTICS]
    assert None not in values
    return [None if value is None or math.isnan(value) else value for value in values]


class Clock:
    """Seconds that a test lets pass."""

    now = 100.0

    def __call__(self) -> float:
        """Gives them."""
        return self.now


def watched() -> tuple[StatisticsWatch, Meters, Clock]:
    """The watch over an applier's client."""
    meters, clock = applier_meters(FUND, TOPOLOGY), Clock()
    return StatisticsWatch(meters, m.Service.APPLIER, FUND, monotonic=clock), meters, clock


def test_statistics_are_told_of_each_metric() -> None:
    """Each gauge has its own number."""
    watch, meters, _ = watched()

    watch.take(json.dumps(TOLD))
    watch.refresh()

    assert told(meters) == [1.5, 1, 2, 3, 4, 5, 6]


def test_nothing_is_known_before_the_client_tells() -> None:
    """A 0 would say that the broker answers at once."""
    watch, meters, _ = watched()

    watch.refresh()

    assert told(meters) == [None] * 7


def test_what_the_client_does_not_tell_is_unknown() -> None:
    """Another version of librdkafka leaves a field out: its gauge alone is NaN, and the last number does not stay."""
    watch, meters, _ = watched()
    watch.take(json.dumps(TOLD))
    watch.refresh()

    watch.take(json.dumps({**TOLD, "brokers": {"b": {k: v for k, v in BROKER.items() if k not in ("txerrs", "rtt")}}}))
    watch.refresh()

    assert told(meters) == [None, 1, 2, 3, None, 5, 6]


def test_old_statistics_are_unknown() -> None:
    """A client that was closed, or that nobody polls, tells nothing of now."""
    watch, meters, clock = watched()
    watch.take(json.dumps(TOLD))
    clock.now += 59
    watch.refresh()
    before = told(meters)

    clock.now += 2
    watch.refresh()

    assert None not in before
    assert told(meters) == [None] * 7


def test_no_name_of_a_broker_or_topic_is_served() -> None:
    """Labels are the service and its department, and no more than eight series come of it."""
    watch, meters, _ = watched()
    watch.take(json.dumps(TOLD))
    watch.refresh()

    served = generate_latest(meters.registry)

    assert b"secret" not in served
    assert len(STATISTICS) <= 8
    for each in (meters, relay_meters("public-security", TOPOLOGY), reconciler_meters(TOPOLOGY)):
        samples = [one for family in each.registry.collect() for one in family.samples if "_kafka_" in one.name]
        assert len(samples) == len(STATISTICS)
        assert {tuple(sorted(one.labels)) for one in samples} == {("department", "service")}


class Unwatched:
    """A service of which nothing else is told."""

    def refresh(self) -> None:
        """Reads nothing."""

    def paused(self) -> None:
        """Notes nothing."""


def test_running_service_tells_how_its_client_stands(
    embedded_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client that gives signs of life is asked, and is polled with each of them, while the service waits too."""
    monkeypatch.setattr("tellonce.kafka.clients.STATISTICS_SECONDS", 0.05)
    meters, ticks = applier_meters(FUND, TOPOLOGY), itertools.count(0, 100)
    kafka = {"bootstrap_servers": embedded_broker.bootstrap_servers, "group_protocol": "classic"}
    settings = Settings.model_validate({"kafka": kafka})

    with ExitStack() as stack:
        monitor = make_monitor(settings, m.Service.APPLIER, FUND, "", meters, Unwatched(), unsigned(), stack)
        monitor.monotonic = lambda: next(ticks)

        def is_known(beat: Callable[[], None]) -> bool:
            beat()
            return None not in told(meters)[1:]

        wait_until(lambda: is_known(lambda: monitor.turned(0.1)), what="statistics of a service that works")
        monitor.statistics.take("")
        monitor.statistics.refresh()
        wait_until(lambda: is_known(monitor.paused), what="statistics of a service that waits")
