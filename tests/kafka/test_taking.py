"""How much is taken from a consumer at once: what is there, up to bounds in messages, bytes and time."""

from collections.abc import Iterator
from itertools import count
from typing import Any, cast

import pytest
from confluent_kafka import Consumer

from tellonce.kafka.reading import Most, take_much


class Queued:
    """A message, as far as taking looks at it."""

    def __init__(self, size: int) -> None:
        self._size = size

    def value(self) -> bytes:
        """So many bytes."""
        return bytes(self._size)


class Queue:
    """A consumer whose queue holds so many messages of one size, and that keeps how long it was asked to wait."""

    def __init__(self, messages: int, size: int = 1) -> None:
        self._left, self._size = messages, size
        self.waits: list[float] = []

    def poll(self, timeout: float) -> Queued | None:
        """The next message, if there is one."""
        return next(iter(self.consume(1, timeout)), None)

    def consume(self, most: int, timeout: float) -> list[Queued]:
        """The next messages."""
        self.waits.append(timeout)
        taken = min(most, self._left)
        self._left -= taken
        return [Queued(self._size) for _ in range(taken)]


def taken(queue: Queue, most: Most, clock: Iterator[float] | None = None) -> int:
    """How many messages are taken at once; the clock stands still unless one is given."""
    now = clock or (0.0 for _ in count())
    return len(take_much(cast("Consumer", cast("Any", queue)), most, 0.05, monotonic=lambda: next(now)))


ENDLESS = 1_000_000


def test_what_is_there_is_taken_without_waiting_for_more() -> None:
    """At low load a message is applied at once: only the first is waited for."""
    for messages in (1, 99, 100, 101, 250):
        queue = Queue(messages)

        assert taken(queue, Most(messages=5_000, bytes=ENDLESS, seconds=1.0)) == messages
        assert queue.waits[0] == 0.05
        assert not any(queue.waits[1:])


def test_nothing_there_is_nothing_taken() -> None:
    """An empty queue is asked once, and gives nothing."""
    queue = Queue(0)

    assert taken(queue, Most(messages=5_000, bytes=ENDLESS, seconds=1.0)) == 0
    assert queue.waits == [0.05]


@pytest.mark.parametrize("most", [1, 50, 100, 101, 1_234])
def test_number_of_messages_is_bounded(most: int) -> None:
    """No more messages than a transaction takes are in hand, however many wait."""
    assert taken(Queue(ENDLESS), Most(messages=most, bytes=ENDLESS, seconds=1.0)) == most


def test_large_messages_fill_no_memory() -> None:
    """Where messages are large, fewer are in hand: the bound in bytes is exceeded by one chunk at most."""
    assert taken(Queue(ENDLESS, size=1_000), Most(messages=5_000, bytes=250_000, seconds=1.0)) == 300


def test_taking_ends_in_time() -> None:
    """A queue that is filled as fast as it is emptied holds nobody up."""
    assert taken(Queue(ENDLESS), Most(messages=5_000, bytes=ENDLESS, seconds=2.0), (float(n) for n in count())) == 200
