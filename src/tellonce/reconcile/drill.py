"""The drill-down: from a stream whose sums differ to the records that do.

Bucket sums are asked of the authority and of every department concerned, then the records of the buckets that differ.
Both sides' pages are walked side by side, so no more than one page of each side is in memory.
Bucket sums may differ merely because changes arrived between two answers; the records decide.
Pure: the clock is passed in, questions and outcomes come out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from tellonce.control.messages import Answer, Inquiry
from tellonce.model.digest import bucket_of
from tellonce.reconcile.compare import StreamId
from tellonce.reconcile.judge import Answered
from tellonce.reconcile.pages import END, Outcome, Page, Wanted, judge_range, page_of
from tellonce.reconcile.policy import ReconciliationPolicy

__all__ = ["DrillDown", "DrillPlan", "Step"]

# An answer with many more bucket sums would be larger than a broker takes by default.
_BUCKETS_ASKED_AT_ONCE = 4096

_NO_RECORDS = ("0" * 32, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillPlan:
    """Whom a drill-down asks about which stream; answers of another epoch are of no use to it."""

    stream: StreamId
    epoch: int
    authority: str
    departments: tuple[str, ...]
    bucket_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a drill-down wants to be sent, and what it has found out."""

    inquiries: tuple[Inquiry, ...]
    outcomes: tuple[Outcome, ...]


class _Question(NamedTuple):
    ask: Literal["buckets", "records"]
    buckets: tuple[int, ...]
    after: str
    sweep: int


def _is_as_asked(answer: Answer, question: _Question, page_records: int, bucket_count: int) -> bool:
    """Whether an answer holds nothing but what was asked for: who answers decides nothing about our memory."""
    asked = frozenset(question.buckets or range(bucket_count))
    if question.ask == "buckets":
        named = [each.bucket for each in answer.buckets]
        return not answer.records and len({*named}) == len(named) and asked.issuperset(named)
    return (
        not answer.buckets
        and len(answer.records) <= page_records
        and all(each.pseudonym > question.after for each in answer.records)
        and asked.issuperset(bucket_of(each.pseudonym, bucket_count) for each in answer.records)
    )


@dataclass(slots=True)
class _Asked:
    """A question that one side has not answered yet in a way that helps."""

    question: _Question
    since_ms: int
    due_ms: int
    """When to ask, or to ask again."""


@dataclass(slots=True)
class _Side:
    """The authority or one department, within one drill-down."""

    name: str
    asked: _Asked | None = None
    sums: dict[int, tuple[str, int]] = field(default_factory=dict[int, tuple[str, int]])
    sums_through: int = 0
    """How many buckets, from the first, have been answered for."""
    buckets: frozenset[int] = frozenset()
    """The ones whose records are walked in this sweep."""
    cursor: str = ""
    """The records up to here are done with."""
    page: Page | None = None
    wanted: Wanted | None = None
    """In a later sweep, the records that the one before left undecided."""
    undecided: dict[str, Answered] = field(default_factory=dict[str, Answered])

    def begin_sweep(self, buckets: frozenset[int], wanted: Wanted | None = None) -> None:
        self.buckets, self.wanted = buckets, wanted
        self.cursor, self.page, self.asked, self.undecided = "", None, None, {}


class DrillDown:
    """One drill-down of one stream, for one or several departments. Not thread-safe."""

    def __init__(
        self, plan: DrillPlan, policy: ReconciliationPolicy, *, new_id: Callable[[], str], now_ms: int
    ) -> None:
        self.plan = plan
        self.left_out: dict[str, str] = {}
        """The departments that were not concluded about, and why."""
        self._policy = policy
        self._new_id = new_id
        self._gives_up_ms = now_ms + _ms(policy.drill_patience_seconds)
        self._authority = _Side(plan.authority)
        self._departments = {name: _Side(name) for name in plan.departments}
        self._inquiries: dict[str, _Question] = {}
        self._outcomes: list[Outcome] = []
        self._sweep = 0
        self._resumes_ms: int | None = None

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to ask: every department is concluded about or left out."""
        return not self._departments

    @property
    def undecided(self) -> int:
        """How many records are waiting for positions that allow a verdict."""
        return sum(len(side.undecided or side.wanted or {}) for side in self._departments.values())

    def take(self, answer: Answer, now_ms: int) -> bool:
        """Takes an answer into account; tells False where it answers nothing that is being asked."""
        side = self._authority if answer.department == self.plan.authority else self._departments.get(answer.department)
        question = self._inquiries.get(answer.inquiry_id)
        if question is None or side is None or side.asked is None or side.asked.question != question:
            return False
        if answer.epoch != self.plan.epoch or answer.position == 0 or not self._fits(side, question, answer):
            side.asked.due_ms = now_ms + _ms(self._policy.undecided_pause_seconds)
        else:
            side.asked = None
        return True

    def advance(self, now_ms: int) -> Step:
        """Does what can be done now, and gives what is to be sent and what was found out."""
        if now_ms >= self._gives_up_ms:
            self.give_up("it took too long")
        self._lose_patience(now_ms)
        if self._sweep == 0:
            self._gather_sums(now_ms)
        elif self._resumes_ms is not None and now_ms >= self._resumes_ms:
            self._begin_next_sweep()
        if self._sweep and self._resumes_ms is None and not self.is_finished:
            self._walk(now_ms)
        outcomes, self._outcomes = tuple(self._outcomes), []
        return Step(inquiries=self._due_inquiries(now_ms), outcomes=outcomes)

    def give_up(self, why: str) -> None:
        """Leaves out whoever is not concluded about yet, and so ends."""
        for side in tuple(self._departments.values()):
            self._leave_out(side, why)

    def _fits(self, side: _Side, question: _Question, answer: Answer) -> bool:
        if not _is_as_asked(answer, question, self._policy.page_records, self.plan.bucket_count):
            return False
        if question.ask == "buckets":
            side.sums.update({each.bucket: (each.sum, each.count) for each in answer.buckets})
            side.sums_through += len(question.buckets) or self.plan.bucket_count
            return True
        side.page = page_of(answer, question.after)
        return side.page is not None

    def _gather_sums(self, now_ms: int) -> None:
        waiting = False
        for side in (self._authority, *self._departments.values()):
            if side.sums_through < self.plan.bucket_count:
                waiting = True
                if side.asked is None:
                    self._ask(side, _Question("buckets", self._next_buckets(side), "", 0), now_ms)
        if not waiting:
            self._compare_sums()

    def _next_buckets(self, side: _Side) -> tuple[int, ...]:
        count = self.plan.bucket_count
        if count <= _BUCKETS_ASKED_AT_ONCE:
            return ()
        return tuple(range(side.sums_through, min(count, side.sums_through + _BUCKETS_ASKED_AT_ONCE)))

    def _compare_sums(self) -> None:
        ours = self._authority.sums
        for side in tuple(self._departments.values()):
            differing = frozenset(
                bucket
                for bucket in ours.keys() | side.sums.keys()
                if ours.get(bucket, _NO_RECORDS) != side.sums.get(bucket, _NO_RECORDS)
            )
            side.sums = {}
            self._found(side, buckets=frozenset(range(self.plan.bucket_count)) - differing)
            side.begin_sweep(differing)
            if not differing:
                del self._departments[side.name]
        self._authority.sums = {}
        self._start_sweep()

    def _start_sweep(self) -> None:
        self._sweep += 1
        self._resumes_ms = None
        self._authority.begin_sweep(frozenset(bucket for side in self._departments.values() for bucket in side.buckets))

    def _begin_next_sweep(self) -> None:
        count = self.plan.bucket_count
        for side in self._departments.values():
            side.begin_sweep(frozenset(bucket_of(each, count) for each in side.undecided), side.undecided)
        self._start_sweep()

    def _walk(self, now_ms: int) -> None:
        """Judges as far as the pages at hand reach, and asks for the next ones."""
        authority = self._authority
        for side in tuple(self._departments.values()):
            self._judge(side)
        page = authority.page
        if page is not None and all(side.cursor >= page.upto for side in self._departments.values()):
            authority.cursor, authority.page = page.upto, None
        if authority.cursor == END:
            self._end_sweep(now_ms)
            return
        for side in (authority, *self._departments.values()):
            if side.page is None and side.asked is None and side.cursor != END:
                self._ask(side, _Question("records", tuple(sorted(side.buckets)), side.cursor, self._sweep), now_ms)

    def _judge(self, side: _Side) -> None:
        ours, theirs = self._authority.page, side.page
        if ours is None or theirs is None or side.cursor >= ours.upto:
            return
        after, upto = side.cursor, min(ours.upto, theirs.upto)
        judged = judge_range(
            ours, theirs, bounds=(after, upto), buckets=(side.buckets, self.plan.bucket_count), wanted=side.wanted
        )
        side.cursor = upto
        if upto == theirs.upto:
            side.page = None
        side.undecided.update(judged.undecided)
        self._outcomes.append(
            Outcome(
                department=side.name,
                buckets=side.buckets,
                bucket_count=self.plan.bucket_count,
                after=after,
                upto=upto,
                wanted=None if side.wanted is None else frozenset(side.wanted),
                findings=judged.findings,
                undecided=frozenset(judged.undecided),
            )
        )
        if len(side.undecided) > self._policy.undecided_kept:
            self._leave_out(side, "it is too far behind")

    def _found(self, side: _Side, *, buckets: frozenset[int]) -> None:
        self._outcomes.append(Outcome(department=side.name, buckets=buckets, bucket_count=self.plan.bucket_count))

    def _end_sweep(self, now_ms: int) -> None:
        for side in tuple(self._departments.values()):
            if not side.undecided:
                del self._departments[side.name]
        self._resumes_ms = now_ms + _ms(self._policy.undecided_pause_seconds)

    def _ask(self, side: _Side, question: _Question, now_ms: int) -> None:
        side.asked = _Asked(question, since_ms=now_ms, due_ms=now_ms)

    def _lose_patience(self, now_ms: int) -> None:
        longest_ms = _ms(self._policy.answer_patience_seconds)
        for side in (self._authority, *self._departments.values()):
            if side.asked is not None and now_ms - side.asked.since_ms >= longest_ms:
                if side is self._authority:
                    self.give_up("the authority gave no usable answer")
                    return
                self._leave_out(side, "it gave no usable answer")

    def _leave_out(self, side: _Side, why: str) -> None:
        self.left_out[side.name] = why
        del self._departments[side.name]

    def _due_inquiries(self, now_ms: int) -> tuple[Inquiry, ...]:
        """One inquiry per question, to all sides that it is due for; a question may be asked several times."""
        if self.is_finished:
            return ()
        due: dict[_Question, list[str]] = {}
        asked: set[_Question] = set()
        for side in (self._authority, *self._departments.values()):
            if side.asked is None:
                continue
            asked.add(side.asked.question)
            if side.asked.due_ms <= now_ms:
                due.setdefault(side.asked.question, []).append(side.name)
                side.asked.due_ms = now_ms + _ms(self._policy.answer_timeout_seconds)
        self._inquiries = {known: question for known, question in self._inquiries.items() if question in asked}
        return tuple(self._inquiry(question, tuple(names), now_ms) for question, names in due.items())

    def _inquiry(self, question: _Question, departments: tuple[str, ...], now_ms: int) -> Inquiry:
        inquiry_id = self._new_id()
        self._inquiries[inquiry_id] = question
        return Inquiry(
            view=self.plan.stream.view,
            partition=self.plan.stream.partition,
            inquiry_id=inquiry_id,
            departments=departments,
            ask=question.ask,
            buckets=question.buckets,
            after=question.after,
            limit=self._policy.page_records,
            at_ms=now_ms,
        )


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
