"""Signs of life: each service gives its own every few seconds, and the reconciler notices who has fallen silent."""

import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import structlog
from confluent_kafka import KafkaException, Producer

from tellonce import __version__
from tellonce.control.channel import Channel, Heard
from tellonce.control.messages import Heartbeat
from tellonce.control.routes import outgoing
from tellonce.control.signing import Signatures
from tellonce.model.errors import TellonceError
from tellonce.model.position import HEADER_NAME
from tellonce.observability import metrics as m
from tellonce.observability.meters import Meters
from tellonce.topology import Topology

__all__ = ["SILENT_SECONDS", "Hearing", "Process", "Pulse", "newest_heartbeats"]

SILENT_SECONDS = 60.0
"""After so long without a sign of life a service counts as silent; it gives one every few seconds."""

_FAREWELL_SECONDS = 2.0

_log = structlog.get_logger()

Process = tuple[str, str, str]
"""A running service: its department, which service it is, and its holder, which tells processes apart."""

State = Literal["running", "paused", "stopped"]


class Pulse:
    """Gives a service's sign of life. It never makes the service wait: one that is lost is made good by the next."""

    def __init__(
        self,
        meters: Meters,
        service: m.Service,
        department: str,
        make_producer: Callable[[], Producer],
        signatures: Signatures,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._meters = meters
        self._service = service
        self._department = department
        self._make_producer = make_producer
        self._signatures = signatures
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
        try:
            if self._producer is None:
                self._producer = self._make_producer()
            for one in outgoing(message, self._department):
                signature = self._signatures.sign(one.topic, one.key, one.value)
                headers: dict[str, str | bytes | None] = {} if signature is None else {HEADER_NAME: signature}
                self._producer.produce(one.topic, one.value, one.key, headers=headers)
            self._producer.poll(0)
        except (BufferError, KafkaException, TellonceError) as error:
            # A password file that has gone, too: the service needs no new client now, and the next beat asks again.
            _log.warning("heartbeat_not_sent", error=type(error).__name__)
            self._producer = None

    def close(self) -> None:
        """Says goodbye, where that goes quickly; a service that was never heard has none to say it to."""
        producer = self._producer
        if producer is not None:
            self.beat("stopped")
            producer.flush(_FAREWELL_SECONDS)


class Hearing:
    """Listens for the signs of life of a city's relays and appliers, by this machine's own clock."""

    def __init__(
        self,
        meters: Meters,
        topology: Topology,
        channel: Channel,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to listen.

        Raises:
            RetryableError: the broker is away.
        """
        self._meters = meters
        self._channel = channel
        channel.listen(Heartbeat, _speakers(topology), "now")
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
        while heard := self._channel.hear(Heartbeat):
            for (department, service, _), heartbeat in newest_heartbeats(heard).items():
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


def _speakers(topology: Topology) -> list[str]:
    services = (place for place in m.services_of(topology) if place[0] is not m.Service.RECONCILER)
    return list(dict.fromkeys(department for _, department in services))


def newest_heartbeats(heard: Iterable[Heard[Heartbeat]]) -> Mapping[Process, Heartbeat]:
    """Gives the newest sign of life of each process."""
    return {(one.speaker, one.message.service, one.message.holder): one.message for one in heard}
