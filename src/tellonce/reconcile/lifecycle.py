"""The divergences that are known: what a drill-down, equal sums, an order or a person change about them.

Every change comes out as a message for the topic of divergences, which is where this state survives a restart.
"""

from collections.abc import Collection, Iterator, Mapping

from tellonce.control.messages import DivergenceEvent
from tellonce.model.digest import MODULUS, from_hex
from tellonce.model.divergence import DivergenceState, is_open
from tellonce.reconcile.compare import Difference, StreamId
from tellonce.reconcile.pages import Outcome
from tellonce.reconcile.policy import ReconciliationPolicy
from tellonce.reconcile.transitions import found_again, is_changed, opened, reopened, repairing, resolved
from tellonce.topology.topics import RECONCILER

__all__ = ["DivergenceBook"]


class DivergenceBook:
    """The divergences that are not resolved, by department and stream. Not thread-safe."""

    def __init__(self, policy: ReconciliationPolicy) -> None:
        self._policy = policy
        self._by_stream: dict[tuple[str, StreamId], dict[str, DivergenceEvent]] = {}

    def __iter__(self) -> Iterator[DivergenceEvent]:
        """Goes through all of them."""
        for events in self._by_stream.values():
            yield from events.values()

    def of(self, department: str, stream: StreamId) -> Mapping[str, DivergenceEvent]:
        """Gives those of one department's stream, by pseudonym."""
        return self._by_stream.get((department, stream), {})

    def difference(self, department: str, stream: StreamId) -> Difference:
        """Gives how far the known divergences of a stream make its two sums and counts differ."""
        total = count = 0
        for event in self.of(department, stream).values():
            for digest, sign in ((event.department_digest, 1), (event.authority_digest, -1)):
                if digest is not None:
                    total += sign * from_hex(digest)
                    count += sign
        return Difference(total % MODULUS, count)

    def load(self, event: DivergenceEvent) -> None:
        """Takes over a state that was written before; the newest written holds."""
        events = self._by_stream.setdefault(_place(event), {})
        if is_open(event.state):
            events[event.pseudonym] = event
        else:
            events.pop(event.pseudonym, None)

    def take_decision(self, event: DivergenceEvent, now_ms: int) -> tuple[DivergenceEvent, ...]:
        """Takes over what a person decided, and gives the state in which it and what is known by now are joined.

        A decision is carried out once, and only in the life of the divergence that it was made about.
        """
        known = self.of(*_place(event)).get(event.pseudonym)
        if known is None or event.state not in {DivergenceState.ACCEPTED, DivergenceState.REPAIRING}:
            return ()
        if known.opened_at_ms != event.opened_at_ms or known.decision_id == event.decision_id:
            return ()
        if event.state is DivergenceState.ACCEPTED and event.authority_version != known.authority_version:
            # What was accepted is not what the authority says now.
            changes: dict[str, object] = {"by": RECONCILER}
        else:
            changes = {name: getattr(event, name) for name in ("state", "by", "note", "order_id", "repairs")}
        changes |= {"decision_id": event.decision_id, "at_ms": now_ms}
        steps: list[DivergenceEvent] = []
        if event.state is DivergenceState.REPAIRING and known.state is not DivergenceState.OPEN:
            steps.append(reopened(known, by=event.by, now_ms=now_ms))
        return (*steps, self._store(known.model_copy(update=changes)))

    def note(self, stream: StreamId, outcome: Outcome, now_ms: int) -> tuple[DivergenceEvent, ...]:
        """Gives what changes by what a drill-down found out."""
        known = self.of(outcome.department, stream)
        found = {finding.pseudonym for finding in outcome.findings}
        over = [event for key, event in known.items() if key not in found and outcome.shows_equal(key)]
        changes = [self._store(resolved(event, now_ms)) for event in over]
        room = self._policy.divergences_kept - self._count(outcome.department)
        for finding in outcome.findings:
            before = known.get(finding.pseudonym)
            if before is None and room <= 0:
                continue
            if before is None:
                room -= 1
                changes.append(self._store(opened(outcome.department, stream, finding, now_ms)))
                known = self.of(outcome.department, stream)
                continue
            after = self._store(found_again(before, finding, self._policy, now_ms))
            if is_changed(before, after):
                changes.append(after)
        return tuple(changes)

    def note_equal(
        self, department: str, stream: StreamId, attested_at_ms: int, now_ms: int
    ) -> tuple[DivergenceEvent, ...]:
        """Gives what is resolved by equal sums that the department stated after it had last been seen to differ.

        Both instants are of the department's own clock.
        """
        events = [event for event in self.of(department, stream).values() if event.seen_at_ms < attested_at_ms]
        return tuple(self._store(resolved(event, now_ms)) for event in events)

    def note_ordered(self, ordered: Mapping[str, str], now_ms: int) -> tuple[DivergenceEvent, ...]:
        """Gives what changes because orders were given by policy; `ordered` is order id by divergence id."""
        events = [event for event in self if event.divergence_id in ordered]
        return tuple(
            self._store(repairing(event, ordered[event.divergence_id], by=RECONCILER, now_ms=now_ms))
            for event in events
        )

    def note_ended(self, live: Collection[tuple[str, str]], now_ms: int) -> tuple[DivergenceEvent, ...]:
        """Gives what is resolved because its (department, view) is not among the live subscriptions any more."""
        events = [event for event in self if (event.department, event.view) not in live]
        return tuple(self._store(resolved(event, now_ms, "the subscription ended")) for event in events)

    def _count(self, department: str) -> int:
        return sum(len(events) for (name, _), events in self._by_stream.items() if name == department)

    def _store(self, event: DivergenceEvent) -> DivergenceEvent:
        self.load(event)
        return event


def _place(event: DivergenceEvent) -> tuple[str, StreamId]:
    return event.department, StreamId(event.view, event.partition)
