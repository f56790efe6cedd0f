"""One stream at one applier: messages wait here until a transaction takes them, and the place reached is known."""

import time
from collections.abc import Callable, Sequence

import structlog

from tellonce.apply.incoming import read_batch
from tellonce.apply.subscription import SubscribedView
from tellonce.apply.transaction import Applied, apply_batch
from tellonce.avro.catalogue import Catalogue
from tellonce.kafka.group import ReadMessage
from tellonce.model.position import Position, PositionTracker
from tellonce.storage.subscriber.entries import StreamRow

__all__ = ["StreamApplier"]

_log = structlog.get_logger()

_MOST_MESSAGES = 5_000
_FLAGGED = b" 1"


class StreamApplier:
    """Applies one stream batch by batch. Not thread-safe."""

    def __init__(self, subscribed: SubscribedView, catalogue: Catalogue, stream: StreamRow) -> None:
        self._subscribed = subscribed
        self._catalogue = catalogue
        self._partition = stream.partition
        self._position = stream.position
        self._attestable = stream.attestable
        self._seal = subscribed.seal(stream.partition)
        self._waiting: list[ReadMessage] = []

    @property
    def position(self) -> Position:
        """The place that the database has reached."""
        return self._position

    @property
    def waiting(self) -> int:
        """How many messages wait for a transaction."""
        return len(self._waiting)

    def add(self, messages: Sequence[ReadMessage]) -> None:
        """Takes messages that came behind those already waiting."""
        self._waiting += messages

    def apply_next(self, high_watermark: Callable[[], int]) -> Applied | None:
        """Applies the next batch, up to the last flagged event among what waits; gives nothing if nothing waits.

        If it raises, the batch still waits, and the database says whether it was applied.
        """
        if not self._waiting:
            return None
        taken = _cut(self._waiting)
        tracker = PositionTracker(self._position, attestable=self._attestable)
        batch = read_batch(taken, self._seal, tracker, high_watermark)
        for why, count in batch.refused.items():
            _log.error("messages_refused", view=self._subscribed.name, partition=self._partition, count=count, why=why)
        started = time.perf_counter()
        applied = apply_batch(
            self._subscribed,
            self._catalogue,
            self._partition,
            batch,
            expected=self._position,
            reached=tracker.position,
        )
        applied.refused = batch.refused.total()
        applied.seconds = time.perf_counter() - started
        self._position, self._attestable = tracker.position, tracker.may_attest
        del self._waiting[: len(taken)]
        return applied


def _cut(messages: Sequence[ReadMessage]) -> list[ReadMessage]:
    """Gives the messages of one transaction: up to the last flagged event, where there is one."""
    some = list(messages[:_MOST_MESSAGES])
    last = next((i for i in range(len(some) - 1, -1, -1) if (some[i].header or b"").endswith(_FLAGGED)), None)
    return some if last is None else some[: last + 1]
