"""The protocol that a department's database answers to beside its views: what is wanted again, and what was heard.

What is wanted is kept until the event comes, so that an event of a version that the ledger has is applied for the one
who needs it and for no other, and no event has to name a department.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from tellonce.control.channel import Place

__all__ = ["LONGEST_WAIT_MS", "ORDER_AGAIN_MS", "DepartmentStore", "StreamId"]

ORDER_AGAIN_MS = 10 * 60_000
"""An order is given again after so long: it, or what it made, may have been lost, or the authority had enough."""

LONGEST_WAIT_MS = 24 * 60 * 60_000
"""After so long nothing is expected any more; where the record still differs, the reconciler asks again."""

StreamId = tuple[str, int]
"""A view and a partition of its topic."""


class DepartmentStore(Protocol):
    """A department's database; each method is one transaction, and raises `RetryableError` where it is away."""

    def places(self, task: str) -> Mapping[Place, int]:
        """Gives, for each partition that a task reads, the offset of the next message that it has not dealt with."""
        ...

    def save_places(self, task: str, places: Mapping[Place, int]) -> None:
        """Keeps the offsets of the next messages of these partitions."""
        ...

    def want(self, view: str, partitions: int, pseudonyms: Iterable[str]) -> None:
        """Keeps that these records are wanted; one that is wanted already stays as it is."""
        ...

    def due(self, streams: Collection[StreamId], limit: int) -> Mapping[StreamId, Sequence[str]]:
        """Gives the records to be ordered now, by stream, of these streams alone; and forgets what never came."""
        ...

    def postpone(self, ordered: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Keeps that orders for these records of views have arrived: they are given again only after a while."""
        ...
