"""The control channel over Kafka: one writer and one reader, made anew where trouble does not end by itself."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog

from tellonce.control.channel import Heard, Place, Start, take
from tellonce.control.messages import M, Message
from tellonce.control.routes import Outgoing, outgoing, topics_heard
from tellonce.kafka.control import ControlMessage, ControlReader, ControlWriter
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import RetryableError

__all__ = ["KafkaChannel"]

_log = structlog.get_logger()

_FAILURES_IN_A_ROW = 3
"""After so many the clients are made anew, with secrets as they are then: a password may have changed, or a topic."""

R = TypeVar("R")


class _Ear:
    """What is heard of one shape: by which topics, up to where, and what waits to be asked for."""

    def __init__(self, shape: type[Any], topics: Mapping[str, str]) -> None:
        self.shape = shape
        self.topics = topics
        self.waiting: deque[tuple[Place, int, Heard[Any] | None]] = deque()
        self.read: dict[Place, int] = {}
        self.given: dict[Place, int] = {}

    def hold(self, message: ControlMessage) -> None:
        """Keeps a message until it is asked for."""
        place = (message.topic, message.partition)
        found = take(self.shape, self.topics[message.topic], message.value, place, message.offset)
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

    def __init__(self, settings: KafkaSettings, speaker: str, client_id: str, *, group_id: str | None = None) -> None:
        """Make neither reader nor writer yet; `group_id` is as in `clients.make_reader`."""
        self._settings = settings
        self._speaker = speaker
        self._client_id = client_id
        self._group_id = group_id
        self._ears: dict[type[Any], _Ear] = {}
        self._writer: ControlWriter | None = None
        self._reader: ControlReader | None = None
        self._failures = 0

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
            self._drop()

    def say(self, message: Message) -> None:
        """Says a message, as `control.channel.Channel` has it."""
        for one in outgoing(message, self._speaker):
            self._trying(partial(self._write, one))

    def flush(self) -> None:
        """Returns when everything said so far has arrived, as `control.channel.Channel` has it."""
        if self._writer is not None:
            self._trying(self._writer.flush)

    def listen(self, shape: type[M], speakers: Sequence[str], start: Start) -> None:
        """Listens to messages of a shape, as `control.channel.Channel` has it."""
        ear = _Ear(shape, topics_heard(shape, self._speaker, tuple(speakers)))
        ear.read = self._trying(lambda: self._open_reader().follow(ear.topics, start))
        self._ears[shape] = ear

    def hear(self, shape: type[M], wait_seconds: float = 0.0) -> Sequence[Heard[M]]:
        """Gives the next messages of a shape, as `control.channel.Channel` has it."""
        ear = self._ears[shape]
        self._trying(lambda: self._read(0.0 if ear.waiting else wait_seconds))
        return ear.give()

    def places(self, shape: type[M]) -> Mapping[Place, int]:
        """Gives the offset behind what `hear` has given of a shape, as `control.channel.Channel` has it."""
        return dict(self._ears[shape].given)

    @property
    def has_caught_up(self) -> bool:
        """Whether everything that was there when listening began has been heard."""
        is_read = self._reader is not None and self._reader.has_caught_up
        return is_read and not any(ear.waiting for ear in self._ears.values())

    def _write(self, one: Outgoing) -> None:
        self._open_writer().write(one.topic, one.key, one.value)

    def _read(self, wait_seconds: float) -> None:
        for message in self._open_reader().poll(wait_seconds):
            for ear in self._ears.values():
                if message.topic in ear.topics:
                    ear.hold(message)

    def _open_writer(self) -> ControlWriter:
        if self._writer is None:
            self._writer = ControlWriter(self._settings, f"{self._client_id}-control")
        return self._writer

    def _open_reader(self) -> ControlReader:
        if self._reader is None:
            reader = ControlReader(self._settings, f"{self._client_id}-control", group_id=self._group_id)
            try:
                for ear in self._ears.values():
                    reader.follow(ear.topics, ear.read)
            except BaseException:
                reader.close()
                raise
            self._reader = reader
        return self._reader

    def _trying(self, deed: Callable[[], R]) -> R:
        try:
            done = deed()
        except RetryableError:
            self._failures += 1
            if self._failures % _FAILURES_IN_A_ROW == 0:
                _log.info("control_channel_made_anew", client_id=self._client_id, failures=self._failures)
                self._drop()
            raise
        self._failures = 0
        return done

    def _drop(self) -> None:
        self._writer = None
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
