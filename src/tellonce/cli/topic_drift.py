"""How a running service's topics differ from the topology, looked at now and then in a thread of its own."""

import threading
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self

import structlog

from tellonce.kafka.admin import Admin
from tellonce.kafka.drift import Drift, TopicsShown, read_drift
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import TellonceError
from tellonce.observability import metrics as m
from tellonce.observability.meters import Meters
from tellonce.topology import Topology, topics_of

__all__ = ["LOOK_SECONDS", "DriftWatch"]

LOOK_SECONDS = 60.0
"""From one look to the next. Topics change by hand, and the alert waits for a quarter of an hour."""

_REQUEST_SECONDS = 5.0
# A request that is under way cannot be ended; the service's end does not wait for it.
_FAREWELL_SECONDS = 1.0

_log = structlog.get_logger()


class DriftWatch:
    """Tells of the drift while its block runs; a context manager. It never makes the service wait, or end."""

    def __init__(
        self,
        meters: Meters,
        service: m.Service,
        department: str,
        topology: Topology,
        names: Collection[str],
        settings: KafkaSettings,
        *,
        open_broker: Callable[[KafkaSettings, str], TopicsShown] = Admin,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """`names` are the topics that the service writes and reads."""
        self._meters = meters
        self._labels = {"service": service.value, "department": department}
        self._specs = [spec for spec in topics_of(topology) if spec.name in names]
        self._settings = settings
        self._open_broker = open_broker
        self._look_seconds = look_seconds
        self._stop = threading.Event()
        self._told = 0
        self._thread = threading.Thread(target=self._run, name="topic-drift", daemon=True)

    @property
    def topics(self) -> frozenset[str]:
        """The names of the topics that are compared."""
        return frozenset(spec.name for spec in self._specs)

    def __enter__(self) -> Self:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join(_FAREWELL_SECONDS)

    def look(self) -> None:
        """Compares the topics once; what cannot be read is unknown."""
        differences: int | None = None
        try:
            # A client of its own for each look: one that is kept would have to be polled between them, or what it logs
            # while the broker is away would pile up.
            drift = read_drift(
                self._open_broker(self._settings, f"tellonce-{self._labels['service']}-drift"),
                self._specs,
                _REQUEST_SECONDS,
            )
            differences = drift.differences
        except TellonceError:
            # The service meets the same trouble in its own work, and says so there.
            return
        finally:
            # After an error that nobody foresaw too, with which the thread ends: an old figure would stand for ever.
            self._meters.set(m.TOPOLOGY_DRIFT, differences, **self._labels)
        self._tell(drift)

    def _tell(self, drift: Drift) -> None:
        differences = drift.differences
        if differences is None or differences == self._told:
            return
        if differences:
            _log.warning("topology_drift_found", differences=differences, topics=sorted(drift.by_topic), **self._labels)
        else:
            _log.info("topology_drift_ended", **self._labels)
        self._told = differences

    def _run(self) -> None:
        self.look()
        while not self._stop.wait(self._look_seconds):
            self.look()
