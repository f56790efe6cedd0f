"""The reconciler's topics in memory, with sides that answer inquiries at once and a broker that may be away."""

from collections import deque
from itertools import count

from pydantic import BaseModel

from reconcile.builders import Side
from tellonce.control.messages import Inquiry, decode_message, encode_message
from tellonce.kafka.control import ControlMessage
from tellonce.model.errors import RetryableError
from tellonce.topology.topics import DIVERGENCES, INQUIRIES, answers


class Shelf:
    """A reader of some topics, and the sides that answer what is written; all in memory."""

    def __init__(self) -> None:
        self.waiting: deque[ControlMessage] = deque()
        self.failures = 0
        self.batch = 500
        self._offsets = count()

    def put(self, topic: str, message: BaseModel | bytes) -> None:
        """Adds a message to the end."""
        value = message if isinstance(message, bytes) else encode_message(message)
        self.waiting.append(ControlMessage(topic=topic, partition=0, offset=next(self._offsets), key=None, value=value))

    @property
    def has_caught_up(self) -> bool:
        """Whether nothing waits."""
        return not self.waiting

    def poll(self, timeout_seconds: float, most: int = 500) -> list[ControlMessage]:
        """Gives what waits, at most a batch; a broker that is away raises."""
        assert timeout_seconds <= 0.2
        if self.failures:
            self.failures -= 1
            raise RetryableError("the broker is away")
        return [self.waiting.popleft() for _ in range(min(most, self.batch, len(self.waiting)))]


class Broker:
    """Takes what the reconciler writes, and lets the sides answer inquiries at once."""

    def __init__(self, sides: list[Side]) -> None:
        self.statements, self.answers = Shelf(), Shelf()
        self.sides = {each.name: each for each in sides}
        self.written: list[tuple[str, bytes | None]] = []
        self.failures = 0
        self._queued: list[tuple[str, bytes | None]] = []

    def write(self, topic: str, key: bytes, value: bytes | None, partition: int = -1) -> None:
        """Queues a message."""
        assert key
        assert partition == -1
        self._queued.append((topic, value))

    def flush(self, timeout_seconds: float | None = None) -> None:
        """Delivers what is queued, or fails and loses it."""
        assert timeout_seconds is None
        queued, self._queued = self._queued, []
        if self.failures:
            self.failures -= 1
            raise RetryableError("the broker is away")
        self.written += queued
        for topic, value in queued:
            assert value is not None
            if topic == DIVERGENCES:
                self.statements.put(topic, value)
            if topic == INQUIRIES:
                inquiry = decode_message(Inquiry, value)
                for name in inquiry.departments:
                    if name in self.sides:
                        self.answers.put(answers(name), self.sides[name].answer(inquiry, 1))

    def of(self, topic: str) -> list[bytes]:
        """What was written to one topic."""
        return [value for each, value in self.written if each == topic and value is not None]
