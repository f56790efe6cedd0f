"""What one partition of a topic holds of one Kafka key."""

import time
from dataclasses import dataclass

from tellonce.kafka.group import ReadMessage, read_message
from tellonce.kafka.reading import read_to_end
from tellonce.kafka.settings import KafkaSettings

__all__ = ["Found", "read_key"]

_SHORTEST_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The messages of a key, oldest first, each with the broker's time of it; and whether the end was reached."""

    messages: tuple[tuple[ReadMessage, int], ...]
    is_complete: bool


def read_key(
    settings: KafkaSettings,
    topic: str,
    partition: int,
    key: bytes,
    *,
    client_id: str,
    deadline: float,
) -> Found:
    """Gives what a partition holds of a key, up to its end, or as far as the deadline (`time.monotonic`) let it.

    Raises:
        RetryableError: nothing came in time, though there is more.
        ConfigurationError: the topic is missing or closed to this user.
    """
    found: list[tuple[ReadMessage, int]] = []
    silence = max(deadline - time.monotonic(), _SHORTEST_SECONDS)
    messages = read_to_end(
        settings, topic, client_id=client_id, longest_silence_seconds=silence, only_partition=partition
    )
    is_complete = True
    for message in messages:
        if message.key() == key:
            found.append((read_message(message), message.timestamp()[1]))
        if time.monotonic() >= deadline:
            is_complete = False
            break
    return Found(messages=tuple(found), is_complete=is_complete)
