"""What a department in memory wants to have published again, and what it has heard."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tellonce.control.channel import Place
from tellonce.model.partitioning import partition_of
from tellonce.storage.subscriber.department import LONGEST_WAIT_MS, ORDER_AGAIN_MS, StreamId

__all__ = ["MemoryDepartment", "Want"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """Since when a record is wanted, and from when on it is to be ordered."""

    partition: int
    wanted_at_ms: int
    order_at_ms: int


class MemoryDepartment:
    """A `DepartmentStore` in memory."""

    def __init__(self) -> None:
        self.wants: dict[tuple[str, str], Want] = {}
        """By view and pseudonym."""
        self.now_ms = 1
        self._places: dict[tuple[str, Place], int] = {}

    def places(self, task: str) -> Mapping[Place, int]:
        """Gives the offsets of the next messages, by partition."""
        return {place: offset for (name, place), offset in self._places.items() if name == task}

    def save_places(self, task: str, places: Mapping[Place, int]) -> None:
        """Keeps the offsets of the next messages."""
        self._places |= {(task, place): offset for place, offset in places.items()}

    def want(self, view: str, partitions: int, pseudonyms: Iterable[str]) -> None:
        """Keeps that these records are wanted; one that is wanted already stays as it is."""
        for name in pseudonyms:
            partition = partition_of(name.encode(), partitions)
            want = Want(partition=partition, wanted_at_ms=self.now_ms, order_at_ms=self.now_ms)
            self.wants.setdefault((view, name), want)

    def due(self, streams: Collection[StreamId], limit: int) -> Mapping[StreamId, Sequence[str]]:
        """Gives the records to be ordered now, by stream, of these streams alone; and forgets what never came."""
        since = self.now_ms - LONGEST_WAIT_MS
        self.wants = {key: want for key, want in self.wants.items() if want.wanted_at_ms >= since}
        rows = sorted(
            (want.order_at_ms, name, (view, want.partition))
            for (view, name), want in self.wants.items()
            if want.order_at_ms <= self.now_ms and (view, want.partition) in streams
        )
        found: dict[StreamId, list[str]] = {}
        for _, name, stream in rows[:limit]:
            found.setdefault(stream, []).append(name)
        return found

    def postpone(self, ordered: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Keeps that orders for these records of views have arrived."""
        later = self.now_ms + ORDER_AGAIN_MS
        for key in [(view, name) for view, names in ordered for name in names if (view, name) in self.wants]:
            self.wants[key] = replace(self.wants[key], order_at_ms=later)
