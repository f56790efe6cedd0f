"""Producers and consumers of confluent-kafka with every setting on which a guarantee rests, read back after the start.

librdkafka's own defaults would reorder (idempotence off), skip (`auto.offset.reset=largest`), commit before the work is
done, trust flipped bits and make misspelt topics, so none of them is relied on.
"""

import contextlib
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from tellonce.kafka.errors import error_of, kafka_error
from tellonce.kafka.settings import ClientConfig, KafkaSettings
from tellonce.model.errors import InvariantError, TellonceError

__all__ = [
    "STATISTICS_SECONDS",
    "ClientLog",
    "OnError",
    "OnStatistics",
    "make_admin",
    "make_consumer",
    "make_producer",
    "make_reader",
]

OnError = Callable[[TellonceError], None]
OnStatistics = Callable[[str], None]

STATISTICS_SECONDS = 15.0
"""How often a client that is asked for its statistics tells them: as often as Prometheus looks."""

_GREETING_SECONDS = 1.0

_Client = TypeVar("_Client", Producer, Consumer, AdminClient)

_log = structlog.get_logger(__name__)

_EVERY_CLIENT: ClientConfig = {
    "allow.auto.create.topics": False,
    "enable.metrics.push": False,
}

_PRODUCER: ClientConfig = {
    "enable.idempotence": True,
    "acks": "all",
    "max.in.flight.requests.per.connection": 5,
    # Views name each event's partition; this decides for control messages, and agrees with model.partitioning.
    "partitioner": "murmur2_random",
}

_CONSUMER: ClientConfig = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "check.crcs": True,
    "isolation.level": "read_committed",
    # Without it a client never learns that it passed the end of a log whose last entries were compacted away.
    "enable.partition.eof": True,
}

# Settings of comfort: `extra` may change them.
_TUNING: ClientConfig = {
    # A dead peer is noticed, and tried again within 2 s of its return rather than librdkafka's 10 s.
    "socket.keepalive.enable": True,
    "reconnect.backoff.max.ms": 2_000,
}
_PRODUCER_TUNING: ClientConfig = {
    # As the topics keep it: what is sent packed, the broker has to unpack.
    "compression.type": "none",
    "linger.ms": 5,
    # 64 MiB, not librdkafka's 1 GiB: the relay waits rather than grows.
    "queue.buffering.max.kbytes": 65_536,
}
_CONSUMER_TUNING: ClientConfig = {
    # Per partition 16 MiB instead of 64 MiB, so that a backlog on many partitions does not fill the memory; and a full
    # queue is looked at again after 50 ms instead of 1 s, or a fast reader would starve.
    "queued.max.messages.kbytes": 16_384,
    "fetch.queue.backoff.ms": 50,
    # How long the broker holds a request where there is nothing new. A message ends the wait, so delivery is not later;
    # but a broker answers a connection's requests in turn, so asking for a watermark waits as long: 0.5 s by default.
    "fetch.wait.max.ms": 100,
}
# A reader asks for watermarks, and jumps, more often than it follows a log.
_READER_TUNING: ClientConfig = _CONSUMER_TUNING | {"fetch.wait.max.ms": 50}

# The names under which librdkafka shows a setting that has an alias.
_SHOWN_AS = {"acks": "request.required.acks"}
_SHOWN_VALUE = {"True": "true", "False": "false", "all": "-1", "earliest": "smallest"}
# A failed connection comes to the error callback too, with its code; a setting in `extra` for the other kind of client
# is no news.
_QUIET = {"FAIL", "INIT", "CONFWARN"}
_CONFIG_LINE = re.compile(r"^ +(?P<name>[a-z0-9._]+) = (?P<value>.*)$")


class ClientLog:
    """Where librdkafka's log goes: into ours, never to the terminal. Its lines about settings are kept apart.

    It has the one method of `logging.Logger` that confluent-kafka calls; it never raises. Lines arrive while the client
    is polled, in the polling thread.
    """

    def __init__(self, client_id: str, on_line: Callable[[str], None] | None = None) -> None:
        """Take the client's name, and whom else to tell each line."""
        self.settings: dict[str, str] = {}
        self._on_line = on_line
        self._log = _log.bind(client_id=client_id)

    def log(self, level: int, template: str, *arguments: object) -> None:
        """Pass one line on; `level` is as in `logging`."""
        line = template % arguments if arguments else template
        facility, _, rest = line.partition(" ")
        # A line is its facility, the client and the thread in brackets, a colon, and the text.
        text = rest.rpartition("]: ")[2] if "]: " in rest else rest
        if facility == "CONF":
            shown = _CONFIG_LINE.match(text)
            if shown is not None:
                self.settings[shown["name"]] = shown["value"]
            return
        if self._on_line is not None:
            self._on_line(text)
        level_shown = logging.DEBUG if facility in _QUIET else level
        self._log.log(level_shown, "kafka_client_logged", facility=facility, text=text)


def make_producer(
    settings: KafkaSettings,
    client_id: str,
    on_error: OnError | None = None,
    *,
    on_statistics: OnStatistics | None = None,
    connected: bool = False,
) -> Producer:
    """Gives a producer: idempotent, acknowledged by all in-sync replicas, at most five requests in flight, lz4.

    A message is given up after `message_timeout_seconds`, with an error in its delivery report; librdkafka then goes on
    with the next one, so whoever needs an unbroken order must stop, discard the producer and send again.
    With `connected` it has reached a broker when it is given, or tried for a second, for whoever waits for the first
    message: only every 500 ms librdkafka looks for a broker to ask for an idempotent producer's id.
    `on_error` is told of failures of the connection, in the thread that polls; it must not raise.
    Nor must `on_statistics`, which is told librdkafka's statistics as JSON. They wait in memory until somebody polls,
    so a client that may rest for hours is not to be asked for them.

    Raises:
        ConfigurationError: librdkafka refuses a setting, or a file that one names cannot be read.
        InvariantError: librdkafka does not use a setting that it was given.
    """
    tuning = dict(_PRODUCER_TUNING)
    if on_statistics is not None:
        tuning["statistics.interval.ms"] = round(STATISTICS_SECONDS * 1000)
    guaranteed = _PRODUCER | {
        "message.timeout.ms": round(settings.message_timeout_seconds * 1000),
        "message.max.bytes": settings.max_message_bytes,
    }
    wanted = _Wanted(settings, client_id, tuning, guaranteed, on_statistics)
    producer = _make(Producer, wanted, _warning(client_id, on_error))
    if connected:
        # What is wrong is told by the first message's delivery report.
        with contextlib.suppress(KafkaException):
            producer.list_topics(timeout=_GREETING_SECONDS)
    return producer


def make_consumer(settings: KafkaSettings, client_id: str, group_id: str, on_error: OnError | None = None) -> Consumer:
    """Gives a member of a group that never commits by itself and never guesses a position.

    The position comes from the department's database, so `auto.offset.reset` is `error`: where the log no longer holds
    it, a message with `_AUTO_OFFSET_RESET` comes and the stream stops. Whoever begins anew assigns OFFSET_BEGINNING.
    The end of each partition comes as a message too (`errors.is_end_of_partition`). Partitions are taken and given back
    one by one with both group protocols: the rebalance callbacks must use `incremental_assign` and
    `incremental_unassign`.

    Raises:
        ConfigurationError: librdkafka refuses a setting, or a file that one names cannot be read.
        InvariantError: librdkafka does not use a setting that it was given.
    """
    guaranteed = _CONSUMER | {
        "auto.offset.reset": "error",
        "group.id": group_id,
        "group.protocol": settings.group_protocol,
    }
    if settings.group_protocol == "classic":
        guaranteed["partition.assignment.strategy"] = "cooperative-sticky"
    return _make(Consumer, _Wanted(settings, client_id, _CONSUMER_TUNING, guaranteed), _warning(client_id, on_error))


def make_reader(
    settings: KafkaSettings, client_id: str, on_error: OnError | None = None, *, group_id: str | None = None
) -> Consumer:
    """Gives a consumer for `assign`: it joins no group and commits nothing.

    librdkafka looks its group up all the same, and the broker notes a refusal where this user has no right to that
    group: `group_id` names one to which it has. Without, the refusals come as messages with
    GROUP_AUTHORIZATION_FAILED, which mean nothing and which `reading.consume_now` leaves out.

    `auto.offset.reset` is `earliest`, as the topics read so are kept by time: where retention removed messages between
    asking for the first offset and reading it, what is left is exactly what the log holds. `assign` to a topic that
    this user may not read is silent for ever: see `connection.check_connection`.

    Raises:
        ConfigurationError: librdkafka refuses a setting, or a file that one names cannot be read.
        InvariantError: librdkafka does not use a setting that it was given.
    """
    guaranteed = _CONSUMER | {
        "auto.offset.reset": "earliest",
        "group.id": group_id or client_id,
        "group.protocol": "classic",
    }
    return _make(Consumer, _Wanted(settings, client_id, _READER_TUNING, guaranteed), _warning(client_id, on_error))


def make_admin(
    settings: KafkaSettings,
    client_id: str,
    on_error: Callable[[KafkaError], None] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> AdminClient:
    """Gives a client for metadata, topics and ACLs.

    While it is polled `on_error` is told each error of the connection and `on_line` each line of librdkafka's log, as
    they are; they are logged for debugging only, since whoever asks with this client says itself what went wrong.

    Raises:
        ConfigurationError: librdkafka refuses a setting, or a file that one names cannot be read.
        InvariantError: librdkafka does not use a setting that it was given.
    """

    def note(error: KafkaError) -> None:
        _log.debug("kafka_client_failed", client_id=client_id, error=error.name(), text=error.str())
        if on_error is not None:
            on_error(error)

    return _make(AdminClient, _Wanted(settings, client_id, {}, {}), note, on_line)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a client is made of; later ones win: tuning, what `extra` says, the connection, what cannot be changed."""

    settings: KafkaSettings
    client_id: str
    tuning: ClientConfig
    guaranteed: ClientConfig
    on_statistics: OnStatistics | None = None

    def in_force(self) -> ClientConfig:
        return _EVERY_CLIENT | self.guaranteed | {"client.id": self.client_id}

    def config(self) -> dict[str, Any]:
        asked = self.settings.extra.get("debug")
        # librdkafka shows the settings that it really uses only to those who ask for this category.
        shown = {"debug": f"conf,{asked}" if asked else "conf"}
        connection = self.settings.connection_config()
        return {**_TUNING, **self.tuning, **self.settings.extra, **shown, **connection, **self.in_force()}


def _make(
    kind: type[_Client],
    wanted: _Wanted,
    on_error: Callable[[KafkaError], None],
    on_line: Callable[[str], None] | None = None,
) -> _Client:
    log = ClientLog(wanted.client_id, on_line)
    config: dict[str, Any] = wanted.config()
    config["error_cb"] = on_error
    if wanted.on_statistics is not None:
        config["stats_cb"] = wanted.on_statistics
    try:
        client = kind(config, logger=log)
    except KafkaException as error:
        raise error_of(error, f"make the Kafka client {wanted.client_id}", client_id=wanted.client_id) from error
    client.poll(0)
    _assert_in_force(wanted, log.settings)
    return client


def _warning(client_id: str, on_error: OnError | None) -> Callable[[KafkaError], None]:
    def note(error: KafkaError) -> None:
        _log.warning("kafka_client_failed", client_id=client_id, error=error.name(), text=error.str())
        if on_error is not None:
            on_error(kafka_error(error, f"reach Kafka as {client_id}", client_id=client_id))

    return note


def _assert_in_force(wanted: _Wanted, shown: Mapping[str, str]) -> None:
    if not shown:
        # A librdkafka that words its log otherwise must not stop every service; the tests of this module would say so.
        _log.warning("kafka_settings_not_shown", client_id=wanted.client_id)
        return
    for name, value in wanted.in_force().items():
        expected = _SHOWN_VALUE.get(str(value), str(value))
        found = shown.get(_SHOWN_AS.get(name, name))
        if found != expected:
            message = (
                f"Kafka client {wanted.client_id} was to run with {name}={expected}, librdkafka shows {found}: "
                "guarantees rest on it, so the client is not used"
            )
            raise InvariantError(message, client_id=wanted.client_id, setting=name)
