"""A reconciler between a tiny authority and its departments, and topics that delay, repeat and lose.

Each operation is one small step, so that any order of them is a schedule. What may be found about a record is written
down when its fault is planted; whatever else is found is a false finding.
"""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from reconcile.builders import FUND, HEALTH, Side, city
from reconcile.parties import Authority, Subscriber
from tellonce.control.messages import Answer, DivergenceEvent, Evidence, Inquiry, Order, PageEntry, RepairRequest
from tellonce.model.divergence import DivergenceKind, DivergenceState, RecordState
from tellonce.reconcile.core import Core, Output
from tellonce.reconcile.policy import ReconciliationPolicy
from tellonce.reconcile.status import StreamState, StreamStatus

RECORDS = 6
POLICY = ReconciliationPolicy(
    answer_timeout_seconds=20,
    answer_patience_seconds=1e6,
    undecided_pause_seconds=1,
    drill_pause_seconds=1,
    drill_pause_longest_seconds=4,
    drill_patience_seconds=1e6,
    page_records=2,
    repair_round_seconds=5,
    repair_check_seconds=5,
    repair_patience_seconds=1e6,
    marks_kept=50,
    attestations_kept=20,
)


@dataclass
class World:
    """Everything, and the reconciler in it."""

    now_ms: int = 1_000_000
    on_divergence: Literal["repair", "flag"] = "flag"
    written: list[DivergenceEvent] = field(default_factory=list)
    allowed: dict[tuple[str, str], set[DivergenceKind]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        self.topology = city(fund=self.on_divergence, health="flag")
        self.authority = Authority()
        # One clock is an hour behind, one an hour ahead: only a department's own times may be compared.
        self.departments = [Subscriber(FUND, -3_600_000), Subscriber(HEALTH, 3_600_000)]
        self.inquiries: dict[str, deque[Inquiry]] = defaultdict(deque)
        self.answers: deque[Answer] = deque()
        self.requests: deque[RepairRequest] = deque()
        self.planted = count(1_000)
        self._ids = count(1)
        self.start()

    def start(self) -> None:
        """Starts a reconciler that knows nothing but what the topics hold; answers on their way are never heard."""
        self.core = Core(self.topology, POLICY, new_id=lambda: f"id-{next(self._ids)}")
        for event in self.written:
            self.core.load_divergence(event)
        self.read_marks, self.read_attestations = 0, [0 for _ in self.departments]
        self.answers.clear()
        self.hear_statements(10**9)

    def hear_statements(self, most: int) -> None:
        """Hands some marks and attestations in; one topic may be far ahead of another."""
        for mark in self.authority.marks[self.read_marks : self.read_marks + most]:
            self.core.take_mark(mark)
            self.read_marks += 1
        for index, department in enumerate(self.departments):
            read = self.read_attestations[index]
            for each in department.attestations[read : read + most]:
                self.core.take_attestation(each)
                self.read_attestations[index] += 1

    def advance(self, milliseconds: int) -> None:
        """Lets time pass and the reconciler decide."""
        self.now_ms += milliseconds
        for output in self.core.advance(self.now_ms):
            self._write(output)

    def _write(self, output: Output) -> None:
        match output:
            case Inquiry():
                for name in output.departments:
                    self.inquiries[name].append(output)
            case RepairRequest():
                self.requests.append(output)
            case Order():
                pass
            case DivergenceEvent():
                self.written.append(output)
                if output.state is DivergenceState.OPEN:
                    kinds = self.allowed[output.department, output.pseudonym]
                    assert output.kind in kinds, f"false finding: {output.kind} at {output.department}"
            case Evidence():
                pass

    def answer(self, side: Side, *, lose: bool = False, repeat: bool = False) -> None:
        """Lets a side answer its oldest inquiry, from what it holds at this moment."""
        if not self.inquiries[side.name]:
            return
        inquiry = self.inquiries[side.name].popleft()
        if isinstance(side, Subscriber) and not side.epoch:
            return
        skew_ms = side.skew_ms if isinstance(side, Subscriber) else 0
        if not lose:
            self.answers.extend([side.answer(inquiry, self.now_ms + skew_ms)] * (2 if repeat else 1))

    def hear_answer(self) -> None:
        """Hands the oldest answer in."""
        if self.answers:
            self.core.take_answer(self.answers.popleft(), self.now_ms)

    def carry_out_order(self) -> None:
        """Lets a department want what the oldest request names, and the relay publish it."""
        if not self.requests:
            return
        request = self.requests.popleft()
        (department,) = (each for each in self.departments if each.name == request.department)
        for key in request.pseudonyms:
            department.wanted.add(key)
            entry = self.authority.records.get(key)
            if entry is not None and entry.state is not RecordState.UNPUBLISHED:
                self.authority.publish(key, None, is_repair=True)

    def settle(self) -> None:
        """Lets everything come to rest: all is read, answered, carried out and judged."""
        for _ in range(400):
            self.authority.end_batch(self.now_ms)
            for department in self.departments:
                department.set_unsure(unsure=False)
                while department.next < len(self.authority.log) or department.delayed:
                    department.read(self.authority.log)
                    department.catch_delayed()
                self._sweep(department)
            self.hear_statements(10**9)
            self.advance(1_000)
            for side in (self.authority, *self.departments):
                while self.inquiries[side.name]:
                    self.answer(side)
            while self.answers:
                self.hear_answer()
            while self.requests:
                self.carry_out_order()
            if self.is_at_rest():
                return
        raise AssertionError(f"does not settle: {self.core.statuses()}, {self.core.divergences()}")

    def _sweep(self, department: Subscriber) -> None:
        # At the end of the log the last flagged event is the newest.
        department.flagged = bool(self.authority.log) and self.authority.log[-1].flagged
        self.now_ms += 1
        department.attest(self.now_ms)

    def is_at_rest(self) -> bool:
        """Whether the reconciler has nothing left to do and no repair is under way."""
        if not self.core.is_settled or self.requests or self.authority.marks[self.read_marks :]:
            return False
        return all(
            each.state is not DivergenceState.REPAIRING or self.is_hopeless(each) for each in self.core.divergences()
        )

    def is_hopeless(self, event: DivergenceEvent) -> bool:
        """Whether the authority does not know the record, so that its repair is waited for until the patience ends."""
        return event.pseudonym not in self.authority.records

    def differences(self) -> dict[tuple[str, str], DivergenceKind]:
        """What truly differs now that all is at rest, worked out plainly from what both sides hold."""
        found: dict[tuple[str, str], DivergenceKind] = {}
        for department in self.departments:
            for key in self.authority.records.keys() | department.records.keys():
                kind = _kind(self.authority.records.get(key), department.records.get(key))
                if kind is not None:
                    found[department.name, key] = kind
        return found

    def check_findings(self) -> None:
        """Exactly the records that differ are known to, each of its kind.

        A kind may be the one it was found with where versions have moved and both digests are what they were: what no
        sum shows is not looked into again.
        """
        true = self.differences()
        found = {(each.department, each.pseudonym): each for each in self.core.divergences()}
        assert found.keys() == true.keys()
        sides = {each.name: each for each in self.departments}
        for (department, key), event in found.items():
            ours, theirs = self.authority.records.get(key), sides[department].records.get(key)
            digests = (ours.digest if ours else None, theirs.digest if theirs else None)
            assert (event.authority_digest, event.department_digest) == digests
            seen = (event.authority_epoch, event.authority_version), (event.department_epoch, event.department_version)
            if seen == (_version(ours), _version(theirs)):
                assert event.kind is true[department, key]

    def status(self, department: str) -> StreamStatus:
        """How a department's stream stands."""
        (status,) = [each for each in self.core.statuses() if each.department == department]
        return status

    def states(self) -> set[StreamState]:
        """The states of all streams."""
        return {status.state for status in self.core.statuses()}


def _version(entry: PageEntry | None) -> tuple[int, int]:
    return (0, 0) if entry is None else (entry.epoch, entry.version)


def _kind(ours: PageEntry | None, theirs: PageEntry | None) -> DivergenceKind | None:
    right = None if ours is None else ours.digest
    held = None if theirs is None else theirs.digest
    if right == held:
        return None
    if ours is not None and ours.state is RecordState.UNPUBLISHED:
        return DivergenceKind.UNPUBLISHED
    if theirs is not None and theirs.state in {RecordState.PARKED, RecordState.AMBIGUOUS}:
        return DivergenceKind(theirs.state.value)
    if right is None:
        return DivergenceKind.ORPHANED
    if held is None:
        return DivergenceKind.MISSING
    assert ours is not None
    assert theirs is not None
    is_same_version = (ours.epoch, ours.version) == (theirs.epoch, theirs.version)
    return DivergenceKind.ALTERED if is_same_version else DivergenceKind.STALE
