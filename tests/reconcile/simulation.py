"""A tiny authority and its departments, which keep the position rules, and topics that delay, repeat and lose.

Each operation is one small step, so that any order of them is a schedule. Faults are planted by name, and what may be
found about a record is written down at that moment; whatever else is found is a false finding.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal

from reconcile.builders import AUTHORITY, FUND, HEALTH, VIEW, Side, city, digest, pseudonym
from tellonce.control.messages import Attestation, DivergenceEvent, Evidence, Inquiry, Mark, Order, PageEntry
from tellonce.model.digest import MODULUS, from_hex, to_hex
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEvent:
    """One event of the stream; without a pseudonym it only fills a sequence."""

    epoch: int
    sequence: int
    pseudonym: str | None
    version: int = 0
    digest: str | None = None
    flagged: bool = False
    repair_for: tuple[str, ...] = ()


@dataclass
class Authority(Side):
    """Publishes; its ledger is what it answers from."""

    def __init__(self) -> None:
        super().__init__(AUTHORITY, {}, position=0, epoch=1)
        self.log: list[LogEvent] = []
        self.marks: list[Mark] = []
        self.versions: dict[str, int] = defaultdict(int)
        self.digests: dict[str, str | None] = {}

    def publish(self, key: str, value: str | None, *, repair_for: tuple[str, ...] = (), bad: bool = False) -> None:
        """Stages one change: version, sequence and place in the ledger; a bad one moves the sum and sends nothing."""
        if not repair_for:
            self.versions[key] += 1
            self.digests[key] = None if value is None else digest((key, value))
        self.position += 1
        state = RecordState.DELETED if self.digests[key] is None else RecordState.LIVE
        self.records[key] = PageEntry(
            pseudonym=key,
            epoch=self.epoch,
            version=self.versions[key],
            sequence=self.position,
            digest=self.digests[key],
            state=RecordState.UNPUBLISHED if bad else state,
        )
        sent = LogEvent(epoch=self.epoch, sequence=self.position, pseudonym=None)
        if not bad:
            sent = replace(
                sent, pseudonym=key, version=self.versions[key], digest=self.digests[key], repair_for=repair_for
            )
        self.log.append(sent)

    def end_batch(self, now_ms: int) -> None:
        """Flags the last event and states the sum after it."""
        if not self.log or self.log[-1].flagged or self.log[-1].sequence != self.position:
            return
        self.log[-1] = replace(self.log[-1], flagged=True)
        digests = [from_hex(each.digest) for each in self.records.values() if each.digest is not None]
        self.marks.append(
            Mark(
                view=VIEW,
                partition=0,
                department=AUTHORITY,
                epoch=self.epoch,
                sequence=self.position,
                sum=to_hex(sum(digests) % MODULUS),
                count=len(digests),
                at_ms=now_ms,
            )
        )

    def begin_epoch(self, lost: str | None) -> None:
        """Publishes every record again, but for one that a backup did not know."""
        self.epoch += 1
        self.position = 0
        if lost is not None:
            self.digests[lost] = None
        live = sorted(key for key, each in self.digests.items() if each is not None)
        self.records = {}
        for key in live:
            self.versions[key] -= 1
            value, self.digests[key] = self.digests[key], None
            self._republish(key, value)
        # An empty stream still has a place in the new epoch.
        self.position += 1
        self.log.append(LogEvent(epoch=self.epoch, sequence=self.position, pseudonym=None))

    def _republish(self, key: str, value: str | None) -> None:
        self.publish(key, "")
        self.digests[key] = value
        self.records[key] = self.records[key].model_copy(update={"digest": value})
        self.log[-1] = replace(self.log[-1], digest=value)


class Subscriber(Side):
    """Applies; keeps its position as the four rules say; parks, and is edited behind its service's back."""

    def __init__(self, name: str, skew_ms: int) -> None:
        super().__init__(name, {}, position=0, epoch=0)
        self.skew_ms = skew_ms
        self.next = 0
        self.delayed: list[LogEvent] = []
        self.highest = 0
        self.flagged = False
        self.is_unsure = False
        self.parks: dict[str, RecordState] = {}
        self.stubborn: set[str] = set()
        self.attestations: list[Attestation] = []

    def read(self, log: Sequence[LogEvent], *, delay: bool = False) -> None:
        """Reads the next event, or puts it off: it will come later, out of order."""
        if self.next >= len(log):
            return
        event = log[self.next]
        self.next += 1
        if delay and event.epoch == self.epoch:
            self.delayed.append(event)
            return
        if event.epoch > self.epoch:
            # All that was staged in an epoch is sent before the next one begins.
            while self.delayed:
                self.catch_delayed()
        self._apply(event)

    def catch_delayed(self) -> None:
        """Reads the oldest event that was put off."""
        if self.delayed:
            self._apply(self.delayed.pop(0))

    def _apply(self, event: LogEvent) -> None:
        if event.epoch < self.epoch:
            return
        if event.epoch > self.epoch:
            self.epoch, self.highest, self.delayed = event.epoch, 0, []
        self.highest = max(self.highest, event.sequence)
        if event.pseudonym is not None:
            self._apply_record(event, event.pseudonym)
        self.flagged = event.flagged and event.sequence == self.highest
        self._move()

    def _move(self) -> None:
        missing = [each.sequence for each in self.delayed if each.epoch == self.epoch]
        self.position = 0 if self.is_unsure else min(missing, default=self.highest + 1) - 1

    def _apply_record(self, event: LogEvent, key: str) -> None:
        known = self.records.get(key)
        stored = (0, 0) if known is None else (known.epoch, known.version)
        is_named = self.name in event.repair_for and (event.epoch, event.version) == stored
        if (event.epoch, event.version) <= stored and not is_named:
            return
        before = None if known is None else known.digest
        held = None if event.digest is None else digest("stubborn") if key in self.stubborn else event.digest
        state = RecordState.DELETED if event.digest is None else RecordState.HELD
        if key in self.parks:
            state, held = self.parks[key], before
        self.records[key] = PageEntry(
            pseudonym=key,
            epoch=event.epoch,
            version=event.version,
            sequence=event.sequence,
            digest=held,
            state=state,
        )

    def set_unsure(self, *, unsure: bool) -> None:
        """Whether a gap is waiting to close, so that it cannot tell its position."""
        self.is_unsure = unsure
        self._move()

    def attest(self, now_ms: int) -> None:
        """States its sum, where rule 4 allows."""
        if not self.flagged or self.position != self.highest or not self.position:
            return
        digests = [from_hex(each.digest) for each in self.records.values() if each.digest is not None]
        self.attestations.append(
            Attestation(
                view=VIEW,
                partition=0,
                department=self.name,
                epoch=self.epoch,
                sequence=self.position,
                sum=to_hex(sum(digests) % MODULUS),
                count=len(digests),
                states={},
                at_ms=now_ms + self.skew_ms,
            )
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
        self.answers: deque[object] = deque()
        self.orders: deque[Order] = deque()
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
            case Order():
                self.orders.append(output)
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
            self.core.take_answer(self.answers.popleft(), self.now_ms)  # type: ignore[arg-type]  # only answers are in it

    def carry_out_order(self) -> None:
        """Lets the relay publish what the oldest order names."""
        if not self.orders:
            return
        order = self.orders.popleft()
        if order.action == "repair":
            for key in order.pseudonyms:
                entry = self.authority.records.get(key)
                if entry is not None and entry.state is not RecordState.UNPUBLISHED:
                    self.authority.publish(key, None, repair_for=order.departments)

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
            while self.orders:
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
        if not self.core.is_settled or self.orders or self.authority.marks[self.read_marks :]:
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
            versions = (ours.version if ours else 0, theirs.version if theirs else 0)
            assert (event.authority_digest, event.department_digest) == digests
            if (event.authority_version, event.department_version) == versions:
                assert event.kind is true[department, key]

    def status(self, department: str) -> StreamStatus:
        """How a department's stream stands."""
        (status,) = [each for each in self.core.statuses() if each.department == department]
        return status

    def states(self) -> set[StreamState]:
        """The states of all streams."""
        return {status.state for status in self.core.statuses()}


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


class Faults:
    """Plants faults into a world, and writes down what may be found because of them."""

    def __init__(self, world: World) -> None:
        self.world = world

    def _may_be(self, department: Subscriber, key: str, *kinds: DivergenceKind) -> None:
        self.world.allowed[department.name, key].update(kinds)

    def _edit(self, department: Subscriber, key: str, **changes: object) -> PageEntry | None:
        entry = department.records.get(key)
        if entry is None or entry.digest is None or entry.state is not RecordState.HELD:
            return None
        department.records[key] = entry.model_copy(update=changes)
        return entry

    def alter(self, department: Subscriber, key: str) -> None:
        """Edits a row behind the service's back."""
        if self._edit(department, key, digest=digest(("edited", next(self.world.planted)))):
            # A delete that the department has applied already makes the edited row an orphan.
            self._may_be(department, key, DivergenceKind.ALTERED)

    def remove(self, department: Subscriber, key: str) -> None:
        """Deletes a row behind the service's back."""
        if self._edit(department, key, digest=None):
            self._may_be(department, key, DivergenceKind.MISSING)

    def forget(self, department: Subscriber, key: str) -> None:
        """Loses a record with its place in the ledger, as a partial restore does."""
        if department.records.pop(key, None):
            # An older event that was put off may then come in again, even of a record deleted since.
            self._may_be(department, key, DivergenceKind.MISSING, DivergenceKind.STALE, DivergenceKind.ORPHANED)

    def set_back(self, department: Subscriber, key: str) -> None:
        """Puts row and ledger back to an older version, as a partial restore does."""
        entry = department.records.get(key)
        if entry is None or entry.version < 2:
            return
        department.records[key] = entry.model_copy(
            update={
                "version": entry.version - 1,
                "sequence": max(1, entry.sequence - 1),
                "digest": digest(("old", next(self.world.planted))),
                "state": RecordState.HELD,
            }
        )
        # Of a deleted record the older version is an orphan.
        self._may_be(department, key, DivergenceKind.STALE, DivergenceKind.ORPHANED)

    def invent(self, department: Subscriber) -> None:
        """Makes a record that the authority does not have."""
        if not department.epoch:
            return
        key = pseudonym(next(self.world.planted))
        department.records[key] = PageEntry(
            pseudonym=key,
            epoch=department.epoch,
            version=1,
            sequence=1,
            digest=digest(key),
            state=RecordState.HELD,
        )
        self._may_be(department, key, DivergenceKind.ORPHANED)

    def park(self, department: Subscriber, key: str, state: RecordState) -> None:
        """Lets a record's next events park."""
        department.parks[key] = state
        self._may_be(department, key, DivergenceKind(state.value))

    def be_stubborn(self, department: Subscriber, key: str) -> None:
        """Lets a trigger at the department change what is written, each time in the same way."""
        department.stubborn.add(key)
        self._may_be(department, key, DivergenceKind.ALTERED)

    def spoil(self, key: str) -> None:
        """Gives a record a value that the authority cannot publish."""
        for department in self.world.departments:
            self._may_be(department, key, DivergenceKind.UNPUBLISHED)
        self.world.authority.publish(key, f"bad {next(self.world.planted)}", bad=True)

    def lose(self, key: str) -> None:
        """Restores the authority from a backup that does not know a record, with a new epoch."""
        for department in self.world.departments:
            self._may_be(department, key, DivergenceKind.ORPHANED)
        self.world.authority.begin_epoch(key)
