"""The control channel in memory: the same routes, bytes and refusals as over Kafka, and no broker."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tellonce.control.channel import ControlMessage, Heard, Place, Refusals, Start
from tellonce.control.messages import M, Message
from tellonce.control.routes import Outgoing, outgoing, topics_heard
from tellonce.control.signing import Signatures
from tellonce.model.errors import RetryableError

__all__ = ["MemoryChannel", "MemoryTopics", "unsigned"]


def unsigned() -> Signatures:
    """Gives what signs nothing and believes everybody, as where the topology lists no keys."""
    return Signatures({}, "", bytes)


class MemoryTopics:
    """The control topics of a city, one partition each, shared by the channels of its principals."""

    def __init__(self) -> None:
        self._messages: dict[str, list[ControlMessage]] = defaultdict(list)
        self.failures = 0
        """How many of the next calls fail, as with a broker that is away."""

    def append(self, topic: str, value: bytes, key: bytes = b"key", signature: bytes | None = None) -> None:
        """Adds a message's bytes to the end of a topic, as anybody with the right to write there can."""
        message = ControlMessage(
            topic=topic, partition=0, offset=len(self._messages[topic]), key=key, value=value, signature=signature
        )
        self._messages[topic].append(message)

    def messages(self, topic: str) -> Sequence[ControlMessage]:
        """Gives everything that was written to a topic."""
        return tuple(self._messages[topic])

    def of(self, topic: str) -> Sequence[bytes]:
        """Gives the bytes of every message of a topic."""
        return tuple(message.value or b"" for message in self._messages[topic])

    def channel(self, speaker: str, signatures: Signatures | None = None) -> "MemoryChannel":
        """Gives the channel of a principal; without `signatures` nobody signs."""
        return MemoryChannel(self, speaker, signatures)

    def answer(self) -> None:
        """Fails where the broker is away.

        Raises:
            RetryableError: it is.
        """
        if self.failures:
            self.failures -= 1
            raise RetryableError("the broker is away")


class MemoryChannel:
    """A `control.channel.Channel` over `MemoryTopics`; what was said is written by `flush`."""

    def __init__(self, topics: MemoryTopics, speaker: str, signatures: Signatures | None = None) -> None:
        self._topics = topics
        self._speaker = speaker
        self._signatures = signatures or unsigned()
        self._refusals = Refusals(self._signatures)
        self._said: list[Outgoing] = []
        self._ears: dict[type[Any], Mapping[str, str]] = {}
        self._places: dict[type[Any], dict[Place, int]] = {}
        self.batch = 500
        """Most messages that `hear` gives at once."""

    def say(self, message: Message) -> None:
        """Says a message; it has arrived when `flush` returns."""
        self._said += outgoing(message, self._speaker)

    def flush(self) -> None:
        """Writes what was said; what cannot be written is lost, and for its speaker to say again."""
        said, self._said = self._said, []
        if said:
            self._topics.answer()
        for one in said:
            signature = self._signatures.sign(one.topic, one.key, one.value)
            self._topics.append(one.topic, one.value, one.key, signature)

    def listen(self, shape: type[M], speakers: Sequence[str], start: Start) -> None:
        """Listens to messages of a shape by these speakers from `start` on."""
        topics = topics_heard(shape, self._speaker, tuple(speakers))
        self._ears[shape] = topics
        self._places[shape] = {(topic, 0): self._begin((topic, 0), start) for topic in topics}

    def hear(self, shape: type[M], wait_seconds: float = 0.0) -> Sequence[Heard[M]]:
        """Gives the next messages of a shape; it never waits."""
        if wait_seconds < 0:
            raise ValueError(wait_seconds)
        self._topics.answer()
        found: list[Heard[M]] = []
        places = self._places[shape]
        for topic, speaker in self._ears[shape].items():
            place = (topic, 0)
            for message in self._topics.messages(topic)[places[place] :]:
                if len(found) == self.batch:
                    break
                heard = self._refusals.take(shape, speaker, message)
                places[place] = message.offset + 1
                if heard is not None:
                    found.append(heard)
        self._refusals.tell()
        return found

    def places(self, shape: type[M]) -> Mapping[Place, int]:
        """Gives the offset behind what `hear` has given of a shape."""
        return dict(self._places[shape])

    @property
    def has_caught_up(self) -> bool:
        """Whether nothing waits to be heard."""
        return all(
            number >= len(self._topics.of(place[0]))
            for places in self._places.values()
            for place, number in places.items()
        )

    def _begin(self, place: Place, start: Start) -> int:
        if isinstance(start, Mapping):
            return start.get(place, 0)
        return 0 if start == "beginning" else len(self._topics.of(place[0]))
