"""Schedules on awkward tables: an authority, clerks and the service by turns, and crashes; a plain checker looks on.

A schedule is its table and its steps, each with a seed of its own, so that steps can be left out to find those that
matter.
"""

import random
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace

from apply.awkward_checker import Checker
from apply.awkward_clerk import Clerk
from apply.awkward_people import Archive, Registry, Sent
from apply.awkward_tables import Awkward, MakeTable, Table, draw_shape
from apply.bench import KEYS
from tellonce.apply.incoming import Batch
from tellonce.apply.subscription import SubscribedView
from tellonce.apply.sweep import sweep_rows, sweep_stream
from tellonce.apply.transaction import PositionMovedError, apply_batch, retry_parked
from tellonce.model.errors import RetryableError
from tellonce.model.position import Position
from tellonce.storage.subscriber.entries import StreamRow
from tellonce.storage.subscriber.facts import Held
from tellonce.storage.subscriber.store import LedgerLook, Look, SubscriberStore, Transaction
from tellonce.topology import View

__all__ = ["Played", "Schedule", "draw", "play", "shrink"]

PEOPLE = 4
_REST = 12
"""So many rounds of sweep, repairs and retries without a change end every schedule."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A table and steps, each with a seed of its own."""

    shape: Awkward
    seed: int
    steps: tuple[tuple[str, int], ...]


@dataclass(kw_only=True)
class Played:
    """What became of a schedule; `refused` says why no service would start on its table."""

    schedule: Schedule
    refused: str = ""
    faults: list[str] = field(default_factory=list[str])
    did: list[str] = field(default_factory=list[str])
    """What each step did, in words."""
    held: int = 0
    listed: int = 0
    taken: int = 0


_WEIGHTS: Mapping[str, int] = {
    "authority": 6,
    "deliver": 8,
    "again": 2,
    "crash": 1,
    "moved": 1,
    "open": 4,
    "close": 2,
    "reopen": 2,
    "renumber": 1,
    "mistype": 1,
    "reuse": 2,
    "edit": 2,
    "note": 1,
    "load": 1,
    "remove": 1,
    "sweep": 2,
    "retry": 2,
    "hasten": 1,
}


def draw(rng: random.Random, store: str, steps: int) -> Schedule:
    """Some schedule."""
    chosen = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=steps)
    return Schedule(
        shape=draw_shape(rng, store),
        seed=rng.randrange(2**32),
        steps=tuple((step, rng.randrange(2**32)) for step in chosen),
    )


def play(make: MakeTable, schedule: Schedule) -> Played:
    """Play a schedule to its first fault, or to its end and until nothing changes any more."""
    played = Played(schedule=schedule)
    table = make(schedule.shape)
    played.refused = table.refused()
    if played.refused:
        return played
    world = _World(table, schedule, played)
    try:
        for step, seed in (("begin", schedule.seed), *schedule.steps, ("rest", 0)):
            world.step(step, random.Random(seed))
            if world.checker.faults:
                break
    except Exception as error:  # noqa: BLE001 - whatever ended it is the finding
        world.checker.faults.append(f"4: ended by {type(error).__name__}: {error}"[:600])
    played.faults, played.taken = world.checker.faults, world.checker.taken
    return played


def shrink(make: MakeTable, schedule: Schedule) -> Schedule:
    """Leave out the steps without which the schedule shows the same kind of fault still."""
    kind = play(make, schedule).faults[0][:2]
    changed = True
    while changed:
        changed = False
        for place in reversed(range(len(schedule.steps))):
            less = replace(schedule, steps=schedule.steps[:place] + schedule.steps[place + 1 :])
            faults = play(make, less).faults
            if faults and faults[0][:2] == kind:
                schedule, changed = less, True
    return schedule


class CrashError(Exception):
    """The process dies before its transaction commits."""


class _Crashing:
    """A store whose transactions never commit."""

    def __init__(self, store: SubscriberStore) -> None:
        self._store = store

    @contextmanager
    def transaction(self) -> Generator[Transaction]:
        with self._store.transaction() as transaction:
            yield transaction
            raise CrashError

    def look(self) -> AbstractContextManager[Look]:
        return self._store.look()

    def ledger(self) -> AbstractContextManager[LedgerLook]:
        return self._store.ledger()

    def stream(self, partition: int) -> StreamRow:
        return self._store.stream(partition)

    def stop(self, partition: int, sentence: str | None) -> None:
        self._store.stop(partition, sentence)


class _World:
    def __init__(self, table: Table, schedule: Schedule, played: Played) -> None:
        self.table, self.shape, self.played = table, schedule.shape, played
        self.registry, self.archive = Registry(), Archive()
        self.checker = Checker(shape=self.shape, registry=self.registry)
        self.clerk = Clerk(table, self.registry, self.checker)
        self.pending: list[Sent] = []
        self.sent: list[Sent] = []
        self.position = Position(epoch=1)
        self.is_complete = False
        self.subscribed = self._over(table.store)

    def _over(self, store: SubscriberStore) -> SubscribedView:
        view = View.model_construct(name=KEYS.view, buckets=1)
        return SubscribedView(department="clinic", view=view, bound=self.table.view, store=store)

    def step(self, step: str, rng: random.Random) -> None:
        """Do one step and look at what it did."""
        steps: Mapping[str, Callable[[random.Random], str | None]] = {
            "begin": self._begin,
            "authority": self._authority,
            "deliver": self._deliver,
            "again": self._again,
            "crash": self._crash,
            "moved": self._moved,
            "sweep": self._sweep,
            "retry": self._retry,
            "hasten": self._hasten,
            "rest": self._rest,
        }
        did = steps[step](rng) if step in steps else self.clerk.do(step, rng)
        if did is not None:
            self.played.did.append(f"{step}: {did}")
        self._look(swept=step in {"sweep", "rest"})

    def _look(self, *, swept: bool) -> None:
        held, listed, stream = self._ledger()
        self.checker.told(held, listed, stream, self.table.rows(), swept=swept)
        self.played.held += sum(one.entry.state == "held" for one in held)
        self.played.listed += len(listed)

    def _ledger(self) -> tuple[Sequence[Held], set[str], StreamRow]:
        with self.table.store.look() as look:
            held = look.held_after(0, "", 1_000)
        with self.table.store.ledger() as ledger:
            listed, stream = set(ledger.parked_reasons()), ledger.stream(0)
        return held, listed, stream or self.table.store.stream(0)

    def _begin(self, rng: random.Random) -> str:
        self.pending = self.registry.begin(rng, PEOPLE)
        return str([(sent.serial, sent.number, sent.name) for sent in self.pending])

    def _authority(self, rng: random.Random) -> str:
        changes = self.registry.change(rng)
        self.pending += changes
        return str([(one.serial, one.version, one.number, one.name, one.former) for one in changes])

    def _deliver(self, rng: random.Random) -> str:
        count = rng.randint(1, len(self.pending)) if self.pending else 0
        some = rng.sample(self.pending, count)
        self.pending = [sent for sent in self.pending if sent not in some]
        return self._apply(some)

    def _again(self, rng: random.Random) -> str:
        return self._apply(rng.sample(self.sent, min(len(self.sent), rng.randint(1, 4))))

    def _apply(self, some: Sequence[Sent]) -> str:
        """Apply events in one transaction, the newest of each record among them."""
        newest: dict[int, Sent] = {}
        for sent in some:
            if sent.serial not in newest or newest[sent.serial].sequence < sent.sequence:
                newest[sent.serial] = max(sent, newest.get(sent.serial, sent), key=lambda s: (s.version, s.sequence))
        came = {one.serial for one in (*self.sent, *some)}
        is_last = not self.is_complete and len(came) == PEOPLE
        batch = Batch(newest={sent.pseudonym: self.archive.incoming(sent) for sent in newest.values()})
        batch.superseded = len(some) - len(newest)
        batch.complete_epoch = int(is_last)
        reached = replace(self.position, offset=self.position.offset + len(some))
        before = self.table.rows()
        if is_last:
            self.table.complete()
        try:
            apply_batch(self.subscribed, self.archive, 0, batch, expected=self._expected(), reached=reached)
        except RetryableError as error:
            self.pending += some
            return f"to be tried again: {type(error).__name__}"
        self.is_complete |= is_last
        self.position = reached
        self.sent += some
        self.checker.deliver(some)
        self.checker.written(before, self.table.rows())
        return str([(sent.serial, sent.version, sent.number, sent.is_repair) for sent in newest.values()])

    def _expected(self) -> Position:
        # A stream that was never read begins where the store says.
        return self.position if self.position.offset else self.table.store.stream(0).position

    def _crash(self, rng: random.Random) -> str:
        """The process dies when everything is written and nothing committed."""
        some = rng.sample(self.pending, min(1, len(self.pending)))
        batch = Batch(newest={sent.pseudonym: self.archive.incoming(sent) for sent in some})
        before = self.table.rows(), self._ledger()
        reached = replace(self.position, offset=self.position.offset + 1)
        try:
            over = self._over(_Crashing(self.table.store))
            apply_batch(over, self.archive, 0, batch, expected=self._expected(), reached=reached)
        except CrashError:
            pass
        if before != (self.table.rows(), self._ledger()):
            self.checker.faults.append("4: something is left of a transaction that did not commit")
        return str([(sent.serial, sent.version) for sent in some])

    def _moved(self, rng: random.Random) -> str | None:
        """Another applier takes events to a place that it has read long ago."""
        del rng
        if not self.position.offset:
            return None
        batch = Batch(newest={sent.pseudonym: self.archive.incoming(sent) for sent in self.pending[:1]})
        before = self.table.rows(), self._ledger()
        expected = replace(self.position, offset=self.position.offset - 1)
        try:
            apply_batch(self.subscribed, self.archive, 0, batch, expected=expected, reached=self.position)
        except PositionMovedError:
            if before == (self.table.rows(), self._ledger()):
                return "refused"
        self.checker.faults.append("4: a place that was not expected was moved, or something is left of it")
        return None

    def _sweep(self, rng: random.Random) -> str:
        """A whole sweep; what it asks for comes some time."""
        del rng
        before = self.table.rows()
        while not sweep_stream(self.subscribed, 0).finished:
            pass
        found: set[str] = set()
        is_finished = False
        while not is_finished:
            swept = sweep_rows(self.subscribed)
            found.update(swept.found)
            is_finished = swept.finished
        if self.table.rows() != before:
            self.checker.faults.append("1: a sweep has written to the table")
        self.table.department.want(KEYS.view, 1, sorted(found))
        wanted = [self.registry.newest(one, is_repair=True) for one in self.registry.people]
        repairs = [sent for sent in wanted if sent.pseudonym in found]
        self.pending += repairs
        return f"found {[sent.serial for sent in repairs]}"

    def _retry(self, rng: random.Random) -> str:
        del rng
        self.table.pass_time()
        with self.table.store.ledger() as ledger:
            waiting = ledger.due(1)
        before = self.table.rows()
        retry_parked(self.subscribed, self.archive, waiting)
        self.checker.written(before, self.table.rows())
        return str(sum(map(len, waiting.values())))

    def _hasten(self, rng: random.Random) -> str:
        """A person has everything that is parked tried again."""
        with self.table.store.transaction() as transaction:
            transaction.hasten([sent.pseudonym for sent in self.checker.known.values()])
        return self._retry(rng)

    def _rest(self, rng: random.Random) -> str:
        """Nobody changes anything any more: what is left is delivered, swept, repaired and tried again."""
        seen: list[object] = []
        for turn in range(_REST):
            if self.pending:
                self._apply(self.pending)
                self.pending = []
            self._retry(rng)
            self._sweep(rng)
            held, listed, _ = self._ledger()
            rows = self.table.rows()
            state = rows, listed, [replace(one.entry, applied_at_ms=0) for one in held], list(self.pending)
            if state in seen:
                self.checker.rested(held, listed, rows)
                return f"after {turn} turns"
            seen = [state]
        self.checker.faults.append("6: it never rests")
        return "never"
