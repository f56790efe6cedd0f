"""Marks against attestations: at which position a department's sum can be compared, and whether it is the authority's.

Only statements of one (epoch, sequence) are compared; how both sides come to be honest about it is for them to keep.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from tellonce.control.messages import Attestation, Mark
from tellonce.model.digest import MODULUS, from_hex
from tellonce.model.divergence import RecordState

__all__ = ["Comparison", "Comparisons", "Difference", "Reached", "Statement", "StreamId"]


class StreamId(NamedTuple):
    """One partition of a view's topic."""

    view: str
    partition: int


class Difference(NamedTuple):
    """What a department's sum has more than the authority's, modulo 2^128, and how many records more it is of."""

    sum: int
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A mark or an attestation of one stream: after this sequence of this epoch, so many records of this sum."""

    epoch: int
    sequence: int
    sum: int
    count: int
    at_ms: int

    @property
    def place(self) -> tuple[int, int]:
        """Epoch and sequence, by which statements are ordered."""
        return self.epoch, self.sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A mark and an attestation of the same position, the newest such pair of a department's stream."""

    mark: Statement
    attestation: Statement

    @property
    def difference(self) -> Difference:
        """What the department has more than the authority."""
        return Difference((self.attestation.sum - self.mark.sum) % MODULUS, self.attestation.count - self.mark.count)

    @property
    def is_equal(self) -> bool:
        """Whether both hold equal data at this position."""
        return self.difference == (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """All that is known of how far one department's stream has come; None where nothing was stated yet."""

    mark: Statement | None
    """The authority's newest."""
    attestation: Statement | None
    """The department's newest."""
    comparison: Comparison | None
    """The newest pair; None if there is none in the newest epoch that either side has stated."""
    proved: Statement | None
    """The newest attestation of that epoch that was found equal, however things are now."""
    states: Mapping[RecordState, int]
    """The department's records by state, as it last said."""
    unlinked_rows: int
    unreadable_rows: int


class _Marks:
    """The newest marks of one stream, of its newest epoch only: older ones can be compared with nothing."""

    __slots__ = ("_kept", "_limit", "newest")

    def __init__(self, limit: int) -> None:
        self._kept: dict[int, Statement] = {}
        self._limit = limit
        self.newest: Statement | None = None

    def take(self, mark: Statement) -> bool:
        newest = self.newest
        if newest is not None and mark.epoch < newest.epoch:
            return True
        if newest is None or mark.epoch > newest.epoch:
            self._kept.clear()
        known = self._kept.get(mark.sequence)
        self._kept[mark.sequence] = mark
        if newest is None or mark.place >= newest.place:
            self.newest = mark
        while len(self._kept) > self._limit:
            del self._kept[next(iter(self._kept))]
        return known is None or (known.sum, known.count) == (mark.sum, mark.count)

    def at(self, sequence: int) -> Statement | None:
        return self._kept.get(sequence)


class _Attestations:
    """The newest attestations of one department's stream, kept until a newer one of them has been compared."""

    __slots__ = ("_kept", "_limit", "comparison", "newest", "proved", "states", "unlinked_rows", "unreadable_rows")

    def __init__(self, limit: int) -> None:
        self._kept: dict[int, Statement] = {}
        self._limit = limit
        self.newest: Statement | None = None
        self.comparison: Comparison | None = None
        self.proved: Statement | None = None
        self.states: Mapping[RecordState, int] = MappingProxyType({})
        self.unlinked_rows = 0
        self.unreadable_rows = 0

    def take(self, attestation: Statement) -> bool:
        """Remembers a statement unless it is an old one that arrives late."""
        newest = self.newest
        if newest is not None and attestation.place <= newest.place:
            if attestation.at_ms < newest.at_ms:
                return False
            self._step_back(attestation)
        if newest is not None and attestation.epoch != newest.epoch:
            self._kept.clear()
            self.comparison = self.proved = None
        self._kept[attestation.sequence] = attestation
        self.newest = attestation
        while len(self._kept) > self._limit:
            del self._kept[next(iter(self._kept))]
        return True

    def _step_back(self, attestation: Statement) -> None:
        # A department that was restored from a backup states an earlier place later, and what it said since is void.
        # One that found a row edited states another sum at the same place.
        self._kept = {sequence: kept for sequence, kept in self._kept.items() if sequence < attestation.sequence}
        if self.comparison is not None and self.comparison.attestation.place >= attestation.place:
            self.comparison = None
        if self.proved is not None and self.proved.place > attestation.place:
            self.proved = None

    def compare(self, marks: _Marks) -> None:
        """Finds the newest pair, and forgets the attestations below it."""
        if self.newest is None or marks.newest is None or self.newest.epoch != marks.newest.epoch:
            self.comparison = None
            return
        for sequence in reversed(self._kept):
            mark = marks.at(sequence)
            if mark is not None:
                self._compared(Comparison(mark=mark, attestation=self._kept[sequence]))
                return

    def _compared(self, comparison: Comparison) -> None:
        self.comparison = comparison
        if comparison.is_equal:
            self.proved = comparison.attestation
        place = comparison.mark.sequence
        if next(iter(self._kept)) != place:
            self._kept = {sequence: kept for sequence, kept in self._kept.items() if sequence >= place}


class Comparisons:
    """What authorities and departments have stated, bounded in memory; the newest pair of each is up to date.

    Not thread-safe.
    """

    def __init__(self, *, marks_kept: int, attestations_kept: int) -> None:
        self._marks_kept = marks_kept
        self._attestations_kept = attestations_kept
        self._marks: dict[StreamId, _Marks] = {}
        self._attestations: dict[StreamId, dict[str, _Attestations]] = {}

    def take_mark(self, mark: Mark) -> bool:
        """Takes an authority's statement into account.

        Tells False where it contradicts an earlier one of the same place: an authority that was restored without a new
        epoch does so. The later statement is then the one compared with.
        """
        stream = StreamId(mark.view, mark.partition)
        marks = self._marks.setdefault(stream, _Marks(self._marks_kept))
        consistent = marks.take(_statement(mark))
        for attestations in self._attestations.get(stream, {}).values():
            attestations.compare(marks)
        return consistent

    def take_attestation(self, attestation: Attestation) -> bool:
        """Takes a department's statement into account; tells False where it is an older one that arrived late."""
        stream = StreamId(attestation.view, attestation.partition)
        of_stream = self._attestations.setdefault(stream, {})
        attestations = of_stream.setdefault(attestation.department, _Attestations(self._attestations_kept))
        if not attestations.take(_statement(attestation)):
            return False
        attestations.states = MappingProxyType(dict(attestation.states))
        attestations.unlinked_rows = attestation.unlinked_rows
        attestations.unreadable_rows = attestation.unreadable_rows
        marks = self._marks.get(stream)
        if marks is not None:
            attestations.compare(marks)
        return True

    def reached(self, department: str, stream: StreamId) -> Reached:
        """Gives how far a department's stream has come."""
        marks = self._marks.get(stream)
        attestations = self._attestations.get(stream, {}).get(department)
        if attestations is None:
            attestations = _Attestations(self._attestations_kept)
        newest_epoch = 0 if marks is None or marks.newest is None else marks.newest.epoch
        proved = attestations.proved
        return Reached(
            mark=None if marks is None else marks.newest,
            attestation=attestations.newest,
            comparison=attestations.comparison,
            proved=proved if proved is not None and proved.epoch >= newest_epoch else None,
            states=attestations.states,
            unlinked_rows=attestations.unlinked_rows,
            unreadable_rows=attestations.unreadable_rows,
        )


def _statement(message: Mark | Attestation) -> Statement:
    return Statement(
        epoch=message.epoch,
        sequence=message.sequence,
        sum=from_hex(message.sum),
        count=message.count,
        at_ms=message.at_ms,
    )
