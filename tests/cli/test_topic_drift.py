"""A service's metric tells how its topics differ from the topology, and never makes the service wait or end."""

import math
import threading
from contextlib import ExitStack

import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from cli.planting import DEPARTMENT, ROOT, FakeBroker, facts
from tellonce.cli.meters import relay_meters
from tellonce.cli.monitor import make_monitor
from tellonce.cli.settings import Settings
from tellonce.cli.topic_drift import DriftWatch
from tellonce.kafka.admin import Absence, Metadata
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import ConfigurationError, RetryableError
from tellonce.observability import metrics as m
from tellonce.observability.meters import Meters
from tellonce.testing.channel import unsigned
from tellonce.topology import load_topology
from tellonce.topology.topics import heartbeats, marks
from waiting import wait_until

TOPOLOGY = load_topology(ROOT / "topology.yaml")
LABELS = {"service": "relay", "department": DEPARTMENT}
MARKS = marks(DEPARTMENT)
OWN = {MARKS, heartbeats(DEPARTMENT)}


class Unwatched:
    """A service of which nothing else is told."""

    def refresh(self) -> None:
        """Reads nothing."""

    def paused(self) -> None:
        """Notes nothing."""


class Looked:
    """A watch over the topics of a relay, with what it asks of brokers, one after another."""

    def __init__(self, *brokers: FakeBroker, look_seconds: float = 3_600.0) -> None:
        self.brokers = list(brokers)
        self.meters: Meters = relay_meters(DEPARTMENT, TOPOLOGY)
        self.watch = DriftWatch(
            self.meters,
            m.Service.RELAY,
            DEPARTMENT,
            TOPOLOGY,
            OWN,
            KafkaSettings(bootstrap_servers="kafka.example"),
            open_broker=lambda _settings, _client_id: self.brokers.pop(0) if len(self.brokers) > 1 else self.brokers[0],
            look_seconds=look_seconds,
        )

    def drift(self) -> float:
        """What a scrape reads."""
        value = self.meters.registry.get_sample_value(m.TOPOLOGY_DRIFT.name, LABELS)
        assert value is not None
        return value


def test_drift_is_unknown_until_it_was_looked_at() -> None:
    """A 0 would say that all is well; and the labels are the service and its department alone."""
    looked = Looked(FakeBroker())

    assert math.isnan(looked.drift())
    assert b'tellonce_topology_drift{department="civil-affairs",service="relay"} NaN' in generate_latest(
        looked.meters.registry
    )


def test_differences_in_own_topics_are_told() -> None:
    """Topics that this service neither writes nor reads are not its business."""
    others = {"citizen.residence.v1": Absence.MISSING}

    right, wrong = Looked(FakeBroker(changed=others)), Looked(FakeBroker(changed={MARKS: facts(MARKS, 3)}))
    right.watch.look()
    wrong.watch.look()

    assert right.drift() == 0
    assert wrong.drift() == 1


@pytest.mark.parametrize(
    "broker",
    [
        FakeBroker(refusal=RetryableError("away")),
        FakeBroker(refusal=ConfigurationError("refused")),
        FakeBroker(shows_settings=False),
        FakeBroker(is_embedded=True),
    ],
)
def test_what_cannot_be_read_is_unknown_again(broker: FakeBroker) -> None:
    """The last figure does not stand for what nobody sees any more."""
    looked = Looked(FakeBroker(), broker)

    looked.watch.look()
    before = looked.drift()
    looked.watch.look()

    assert before == 0
    assert math.isnan(looked.drift())


def test_unforeseen_error_leaves_the_drift_unknown() -> None:
    """The thread ends by it, so an old figure would stand for ever."""
    looked = Looked(FakeBroker(), FakeBroker(refusal=ZeroDivisionError()))
    looked.watch.look()

    with pytest.raises(ZeroDivisionError):
        looked.watch.look()

    assert math.isnan(looked.drift())


def test_change_of_the_drift_is_logged_once() -> None:
    """The log names the topics, and is not filled by each look."""
    wrong = FakeBroker(overrides={MARKS: {"cleanup.policy": "compact", "compression.type": "zstd"}})
    looked = Looked(wrong, wrong, FakeBroker(refusal=RetryableError("away")), wrong, FakeBroker(), FakeBroker())

    with capture_logs() as logs:
        for _ in range(6):
            looked.watch.look()

    assert logs == [
        {"event": "topology_drift_found", "log_level": "warning", "differences": 2, "topics": [MARKS], **LABELS},
        {"event": "topology_drift_ended", "log_level": "info", **LABELS},
    ]


def test_thread_looks_again_and_ends_with_its_block() -> None:
    """It looks at once and then now and then, for as long as the service runs."""
    looked = Looked(FakeBroker(), FakeBroker(changed={MARKS: Absence.MISSING}), look_seconds=0.01)

    with looked.watch:
        wait_until(lambda: looked.drift() == 1)

    assert "topic-drift" not in {thread.name for thread in threading.enumerate()}


def test_broker_that_does_not_answer_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service ends though a request is under way, which cannot be ended."""
    asked, answer = threading.Event(), threading.Event()

    class SilentBroker(FakeBroker):
        def metadata(self, limit: float) -> Metadata:
            asked.set()
            assert answer.wait(limit * 10)
            return super().metadata(limit)

    monkeypatch.setattr("tellonce.cli.topic_drift._FAREWELL_SECONDS", 0.01)
    looked = Looked(SilentBroker())

    with looked.watch:
        assert asked.wait(10)
        assert math.isnan(looked.drift())
    answer.set()

    wait_until(lambda: looked.drift() == 0)


@pytest.mark.parametrize("once", [False, True])
def test_service_is_looked_at_while_it_is_served(*, once: bool) -> None:
    """Nobody scrapes a service that runs once, so it asks the broker nothing."""
    looked = Looked(FakeBroker(changed={MARKS: Absence.MISSING}))
    settings = Settings.model_validate({"metrics_port": None if once else 0})
    stack = ExitStack()
    monitor = make_monitor(settings, m.Service.RELAY, DEPARTMENT, "", looked.meters, Unwatched(), unsigned(), stack)
    monitor.drift = looked.watch

    with stack, monitor.served(settings, once=once):
        if not once:
            wait_until(lambda: looked.drift() == 1)

    assert math.isnan(looked.drift()) is once
