"""How the doctor reaches the world: every call waits no longer than it is told."""

import errno
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http.client import HTTPConnection, HTTPException
from typing import Protocol, TypeVar

from sqlalchemy import Engine

from tellonce.kafka.admin import Absence, Admin, ClusterFacts, Metadata, TopicFacts
from tellonce.kafka.connection import first_answer
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import RetryableError
from tellonce.storage.database import open_database

__all__ = ["TOTAL_SECONDS", "Broker", "Budget", "Listener", "Probes", "real_probes", "within"]

TOTAL_SECONDS = 8.5
"""What the command may take with its start, of the 10 s that it has; its own work needs the rest."""

_LEAST_NETWORK_SECONDS = 3.0

_LEAST_SECONDS = 0.2
_POLL_SECONDS = 0.05
_CLIENT_ID = "tellonce-doctor"
_GROUP_HEARTBEAT = "ApiKey ConsumerGroupHeartbeat (68) Versions "
_HEALTH_KEYS = {"live", "ready", "silence_seconds"}

T = TypeVar("T")


class Budget:
    """Seconds that are left for the network; each step is given a limit of its own, and never more than is left."""

    def __init__(self, total_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._end = monotonic() + total_seconds

    @classmethod
    def after_start(cls, cpu_seconds: float) -> "Budget":
        """Gives what a program that has computed for so long since its start may still spend: 3 s in any case."""
        return cls(max(TOTAL_SECONDS - cpu_seconds, _LEAST_NETWORK_SECONDS))

    def limit(self, seconds: float) -> float:
        """Gives how long a step may take.

        Raises:
            RetryableError: nothing is left.
        """
        left = self._end - self._monotonic()
        if left < _LEAST_SECONDS:
            msg = "no time is left of the 10 s that this command takes at most; mend what failed or was slow before"
            raise RetryableError(msg)
        return min(seconds, left)


class Listener(StrEnum):
    """Who listens at a port of this machine."""

    NOBODY = "nobody"
    TELLONCE = "tellonce"
    SOMEBODY = "somebody"
    FORBIDDEN = "forbidden"


class Broker(Protocol):
    """What is asked of Kafka; each request waits `limit` seconds at most and raises a TellonceError."""

    def metadata(self, limit: float) -> Metadata:
        """Connect, log in, and give what the first broker that answers tells."""
        ...

    def has_group_protocol(self) -> bool | None:
        """Tell whether the broker that answered has the group protocol of Kafka 4.0; None where it is not known."""
        ...

    def cluster(self, limit: float) -> ClusterFacts:
        """Give the cluster as it is."""
        ...

    def topics(self, names: Iterable[str], limit: float) -> Mapping[str, TopicFacts | Absence]:
        """Give each topic as it is."""
        ...

    def topic_settings(self, names: Iterable[str], limit: float) -> Mapping[str, Mapping[str, str]]:
        """Give each topic's settings in force."""
        ...

    def group_operations(self, group: str, limit: float) -> frozenset[str]:
        """Give what this user may do with a group."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """Everything outside this process that a check may touch; the last argument of each is its limit in seconds.

    `resolve` and `connect` raise OSError; `open_database` connects nothing yet.
    """

    resolve: Callable[[str, int, float], None]
    connect: Callable[[str, int, float], None]
    open_broker: Callable[[KafkaSettings], Broker]
    open_database: Callable[[str, float], Engine]
    listener_at: Callable[[str, int, float], Listener]
    now_ms: Callable[[], int]


def within(limit: float, work: Callable[[], T]) -> T:
    """Gives what `work` gives.

    The thread in which it runs is left behind where it takes longer: neither a look-up of a name nor a statement of a
    database can be ended from outside.

    Raises:
        TimeoutError: it took longer than `limit` seconds.
    """
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again below, in the thread that asked
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit)
    if failed:
        raise failed[0]
    if not done:
        msg = f"no answer within {limit:.1f} s"
        raise TimeoutError(msg)
    return done[0]


def _resolve(host: str, port: int, limit: float) -> None:
    within(limit, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _connect(host: str, port: int, limit: float) -> None:
    within(limit, lambda: socket.create_connection((host, port), timeout=limit).close())


class _Kafka:
    """A real broker."""

    def __init__(self, settings: KafkaSettings) -> None:
        # Only librdkafka's log tells which requests the broker knows.
        self._settings = settings.model_copy(update={"extra": {**settings.extra, "debug": "feature"}})
        self._admin: Admin | None = None
        self._lines: list[str] = []

    def metadata(self, limit: float) -> Metadata:
        settings = self._settings.model_copy(update={"connect_timeout_seconds": limit})
        self._admin, metadata, symptoms = first_answer(settings, _CLIENT_ID)
        self._admin.poll(_POLL_SECONDS)
        self._lines = symptoms.lines
        return metadata

    def has_group_protocol(self) -> bool | None:
        if not any("ApiKey " in line for line in self._lines):
            return None
        # Kafka 3.7 to 3.9 show version 0, which was a preview.
        known = [line.rpartition("..")[2] for line in self._lines if _GROUP_HEARTBEAT in line]
        return any(version.isdecimal() and int(version) >= 1 for version in known)

    def cluster(self, limit: float) -> ClusterFacts:
        return self._connected().cluster(limit)

    def topics(self, names: Iterable[str], limit: float) -> Mapping[str, TopicFacts | Absence]:
        return self._connected().topics(names, limit)

    def topic_settings(self, names: Iterable[str], limit: float) -> Mapping[str, Mapping[str, str]]:
        return self._connected().topic_settings(names, limit)

    def group_operations(self, group: str, limit: float) -> frozenset[str]:
        return self._connected().group_operations(group, limit)

    def _connected(self) -> Admin:
        if self._admin is None:
            msg = "the broker was not asked for its metadata first"
            raise RetryableError(msg)
        return self._admin


def _open_database(url: str, limit: float) -> Engine:
    return open_database(url, connect_seconds=max(int(limit), 1))


def _listener_at(host: str, port: int, limit: float) -> Listener:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        # As the service itself does: a port that was just left may be taken at once.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return Listener.FORBIDDEN
        else:
            return Listener.NOBODY
    return Listener.TELLONCE if _is_tellonce(host, port, limit) else Listener.SOMEBODY


def _is_tellonce(host: str, port: int, limit: float) -> bool:
    connection = HTTPConnection("127.0.0.1" if host == "0.0.0.0" else host, port, timeout=limit)  # noqa: S104 - compared
    try:
        connection.request("GET", "/healthz")
        found: object = json.loads(connection.getresponse().read(1_000))
    except (OSError, HTTPException, ValueError):
        return False
    finally:
        connection.close()
    return isinstance(found, dict) and set(found) >= _HEALTH_KEYS  # pyright: ignore[reportUnknownArgumentType]


def real_probes() -> Probes:
    """Gives the probes that reach the real network."""
    return Probes(
        resolve=_resolve,
        connect=_connect,
        open_broker=_Kafka,
        open_database=_open_database,
        listener_at=_listener_at,
        now_ms=lambda: int(time.time() * 1000),
    )
