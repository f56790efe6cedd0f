"""The control topics in memory, with sides that answer inquiries at once and a broker that may be away."""

from dataclasses import replace

from pydantic import BaseModel

from reconcile.builders import AUTHORITY, FUND, HEALTH, Side, attestation, mark
from tellonce.control.messages import Inquiry, M, Message, decode_message, encode_message
from tellonce.testing.channel import MemoryChannel, MemoryTopics
from tellonce.topology.topics import RECONCILER, attestations, inquiries, marks


class Town(MemoryTopics):
    """The control topics, and sides that answer as soon as they are asked."""

    def __init__(self, sides: list[Side]) -> None:
        super().__init__()
        self.sides = {each.name: each for each in sides}
        self._ears = {name: self.channel(name) for name in self.sides}
        for ear in self._ears.values():
            ear.listen(Inquiry, (RECONCILER,), "now")

    def reconciler(self) -> "Speaking":
        """The reconciler's channel."""
        return Speaking(self)

    def put(self, topic: str, message: BaseModel | bytes) -> None:
        """Adds a message to the end of a topic, whoever may write there."""
        self.append(topic, message if isinstance(message, bytes) else encode_message(message))

    def say(self, speaker: str, *messages: Message) -> None:
        """Lets a principal say something."""
        channel = self.channel(speaker)
        for message in messages:
            channel.say(message)
        channel.flush()

    def read(self, topic: str, shape: type[M]) -> list[M]:
        """What a topic holds."""
        return [decode_message(shape, value) for value in self.of(topic)]

    def drop_values(self) -> None:
        """Forgets what every topic holds, but not how much it was."""
        for messages in self._messages.values():
            if messages:
                messages[:] = [replace(messages[-1], key=None, value=None)] * len(messages)

    def asked(self) -> list[Inquiry]:
        """Every question that a department was asked."""
        return [each for name in (AUTHORITY, FUND, HEALTH) for each in self.read(inquiries(name), Inquiry)]

    def answer_all(self) -> None:
        """Lets every side answer what it was asked."""
        failures, self.failures = self.failures, 0
        for name, side in self.sides.items():
            ear = self._ears[name]
            for heard in ear.hear(Inquiry):
                ear.say(side.answer(heard.message, 1))
            ear.flush()
        self.failures = failures

    def state_all(self, *, sequence: int = 5, at_ms: int = 0, sides: dict[str, Side] | None = None) -> None:
        """Writes the mark and the attestations that follow from what the sides hold."""
        for topic, message in statements_of(sides or self.sides, sequence=sequence, at_ms=at_ms):
            self.put(topic, message)


class Speaking(MemoryChannel):
    """The reconciler's channel, on whose inquiries the sides act at once."""

    def __init__(self, town: Town) -> None:
        super().__init__(town, RECONCILER)
        self._town = town

    def flush(self) -> None:
        """Writes what was said, and lets the sides answer it."""
        super().flush()
        self._town.answer_all()


def statements_of(sides: dict[str, Side], *, sequence: int = 5, at_ms: int = 0) -> list[tuple[str, BaseModel]]:
    """The mark and the attestations that follow from what the sides hold, with their topics."""
    held = {name: {key: each.digest for key, each in one.records.items() if each.digest} for name, one in sides.items()}
    stated: list[tuple[str, BaseModel]] = [(marks(AUTHORITY), mark(sequence, held[AUTHORITY]))]
    return stated + [
        (attestations(name), attestation(sequence, held[name], department=name, at_ms=at_ms)) for name in (FUND, HEALTH)
    ]
