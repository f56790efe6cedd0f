"""How each department's streams stand: proved, behind, unknown or diverged."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from tellonce.control.messages import DivergenceEvent
from tellonce.model.divergence import DivergenceState, RecordState
from tellonce.reconcile.compare import Comparison, Comparisons, Reached, StreamId
from tellonce.reconcile.lifecycle import DivergenceBook

__all__ = ["Explanation", "StatusBoard", "StreamState", "StreamStatus", "explanation_of"]


class StreamState(StrEnum):
    """The four states of a department's stream."""

    PROVED = "proved"
    """The sums are equal at the authority's newest mark."""
    BEHIND = "behind"
    """They were equal where they could be compared last, and the authority is further."""
    UNKNOWN = "unknown"
    """Nothing of the newest epoch can be compared, or one side has stated nothing for too long."""
    DIVERGED = "diverged"
    """They differ, or a drill-down has found since that records do."""

    @property
    def agrees(self) -> bool:
        """Whether the newest sums that could be compared were equal."""
        return self in {StreamState.PROVED, StreamState.BEHIND}


class Explanation(StrEnum):
    """How a comparison stands to the divergences that are known."""

    EQUAL = "equal"
    KNOWN = "known"
    """The sums differ by exactly what the known divergences do, so nothing needs to be found out."""
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatus:
    """One department's stream of one view, for people, metrics and evidence; instants are epoch milliseconds."""

    department: str
    view: str
    partition: int
    state: StreamState
    since_ms: int
    proved_epoch: int | None
    proved_sequence: int | None
    """The newest position at which the sums were equal; also given when they are not now."""
    mark: tuple[int, int] | None
    """Epoch and sequence of the authority's newest mark."""
    attested: tuple[int, int] | None
    """Epoch and sequence of the department's newest attestation."""
    marked_at_ms: int | None
    """When that mark was made."""
    attested_at_ms: int | None
    """When that attestation was made."""
    is_explained: bool
    """Whether a difference is exactly that of the known divergences; true where there is none."""
    states: Mapping[RecordState, int]
    """The department's records by state; a proof speaks of the held ones."""
    unlinked_rows: int
    unreadable_rows: int
    divergences: Mapping[DivergenceState, int]
    """The divergences that are not resolved, by state."""


def explanation_of(comparison: Comparison, department: str, stream: StreamId, book: DivergenceBook) -> Explanation:
    """Tells whether a difference is one that is known; sums modulo 2^128 and counts must both fit.

    Equal sums are unexplained, too, where a department has answered otherwise since it attested them.
    """
    if comparison.is_equal and not book.of(department, stream):
        return Explanation.EQUAL
    known = book.difference(department, stream)
    return Explanation.KNOWN if comparison.difference == known else Explanation.UNEXPLAINED


class StatusBoard:
    """Remembers since when each stream has been as it is. Not thread-safe."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, StreamId], StreamStatus] = {}

    def __iter__(self) -> Iterator[StreamStatus]:
        """Goes through all, by department and stream."""
        for _, status in sorted(self._known.items()):
            yield status

    def get(self, department: str, stream: StreamId) -> StreamStatus | None:
        """Gives a stream's status as of its last update; None before the first."""
        return self._known.get((department, stream))

    def update(
        self,
        department: str,
        stream: StreamId,
        comparisons: Comparisons,
        book: DivergenceBook,
        now_ms: int,
        *,
        is_recent: bool,
    ) -> tuple[StreamStatus | None, StreamStatus]:
        """Gives a stream's status as it was at the last update, if there was one, and as it is now.

        `is_recent` is whether both sides have stated something lately.
        """
        reached = comparisons.reached(department, stream)
        known = book.of(department, stream)
        before = self._known.get((department, stream))
        state = _state(reached, known, is_recent=is_recent)
        since_ms = before.since_ms if before is not None and before.state is state else _since(reached, before, now_ms)
        comparison = reached.comparison
        after = StreamStatus(
            department=department,
            view=stream.view,
            partition=stream.partition,
            state=state,
            since_ms=since_ms,
            proved_epoch=None if reached.proved is None else reached.proved.epoch,
            proved_sequence=None if reached.proved is None else reached.proved.sequence,
            mark=None if reached.mark is None else reached.mark.place,
            attested=None if reached.attestation is None else reached.attestation.place,
            marked_at_ms=None if reached.mark is None else reached.mark.at_ms,
            attested_at_ms=None if reached.attestation is None else reached.attestation.at_ms,
            is_explained=comparison is None
            or explanation_of(comparison, department, stream, book) is not Explanation.UNEXPLAINED,
            states=reached.states,
            unlinked_rows=reached.unlinked_rows,
            unreadable_rows=reached.unreadable_rows,
            divergences=Counter(event.state for event in known.values()),
        )
        self._known[department, stream] = after
        return before, after


def _state(reached: Reached, known: Mapping[str, DivergenceEvent], *, is_recent: bool) -> StreamState:
    if reached.comparison is None or reached.mark is None:
        return StreamState.UNKNOWN
    if not reached.comparison.is_equal or known:
        return StreamState.DIVERGED
    if not is_recent:
        return StreamState.UNKNOWN
    return StreamState.PROVED if reached.comparison.mark.place >= reached.mark.place else StreamState.BEHIND


def _since(reached: Reached, before: StreamStatus | None, now_ms: int) -> int:
    # What the topics tell at a start has been so for longer than this process has run.
    if before is None and reached.comparison is not None:
        return max(reached.comparison.mark.at_ms, reached.comparison.attestation.at_ms)
    return now_ms
