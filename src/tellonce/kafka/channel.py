"""The control channel over Kafka: one writer and one reader, made anew where trouble does not end by itself."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import structlog

from tellonce.control.channel import ControlMessage, Heard, Place, Refusals, Start
from tellonce.control.messages import M, Message
from tellonce.control.routes import Outgoing, outgoing, topics_heard
from tellonce.control.signing import Signatures
from tellonce.kafka.control import ControlReader, ControlWriter
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import ConfigurationError, RetryableError
from tellonce.model.position import HEADER_NAME

__all__ = ["KafkaChannel"]

_log = structlog.get_logger()

_FAILURES_IN_A_ROW = 3
"""After so many the clients are made anew, with secrets as they are then: a password may have changed, or a topic."""

R = TypeVar("R")


class _Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=_Closable)


class _Client(Generic[C]):
    """One connection, made when it is first needed, and anew after repeated failure."""

    def __init__(self, name: str, make: Callable[[], C]) -> None:
        self._name = name
        self._make = make
        self._client: C | None = None
        self._failures = 0
        self._has_worked = False

    @property
    def made(self) -> C | None:
        """The connection, if there is one."""
        return self._client

    def use(self, deed: Callable[[C], R], *, shows_life: Callable[[R], bool]) -> R:
        """Does something with the connection; only what `shows_life` ends the count of failures.

        A poll that brings nothing and a message that only waits to be sent succeed with a dead broker, too.

        Raises:
            RetryableError: the broker is away; or what was right when the service began is so no more, as where a topic
                is made again or a password replaced, which somebody will set right.
            ConfigurationError: it is wrong from the beginning.
        """
        try:
            if self._client is None:
                self._client = self._make()
            done = deed(self._client)
        except RetryableError:
            self._note_failure()
            raise
        except ConfigurationError as error:
            if not self._has_worked:
                raise
            self._note_failure()
            raise RetryableError(str(error), **error.facts) from error
        if shows_life(done):
            self._failures, self._has_worked = 0, True
        return done

    def _note_failure(self) -> None:
        self._failures += 1
        if self._failures % _FAILURES_IN_A_ROW == 0:
            _log.info("control_channel_made_anew", client_id=self._name, failures=self._failures)
            self.drop()

    def drop(self) -> None:
        """Closes the connection; the next use makes another."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


class _Ear:
    """What is heard of one shape: by which topics, up to where, and what waits to be asked for."""

    def __init__(self, shape: type[Any], topics: Mapping[str, str], refusals: Refusals) -> None:
        self.shape = shape
        self._refusals = refusals
        self.topics = topics
        self.waiting: deque[tuple[Place, int, Heard[Any] | None]] = deque()
        self.read: dict[Place, int] = {}
        self.given: dict[Place, int] = {}

    def hold(self, message: ControlMessage) -> None:
        """Keeps a message until it is asked for."""
        place = (message.topic, message.partition)
        found = self._refusals.take(self.shape, self.topics[message.topic], message)
        self.waiting.append((place, message.offset, found))
        self.read[place] = message.offset + 1

    def give(self) -> list[Heard[Any]]:
        """Gives what waits."""
        found = [heard for _, _, heard in self.waiting if heard is not None]
        self.given |= {place: offset + 1 for place, offset, _ in self.waiting}
        self.waiting.clear()
        return found


class KafkaChannel:
    """What one principal says and hears on the control topics. Not thread-safe; closed at the block's end."""

    def __init__(
        self,
        settings: KafkaSettings,
        speaker: str,
        client_id: str,
        signatures: Signatures,
        *,
        group_id: str | None = None,
    ) -> None:
        """Make neither reader nor writer yet; `group_id` is as in `clients.make_reader`."""
        self._speaker = speaker
        self._signatures = signatures
        self._refusals = Refusals(signatures)
        self._ears: dict[type[Any], _Ear] = {}
        name = f"{client_id}-control"
        self._writer = _Client(f"{name}-writer", lambda: ControlWriter(settings, name))
        self._reader = _Client(f"{name}-reader", lambda: self._following(settings, name, group_id))
        self._says = False

    def __enter__(self) -> Self:
        """Give the channel itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let what was said arrive, unless the block failed, and close the connections."""
        try:
            if kind is None:
                self.flush()
        finally:
            self._writer.drop()
            self._reader.drop()

    def say(self, message: Message) -> None:
        """Says a message, as `control.channel.Channel` has it."""
        for one in outgoing(message, self._speaker):
            self._says = True
            signature = self._signatures.sign(one.topic, one.key, one.value)
            self._writer.use(partial(_write, one, signature), shows_life=lambda _: False)

    def flush(self) -> None:
        """Returns when everything said so far has arrived, as `control.channel.Channel` has it."""
        if self._says:
            self._writer.use(ControlWriter.flush, shows_life=lambda _: True)
            self._says = False

    def listen(self, shape: type[M], speakers: Sequence[str], start: Start) -> None:
        """Listens to messages of a shape, as `control.channel.Channel` has it."""
        ear = _Ear(shape, topics_heard(shape, self._speaker, tuple(speakers)), self._refusals)
        ear.read = self._reader.use(lambda reader: reader.follow(ear.topics, start), shows_life=bool)
        self._ears[shape] = ear

    def hear(self, shape: type[M], wait_seconds: float = 0.0) -> Sequence[Heard[M]]:
        """Gives the next messages of a shape, as `control.channel.Channel` has it."""
        ear = self._ears[shape]
        for message in self._reader.use(partial(_poll, 0.0 if ear.waiting else wait_seconds), shows_life=bool):
            for other in self._ears.values():
                if message.topic in other.topics:
                    other.hold(message)
        self._refusals.tell()
        return ear.give()

    @property
    def refused(self) -> int:
        """How many messages were refused or skipped so far."""
        return self._refusals.count

    def places(self, shape: type[M]) -> Mapping[Place, int]:
        """Gives the offset behind what `hear` has given of a shape, as `control.channel.Channel` has it."""
        return dict(self._ears[shape].given)

    @property
    def has_caught_up(self) -> bool:
        """Whether everything that was there when listening began has been heard."""
        reader = self._reader.made
        return reader is not None and reader.has_caught_up and not any(ear.waiting for ear in self._ears.values())

    def _following(self, settings: KafkaSettings, name: str, group_id: str | None) -> ControlReader:
        reader = ControlReader(settings, name, group_id=group_id)
        try:
            for ear in self._ears.values():
                reader.follow(ear.topics, ear.read)
        except BaseException:
            reader.close()
            raise
        return reader


def _write(one: Outgoing, signature: bytes | None, writer: ControlWriter) -> None:
    headers = [] if signature is None else [(HEADER_NAME, signature)]
    writer.write(one.topic, one.key, one.value, headers=headers)


def _poll(wait_seconds: float, reader: ControlReader) -> list[ControlMessage]:
    return reader.poll(wait_seconds)
