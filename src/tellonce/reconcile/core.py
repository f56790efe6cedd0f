"""The reconciler without its topics: statements, answers and decisions go in, messages to be written come out.

Pure: the clock and new ids are passed in, so any schedule of messages can be played to it.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

from tellonce.control.messages import (
    Answer,
    Attestation,
    DivergenceEvent,
    Evidence,
    Inquiry,
    Mark,
    Order,
    RepairRequest,
)
from tellonce.model.divergence import DivergenceState
from tellonce.model.rounds import Rounds
from tellonce.reconcile.compare import Comparisons, StreamId
from tellonce.reconcile.drill import DrillPlan
from tellonce.reconcile.evidence import evidence_of_divergence, evidence_of_status
from tellonce.reconcile.freshness import Freshness
from tellonce.reconcile.lifecycle import DivergenceBook
from tellonce.reconcile.pages import Outcome
from tellonce.reconcile.policy import ReconciliationPolicy
from tellonce.reconcile.repairs import plan_by_policy, request_by_decision
from tellonce.reconcile.schedule import Concluded, DrillSchedule, Wish
from tellonce.reconcile.status import StatusBoard, StreamState, StreamStatus
from tellonce.reconcile.tombstones import TombstoneOrders
from tellonce.topology import Topology, View

__all__ = ["Core", "Output", "Taken"]

Output = Inquiry | Order | RepairRequest | DivergenceEvent | Evidence
"""A message to be written; which topic it belongs to follows from its shape."""

_SubscribedStream = tuple[str, StreamId]

# Orders are looked for when something changed, and otherwise this often, since rounds and pauses end by themselves.
_LOOK_AGAIN_MS = 1_000


class Taken(StrEnum):
    """What became of a message that was handed in."""

    TAKEN = "taken"
    FOREIGN = "foreign"
    """It is about a stream or department that the topology does not have, or by one that may not speak of it."""
    LATE = "late"
    """It is older than what is known, or answers nothing that is being asked."""
    CONTRADICTORY = "contradictory"
    """An authority states another sum for a position than before; the later statement counts."""


class Core:
    """All of the reconciler's state and decisions. Not thread-safe."""

    def __init__(self, topology: Topology, policy: ReconciliationPolicy, *, new_id: Callable[[], str]) -> None:
        self._topology = topology
        self._policy = policy
        self._new_id = new_id
        self._views = {view.name: view for view in topology.views()}
        self._comparisons = Comparisons(marks_kept=policy.marks_kept, attestations_kept=policy.attestations_kept)
        self._book = DivergenceBook(policy)
        self._board = StatusBoard()
        self._freshness = Freshness(policy.proof_age_seconds)
        self._drills = DrillSchedule(policy, new_id)
        self._rounds = Rounds(policy.repair_round_seconds)
        self._tombstones = TombstoneOrders(policy.tombstone_pause_seconds, new_id)
        self._changed: set[_SubscribedStream] = set(self._subscribed_streams())
        self._looks_again_ms = 0
        self._concluded: list[Concluded] = []

    def take_mark(self, mark: Mark) -> Taken:
        """Takes an authority's statement into account."""
        view = self._view(mark.view, mark.partition)
        if view is None or mark.department != view.authority:
            return Taken.FOREIGN
        stream = StreamId(mark.view, mark.partition)
        consistent = self._comparisons.take_mark(mark)
        self._freshness.note((mark.department, stream), mark.at_ms)
        self._changed.update((department, stream) for department in view.subscriptions)
        self._drills.give_up(stream, mark.epoch)
        return Taken.TAKEN if consistent else Taken.CONTRADICTORY

    def take_attestation(self, attestation: Attestation) -> Taken:
        """Takes a department's statement into account."""
        view = self._view(attestation.view, attestation.partition)
        if view is None or attestation.department not in view.subscriptions:
            return Taken.FOREIGN
        if not self._comparisons.take_attestation(attestation):
            return Taken.LATE
        voice = (attestation.department, StreamId(attestation.view, attestation.partition))
        self._freshness.note(voice, attestation.at_ms)
        self._changed.add(voice)
        return Taken.TAKEN

    def take_answer(self, answer: Answer, now_ms: int) -> Taken:
        """Takes an answer to an inquiry into account."""
        view = self._view(answer.view, answer.partition)
        if view is None or answer.department not in {view.authority, *view.subscriptions}:
            return Taken.FOREIGN
        return Taken.TAKEN if self._drills.take(answer, now_ms) else Taken.LATE

    def load_divergence(self, event: DivergenceEvent) -> None:
        """Takes over a divergence as it was before the start; to be called in the order in which they were written."""
        self._book.load(event)
        self._changed.add((event.department, StreamId(event.view, event.partition)))

    def take_decision(self, event: DivergenceEvent, now_ms: int) -> tuple[Output, ...]:
        """Takes what a person decided about a divergence into account."""
        outputs: list[Output] = []
        events = self._book.take_decision(event, now_ms)
        # The request before the state that tells of it: a crash in between makes it twice, never not at all.
        outputs += [
            request_by_decision(one, now_ms)
            for one in events
            if one.state is DivergenceState.REPAIRING and one.decision_id == event.decision_id
        ]
        self._write_divergences(outputs, events)
        return tuple(outputs)

    def advance(self, now_ms: int) -> tuple[Output, ...]:
        """Does all that can be done now, and gives what is to be written, in this order."""
        outputs: list[Output] = []
        if self._looks_again_ms == 0:
            live = {(department, view.name) for view in self._views.values() for department in view.subscriptions}
            self._write_divergences(outputs, self._book.note_ended(live, now_ms))
        self._move_drills(outputs, now_ms)
        for principal, stream in self._freshness.advance(now_ms):
            view = self._views[stream.view]
            concerned = view.subscriptions if principal == view.authority else (principal,)
            self._changed.update((department, stream) for department in concerned)
        self._compare(outputs, now_ms)
        self._begin_drills(outputs, now_ms)
        if outputs or now_ms >= self._looks_again_ms:
            self._looks_again_ms = now_ms + _LOOK_AGAIN_MS
            self._order(outputs, now_ms)
        return tuple(outputs)

    def statuses(self) -> tuple[StreamStatus, ...]:
        """Gives how every subscribed stream stands, as of the last `advance`."""
        return tuple(self._board)

    def divergences(self) -> tuple[DivergenceEvent, ...]:
        """Gives the divergences that are not resolved."""
        return tuple(self._book)

    def concluded(self) -> tuple[Concluded, ...]:
        """Gives the drill-downs that ended since this was asked last."""
        concluded, self._concluded = tuple(self._concluded), []
        return concluded

    @property
    def is_asking(self) -> bool:
        """Whether a drill-down is running, so that answers are being waited for."""
        return not self._drills.is_idle

    @property
    def is_settled(self) -> bool:
        """Whether every stream that has a mark was compared at its newest, and no question about it is open."""
        return self._drills.is_idle and all(map(self._is_settled, self._subscribed_streams()))

    def _is_settled(self, subscribed: _SubscribedStream) -> bool:
        reached = self._comparisons.reached(*subscribed)
        if reached.mark is None:
            return True
        comparison = reached.comparison
        if comparison is None or comparison.mark.place < reached.mark.place:
            return False
        status = self._board.get(*subscribed)
        return (
            status is not None
            and subscribed not in self._changed
            and (status.is_explained or self._drills.has_concluded(*subscribed, comparison))
        )

    def _move_drills(self, outputs: list[Output], now_ms: int) -> None:
        def note(stream: StreamId, outcome: Outcome) -> bool:
            events = self._book.note(stream, outcome, now_ms)
            self._write_divergences(outputs, events)
            # Also where nothing is news: when it was seen last decides what resolves it.
            self._changed.add((outcome.department, stream))
            return bool(events)

        inquiries, concluded = self._drills.advance(now_ms, note)
        outputs.extend(inquiries)
        self._concluded.extend(concluded)

    def _compare(self, outputs: list[Output], now_ms: int) -> None:
        changed, self._changed = self._changed, set()
        for department, stream in sorted(changed & set(self._subscribed_streams())):
            comparison = self._comparisons.reached(department, stream).comparison
            if comparison is not None and comparison.is_equal:
                attested_at_ms = comparison.attestation.at_ms
                self._write_divergences(outputs, self._book.note_equal(department, stream, attested_at_ms, now_ms))
            before, after = self._board.update(
                department,
                stream,
                self._comparisons,
                self._book,
                now_ms,
                is_recent=self._freshness.is_recent((department, stream), (self._views[stream.view].authority, stream)),
            )
            # Proved and behind take turns many times a minute under load, which is no news for the years to come.
            if before is None or (before.state is not after.state and not before.state.agrees & after.state.agrees):
                outputs.append(evidence_of_status(after, now_ms))

    def _begin_drills(self, outputs: list[Output], now_ms: int) -> None:
        wishes: dict[StreamId, list[Wish]] = {}
        for status in self._board:
            stream = StreamId(status.view, status.partition)
            comparison = self._comparisons.reached(status.department, stream).comparison
            if comparison is not None and self._is_in_doubt(status, stream, now_ms):
                wishes.setdefault(stream, []).append(Wish(department=status.department, comparison=comparison))
        for stream, of_stream in wishes.items():
            ready = [wish for wish in of_stream if self._drills.may_begin(wish.department, stream, now_ms)]
            if ready:
                self._drills.begin(self._plan(stream, ready), ready, now_ms)
        if wishes:
            self._move_drills(outputs, now_ms)

    def _plan(self, stream: StreamId, wishes: list[Wish]) -> DrillPlan:
        view = self._views[stream.view]
        return DrillPlan(
            stream=stream,
            epoch=wishes[0].comparison.mark.epoch,
            authority=view.authority,
            departments=tuple(wish.department for wish in wishes),
            bucket_count=view.buckets,
        )

    def _is_in_doubt(self, status: StreamStatus, stream: StreamId, now_ms: int) -> bool:
        """Whether only a drill-down can tell: an unexplained difference, or an order not shown to help."""
        if status.state is not StreamState.DIVERGED:
            return False
        longest_ms = self._policy.repair_check_seconds * 1000
        return not status.is_explained or any(
            event.state is DivergenceState.REPAIRING and now_ms - event.at_ms >= longest_ms
            for event in self._book.of(status.department, stream).values()
        )

    def _order(self, outputs: list[Output], now_ms: int) -> None:
        plan = plan_by_policy(self._book, self._topology, self._rounds, new_id=self._new_id, now_ms=now_ms)
        # Requests before the states that tell of them, as above.
        outputs.extend(plan.requests)
        if plan.ordered:
            self._write_divergences(outputs, self._book.note_ordered(plan.ordered, now_ms))
        outputs.extend(self._tombstones.due(self._views.values(), self._comparisons, now_ms))

    def _write_divergences(self, outputs: list[Output], events: Iterable[DivergenceEvent]) -> None:
        for event in events:
            outputs.append(event)
            outputs.append(evidence_of_divergence(event))
            self._changed.add((event.department, StreamId(event.view, event.partition)))

    def _view(self, name: str, partition: int) -> View | None:
        view = self._views.get(name)
        return None if view is None or partition >= view.partitions else view

    def _subscribed_streams(self) -> Iterator[_SubscribedStream]:
        for view in self._views.values():
            for department in view.subscriptions:
                for partition in range(view.partitions):
                    yield department, StreamId(view.name, partition)
