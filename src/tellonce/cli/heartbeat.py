"""Signs of life: each service gives its own every few seconds, and the reconciler notices who has fallen silent."""

import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, Protocol

import structlog
from confluent_kafka import KafkaException, Producer

from tellonce import __version__
from tellonce.control.messages import Heartbeat, decode_message, encode_message
from tellonce.kafka.control import ControlMessage
from tellonce.model.errors import PoisonMessageError
from tellonce.observability import metrics as m
from tellonce.observability.meters import Meters
from tellonce.topology import Topology
from tellonce.topology.topics import heartbeats

__all__ = ["SILENT_SECONDS", "Hearing", "Pulse", "newest_heartbeats"]

SILENT_SECONDS = 60.0
"""After so long without a sign of life a service counts as silent; it gives one every few seconds."""

_FAREWELL_SECONDS = 2.0

_log = structlog.get_logger()

State = Literal["running", "paused", "stopped"]


class Pulse:
    """Gives a service's sign of life. It never makes the service wait: one that is lost is made good by the next."""

    def __init__(
        self,
        meters: Meters,
        service: m.Service,
        department: str,
        make_producer: Callable[[], Producer],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._meters = meters
        self._service = service
        self._department = department
        self._topic = heartbeats(department)
        self._make_producer = make_producer
        self._producer: Producer | None = None
        self._holder = f"{socket.gethostname()}:{os.getpid()}"
        self._clock = clock
        self._started_at_ms = int(clock() * 1000)

    def beat(self, state: State) -> None:
        """Tells that the service lives, and how things stand."""
        message = Heartbeat(
            department=self._department,
            service=self._service.value,
            holder=self._holder,
            state=state,
            release=__version__,
            started_at_ms=self._started_at_ms,
            at_ms=int(self._clock() * 1000),
            gauges=self._meters.readings(m.HEARTBEAT),
        )
        if self._producer is None:
            self._producer = self._make_producer()
        try:
            # By service, so that compaction leaves the newest of each.
            self._producer.produce(self._topic, encode_message(message), self._service.value.encode())
            self._producer.poll(0)
        except (BufferError, KafkaException) as error:
            _log.warning("heartbeat_not_sent", error=type(error).__name__)
            self._producer = None

    def close(self) -> None:
        """Says goodbye, where that goes quickly; a service that was never heard has none to say it to."""
        producer = self._producer
        if producer is not None:
            self.beat("stopped")
            producer.flush(_FAREWELL_SECONDS)


class Reader(Protocol):
    """What is needed of `kafka.control.ControlReader`."""

    def poll(self, timeout_seconds: float, most: int = ...) -> list[ControlMessage]:
        """Gives the next messages; an empty list where none came in time."""
        ...


class Hearing:
    """Listens for the signs of life of a city's relays and appliers, by this machine's own clock."""

    def __init__(
        self,
        meters: Meters,
        topology: Topology,
        reader: Reader,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`reader` reads the heartbeats from now on."""
        self._meters = meters
        self._reader = reader
        self._clock = clock
        self._monotonic = monotonic
        self._heard_at = {
            (service.value, department): monotonic()
            for service, department in m.services_of(topology)
            if service is not m.Service.RECONCILER
        }
        self._silent: set[tuple[str, str]] = set()

    def listen(self) -> None:
        """Takes what has come since, and logs who has fallen silent or is heard again.

        Raises:
            RetryableError: the broker is away.
        """
        now = self._monotonic()
        while messages := self._reader.poll(0.0):
            for (department, service, _), heartbeat in newest_heartbeats(messages).items():
                place = (service, department)
                if place in self._heard_at and heartbeat.state != "stopped":
                    self._heard_at[place] = now
                    labels = {"service": service, "department": department}
                    self._meters.set(m.HEARD_TIMESTAMP, self._clock(), **labels)
        for (service, department), heard_at in self._heard_at.items():
            self._judge((service, department), is_silent=now - heard_at > SILENT_SECONDS)

    def _judge(self, place: tuple[str, str], *, is_silent: bool) -> None:
        service, department = place
        if is_silent and place not in self._silent:
            self._silent.add(place)
            _log.warning("service_silent", service=service, department=department, seconds=SILENT_SECONDS)
        elif not is_silent and place in self._silent:
            self._silent.discard(place)
            _log.info("service_heard_again", service=service, department=department)


def newest_heartbeats(messages: Iterable[ControlMessage]) -> Mapping[tuple[str, str, str], Heartbeat]:
    """Gives the newest sign of life of each process: by department, service and holder.

    What is none is passed over, and so is another's: the topic tells who wrote it, since the broker lets nobody else
    write there.
    """
    found: dict[tuple[str, str, str], Heartbeat] = {}
    for message in messages:
        where = {"topic": message.topic, "offset": message.offset}
        try:
            heartbeat = decode_message(Heartbeat, message.value or b"")
        except PoisonMessageError as error:
            _log.warning("control_message_skipped", reason=str(error), **where)
            continue
        if message.topic == heartbeats(heartbeat.department):
            found[heartbeat.department, heartbeat.service, heartbeat.holder] = heartbeat
        else:
            _log.warning("control_message_refused", **where)
    return found
