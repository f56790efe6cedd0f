"""The control channel in memory: the same routes, bytes and refusals as over Kafka, and no broker."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tellonce.control.channel import Heard, Place, Start, take
from tellonce.control.messages import M, Message
from tellonce.control.routes import Outgoing, outgoing, topics_heard
from tellonce.model.errors import RetryableError

__all__ = ["MemoryChannel", "MemoryTopics"]


class MemoryTopics:
    """The control topics of a city, one partition each, shared by the channels of its principals."""

    def __init__(self) -> None:
        self._values: dict[str, list[bytes]] = defaultdict(list)
        self.failures = 0
        """How many of the next calls fail, as with a broker that is away."""

    def append(self, topic: str, value: bytes) -> None:
        """Adds a message's bytes to the end of a topic, as anybody with the right to write there can."""
        self._values[topic].append(value)

    def of(self, topic: str) -> Sequence[bytes]:
        """Gives everything that was written to a topic."""
        return tuple(self._values[topic])

    def channel(self, speaker: str) -> "MemoryChannel":
        """Gives the channel of a principal."""
        return MemoryChannel(self, speaker)

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

    def __init__(self, topics: MemoryTopics, speaker: str) -> None:
        self._topics = topics
        self._speaker = speaker
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
            self._topics.append(one.topic, one.value)

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
            for offset, value in list(enumerate(self._topics.of(topic)))[places[place] :]:
                if len(found) == self.batch:
                    return found
                heard = take(shape, speaker, value, place, offset)
                places[place] = offset + 1
                if heard is not None:
                    found.append(heard)
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
