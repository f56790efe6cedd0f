"""What goes along with any running service: its meters, its health and its signs of life, fed by its loop."""

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import structlog

from tellonce.cli.heartbeat import Pulse
from tellonce.cli.settings import Settings
from tellonce.cli.statistics_watch import StatisticsWatch
from tellonce.cli.topic_drift import DriftWatch
from tellonce.control.signing import Signatures
from tellonce.kafka.clients import make_producer
from tellonce.observability import metrics as m
from tellonce.observability.meters import Meters
from tellonce.observability.serving import Health, HealthServer

__all__ = ["LoopWatch", "Monitor", "Watch", "make_monitor"]

_log = structlog.get_logger()

REFRESH_SECONDS = 5.0
"""How often how things stand is read and told with a sign of life; what a turn returned is counted at once."""


class Watch(Protocol):
    """What knows how a service stands."""

    def refresh(self) -> None:
        """Reads how things stand, from database and service."""
        ...

    def paused(self) -> None:
        """Notes that what was known of the outside is not known any more."""
        ...


class LoopWatch:
    """The loop of any service: how long its turns take, when it last turned, and whether it waits."""

    def __init__(
        self, meters: Meters, service: m.Service, department: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._meters = meters
        self._labels = {"service": service.value, "department": department}
        self._clock = clock
        self._sweeps = self._refused = 0
        meters.set(m.PAUSED, 0, **self._labels)

    def turned(self, seconds: float, *, sweeps: int = 0, refused: int = 0) -> None:
        """Notes a turn; `sweeps` is how many whole sweeps the service has finished, `refused` how many statements."""
        now = self._clock()
        self._meters.observe(m.TURN_DURATION, seconds, **self._labels)
        self._meters.set(m.TURN_TIMESTAMP, now, **self._labels)
        self._meters.set(m.PAUSED, 0, **self._labels)
        self._meters.count(m.STATEMENTS_REFUSED, refused - self._refused, **self._labels)
        self._refused = refused
        if sweeps != self._sweeps:
            self._sweeps = sweeps
            self._meters.set(m.SWEEP_TIMESTAMP, now, **self._labels)

    def paused(self) -> None:
        """Notes that the service waits for its database or the broker."""
        self._meters.set(m.TURN_TIMESTAMP, self._clock(), **self._labels)
        self._meters.set(m.PAUSED, 1, **self._labels)
        self._meters.count(m.PAUSES, 1, **self._labels)


@dataclass(slots=True, kw_only=True)
class Monitor:
    """Health and meters of one running service, fed by its loop.

    `is_ready` tells whether all that its work needs is there, `sweeps` how many whole sweeps it has finished, and
    `refused` how many messages of control topics it did not believe. `drift` looks at the service's topics while
    metrics are served.
    """

    service: m.Service
    meters: Meters
    loop: LoopWatch
    watch: Watch
    health: Health
    pulse: Pulse
    statistics: StatisticsWatch
    is_ready: Callable[[], bool] = lambda: True
    sweeps: Callable[[], int] = lambda: 0
    refused: Callable[[], int] = lambda: 0
    drift: DriftWatch | None = None
    monotonic: Callable[[], float] = time.monotonic
    _refreshed_at: float = float("-inf")

    def turned(self, seconds: float) -> None:
        """Notes a turn, and now and then how things stand.

        Raises:
            RetryableError: the database is away.
        """
        self.loop.turned(seconds, sweeps=self.sweeps(), refused=self.refused())
        self.health.turned(is_ready=self.is_ready())
        now = self.monotonic()
        if now - self._refreshed_at >= REFRESH_SECONDS:
            self._refreshed_at = now
            self.watch.refresh()
            self.pulse.beat("running")
            self.statistics.refresh()

    def paused(self) -> None:
        """Notes that the service waits for its database or the broker."""
        self.loop.paused()
        self.watch.paused()
        self.health.turned(is_ready=False)
        self.pulse.beat("paused")
        self.statistics.refresh()

    @contextmanager
    def served(self, settings: Settings, *, once: bool) -> Generator[None]:
        """Answers for metrics and health while the block runs; not with `once`, unless a port was given.

        Raises:
            ConfigurationError: the port is in use.
        """
        if once and settings.metrics_port is None:
            yield
            return
        port = m.PORTS[self.service] if settings.metrics_port is None else settings.metrics_port
        server = HealthServer(self.meters.registry, self.health, host=settings.metrics_host, port=port)
        with server, self.drift or nullcontext():
            _log.info("metrics_served", address=server.address, series=self.meters.series())
            yield


def make_monitor(
    settings: Settings,
    service: m.Service,
    department: str,
    schemas: str,
    meters: Meters,
    watch: Watch,
    signatures: Signatures,
    stack: ExitStack,
) -> Monitor:
    """Gives what goes along with a service; `schemas` names the published schemas that it knows.

    Raises:
        ConfigurationError: the Kafka settings are refused.
    """
    meters.tell_build(service.value, department, schemas)
    statistics = StatisticsWatch(meters, service, department)
    pulse = Pulse(
        meters,
        service,
        department,
        lambda: make_producer(
            settings.kafka, f"tellonce-{service.value}-{department}-heartbeat", on_statistics=statistics.take
        ),
        signatures,
    )
    stack.callback(pulse.close)
    return Monitor(
        service=service,
        meters=meters,
        loop=LoopWatch(meters, service, department),
        watch=watch,
        health=Health(limit_seconds=settings.health_seconds),
        pulse=pulse,
        statistics=statistics,
    )
