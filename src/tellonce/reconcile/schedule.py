"""Which streams are drilled down when: one drill-down per stream, a few at a time, and no department too often."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tellonce.control.messages import Answer, Inquiry
from tellonce.reconcile.compare import Comparison, StreamId
from tellonce.reconcile.drill import DrillDown, DrillPlan
from tellonce.reconcile.pages import Outcome
from tellonce.reconcile.policy import ReconciliationPolicy

__all__ = ["Concluded", "DrillSchedule", "Wish"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A department's stream that should be drilled down, because of this comparison."""

    department: str
    comparison: Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Concluded:
    """A drill-down that ended: about whom, and who was left out for which reason."""

    stream: StreamId
    departments: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Running:
    drill: DrillDown
    comparisons: dict[str, Comparison]
    news: set[str]
    """The departments about which something new was found out."""


@dataclass(frozen=True, slots=True)
class _Pace:
    next_ms: int
    pause_ms: int
    comparison: Comparison
    is_concluded: bool


class DrillSchedule:
    """Runs the drill-downs. Not thread-safe."""

    def __init__(self, policy: ReconciliationPolicy, new_id: Callable[[], str]) -> None:
        self._policy = policy
        self._new_id = new_id
        self._running: dict[StreamId, _Running] = {}
        self._paces: dict[tuple[str, StreamId], _Pace] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no drill-down is running, so that no inquiry is outstanding and nothing undecided."""
        return not self._running

    def may_begin(self, department: str, stream: StreamId, now_ms: int) -> bool:
        """Tells whether a drill-down of this department's stream could begin now."""
        if stream in self._running or len(self._running) >= self._policy.drills_at_once:
            return False
        pace = self._paces.get((department, stream))
        return pace is None or now_ms >= pace.next_ms

    def has_concluded(self, department: str, stream: StreamId, comparison: Comparison) -> bool:
        """Tells whether the newest drill-down was about this comparison and came to an end for this department."""
        pace = self._paces.get((department, stream))
        return pace is not None and pace.is_concluded and pace.comparison == comparison

    def begin(self, plan: DrillPlan, wishes: Iterable[Wish], now_ms: int) -> None:
        """Begins a drill-down; `may_begin` must have allowed it."""
        self._running[plan.stream] = _Running(
            drill=DrillDown(plan, self._policy, new_id=self._new_id, now_ms=now_ms),
            comparisons={wish.department: wish.comparison for wish in wishes},
            news=set(),
        )

    def take(self, answer: Answer, now_ms: int) -> bool:
        """Takes an answer into account; tells False where nothing asked for it."""
        running = self._running.get(StreamId(answer.view, answer.partition))
        return running is not None and running.drill.take(answer, now_ms)

    def give_up(self, stream: StreamId, epoch: int) -> None:
        """Ends a drill-down of an epoch before this one."""
        running = self._running.get(stream)
        if running is not None and running.drill.plan.epoch < epoch:
            running.drill.give_up("a new epoch began")

    def advance(
        self, now_ms: int, note: Callable[[StreamId, Outcome], bool]
    ) -> tuple[tuple[Inquiry, ...], tuple[Concluded, ...]]:
        """Moves every drill-down on; `note` is told each outcome and tells whether it was news.

        Gives the inquiries to be sent and the drill-downs that ended.
        """
        inquiries: list[Inquiry] = []
        concluded: list[Concluded] = []
        for stream, running in tuple(self._running.items()):
            step = running.drill.advance(now_ms)
            inquiries += step.inquiries
            for outcome in step.outcomes:
                if note(stream, outcome):
                    running.news.add(outcome.department)
            if running.drill.is_finished:
                concluded.append(self._conclude(stream, running, now_ms))
        return tuple(inquiries), tuple(concluded)

    def _conclude(self, stream: StreamId, running: _Running, now_ms: int) -> Concluded:
        del self._running[stream]
        left_out = running.drill.left_out
        for department, comparison in running.comparisons.items():
            before = self._paces.get((department, stream))
            pause_ms = int(self._policy.drill_pause_seconds * 1000)
            if before is not None and before.comparison == comparison and department not in running.news:
                longest_ms = int(self._policy.drill_pause_longest_seconds * 1000)
                pause_ms = max(pause_ms, min(2 * before.pause_ms, longest_ms))
            self._paces[department, stream] = _Pace(
                next_ms=now_ms + pause_ms,
                pause_ms=pause_ms,
                comparison=comparison,
                is_concluded=department not in left_out,
            )
        return Concluded(
            stream=stream, departments=tuple(running.comparisons), left_out=tuple(sorted(left_out.items()))
        )
