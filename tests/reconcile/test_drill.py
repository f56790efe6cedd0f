"""The drill-down, played against sides that answer from fixed records."""

from collections.abc import Mapping, Sequence

import pytest

from reconcile.builders import AUTHORITY, BUCKETS, FUND, HEALTH, STREAM, Side, entry, ids, pseudonym, side
from tellonce.control.messages import BucketSum, Inquiry
from tellonce.model.digest import bucket_of
from tellonce.model.divergence import DivergenceKind, RecordState
from tellonce.reconcile.drill import DrillDown, DrillPlan
from tellonce.reconcile.pages import Outcome
from tellonce.reconcile.policy import ReconciliationPolicy

POLICY = ReconciliationPolicy(
    answer_timeout_seconds=15, answer_patience_seconds=60, undecided_pause_seconds=2, drill_patience_seconds=900
)


def begin(*departments: str, policy: ReconciliationPolicy = POLICY, bucket_count: int = BUCKETS) -> DrillDown:
    plan = DrillPlan(
        stream=STREAM, epoch=1, authority=AUTHORITY, departments=departments or (FUND,), bucket_count=bucket_count
    )
    return DrillDown(plan, policy, new_id=ids(), now_ms=0)


class Play:
    """Plays a drill-down to its end, with sides that answer at once."""

    def __init__(self, drill: DrillDown, sides: Sequence[Side]) -> None:
        self.drill = drill
        self.sides = {each.name: each for each in sides}
        self.outcomes: list[Outcome] = []
        self.inquiries: list[Inquiry] = []
        self.now_ms = 0

    def step(self, milliseconds: int = 0, *, silent: Sequence[str] = ()) -> "Play":
        """Lets time pass, and every side that is not silent answer what is asked then."""
        self.now_ms += milliseconds
        advanced = self.drill.advance(self.now_ms)
        self.outcomes += advanced.outcomes
        self.inquiries += advanced.inquiries
        for inquiry in advanced.inquiries:
            for name in inquiry.departments:
                if name not in silent:
                    self.drill.take(self.sides[name].answer(inquiry, self.now_ms), self.now_ms)
        return self

    def to_end(self, *, silent: Sequence[str] = ()) -> "Play":
        """Plays until the drill-down is finished."""
        for _ in range(500):
            if self.drill.is_finished:
                return self
            self.step(1000, silent=silent)
        raise AssertionError("the drill-down does not end")

    def found(self, department: str = FUND) -> dict[str, DivergenceKind]:
        """The findings about a department, by pseudonym."""
        return {
            finding.pseudonym: finding.kind
            for outcome in self.outcomes
            if outcome.department == department
            for finding in outcome.findings
        }

    def shown_equal(self, number: int, department: str = FUND) -> bool:
        """Whether some outcome shows a record to be equal."""
        return any(
            outcome.shows_equal(pseudonym(number)) and pseudonym(number) not in self.found(department)
            for outcome in self.outcomes
            if outcome.department == department
        )


def many(name: str, numbers: range, changed: Mapping[int, object] | None = None) -> Side:
    values: dict[int, object] = dict.fromkeys(numbers, "same")
    values.update(changed or {})
    return side(name, values)


def test_finds_each_record_that_differs_and_no_other() -> None:
    """From bucket sums to records: what differs is named with its kind, and nothing else is."""
    ours = many(AUTHORITY, range(200))
    theirs = many(FUND, range(200), {7: "edited", 90: None})
    del theirs.records[pseudonym(150)]
    theirs.records[pseudonym(999)] = entry("own", number=999)

    play = Play(begin(), [ours, theirs]).to_end()

    assert play.found() == {
        pseudonym(7): DivergenceKind.ALTERED,
        pseudonym(90): DivergenceKind.MISSING,
        pseudonym(150): DivergenceKind.MISSING,
        pseudonym(999): DivergenceKind.ORPHANED,
    }


def test_equal_sides_are_done_after_the_bucket_sums() -> None:
    """Where no bucket differs no page is asked, and every record is shown to be equal."""
    play = Play(begin(), [many(AUTHORITY, range(50)), many(FUND, range(50))]).to_end()

    assert [inquiry.ask for inquiry in play.inquiries] == ["buckets"]
    assert play.shown_equal(7)


def test_only_buckets_that_differ_are_paged() -> None:
    """One edited record costs the pages of its own bucket only."""
    play = Play(begin(), [many(AUTHORITY, range(50)), many(FUND, range(50), {7: "edited"})]).to_end()

    pages = [inquiry for inquiry in play.inquiries if inquiry.ask == "records"]
    assert {inquiry.buckets for inquiry in pages} == {(bucket_of(pseudonym(7), BUCKETS),)}


def test_pages_of_both_sides_need_not_end_at_the_same_records() -> None:
    """With small pages and many records at one side only, every record still meets its counterpart."""
    policy = ReconciliationPolicy(page_records=3)
    ours = many(AUTHORITY, range(60))
    theirs = many(FUND, range(40, 120), {50: "edited"})

    play = Play(begin(policy=policy), [ours, theirs]).to_end()

    expected = {pseudonym(number): DivergenceKind.MISSING for number in range(40)}
    expected |= {pseudonym(number): DivergenceKind.ORPHANED for number in range(60, 120)}
    assert play.found() == expected | {pseudonym(50): DivergenceKind.ALTERED}
    assert all(inquiry.limit == 3 for inquiry in play.inquiries)


def test_authority_waits_for_the_slowest_department() -> None:
    """A department with many records of its own needs more pages, and the authority's page is kept for it."""
    policy = ReconciliationPolicy(page_records=4)
    ours = many(AUTHORITY, range(40), {3: "new"})
    crowded = many(FUND, range(200), {3: "old"})

    play = Play(begin(FUND, HEALTH, policy=policy), [ours, crowded, many(HEALTH, range(0))]).to_end()

    assert play.found(FUND) == {pseudonym(3): DivergenceKind.ALTERED} | {
        pseudonym(number): DivergenceKind.ORPHANED for number in range(40, 200)
    }
    assert play.found(HEALTH) == {pseudonym(number): DivergenceKind.MISSING for number in range(40)}


def test_no_more_than_a_page_of_each_side_is_kept() -> None:
    """A stream that differs everywhere is walked in bounded memory."""
    policy = ReconciliationPolicy(page_records=5)
    play = Play(begin(policy=policy), [many(AUTHORITY, range(100)), side(FUND, {})])

    largest = 0
    while not play.drill.is_finished:
        play.step(1000)
        everyone = (play.drill._authority, *play.drill._departments.values())
        largest = max(largest, *(len(each.page.entries) if each.page else 0 for each in everyone))

    assert len(play.found()) == 100
    assert largest == 5


def test_departments_of_one_stream_share_the_authoritys_answers() -> None:
    """Two departments that differ are asked together, and the authority answers each question once."""
    ours = many(AUTHORITY, range(50))
    sides = [ours, many(FUND, range(50), {7: "edited"}), many(HEALTH, range(50), {7: None})]

    play = Play(begin(FUND, HEALTH), sides).to_end()

    assert play.found(FUND) == {pseudonym(7): DivergenceKind.ALTERED}
    assert play.found(HEALTH) == {pseudonym(7): DivergenceKind.MISSING}
    asked = [(each.ask, each.after) for each in play.inquiries if AUTHORITY in each.departments]
    assert len(asked) == len(set(asked)) == 2


def test_bucket_sums_of_different_positions_accuse_nobody() -> None:
    """Sums that differ because of a change between two answers lead to pages, and these show that nothing is wrong."""
    ours = many(AUTHORITY, range(20))
    ours.records[pseudonym(3)] = entry("new", number=3, version=2, sequence=10, state=RecordState.LIVE)
    theirs = many(FUND, range(20))
    theirs.position = 9
    play = Play(begin(), [ours, theirs]).step(1000).step(1000).step(1000)
    assert play.found() == {}
    assert play.drill.undecided == 1

    theirs.records[pseudonym(3)] = entry("new", number=3, version=2, sequence=10)
    theirs.position = 10
    play.to_end()

    assert play.found() == {}
    assert play.shown_equal(3)


def test_undecided_records_are_asked_again_until_decided() -> None:
    """A record whose positions leave its verdict open keeps the drill-down open, and is named once they allow it."""
    ours = many(AUTHORITY, range(20))
    ours.records[pseudonym(3)] = entry("new", number=3, version=2, sequence=10, state=RecordState.LIVE)
    theirs = many(FUND, range(20))
    theirs.position = 9
    play = Play(begin(), [ours, theirs])
    for _ in range(20):
        play.step(1000)
    assert not play.drill.is_finished

    theirs.position = 12
    play.to_end()

    assert play.found() == {pseudonym(3): DivergenceKind.STALE}


def test_later_sweeps_judge_only_what_was_undecided() -> None:
    """Under a live load other records of the same bucket differ for a moment; they must not keep it open for ever."""
    ours = many(AUTHORITY, range(20))
    ours.records[pseudonym(3)] = entry("new", number=3, version=2, sequence=11, state=RecordState.LIVE)
    theirs = many(FUND, range(20))
    play = Play(begin(), [ours, theirs]).step(1000).step(1000).step(1000)
    neighbour = next(n for n in range(100, 999) if bucket_of(pseudonym(n), 16) == bucket_of(pseudonym(3), 16))

    ours.records[pseudonym(neighbour)] = entry("late", number=neighbour, sequence=99, state=RecordState.LIVE)
    theirs.position = 11
    play.to_end()

    assert play.found() == {pseudonym(3): DivergenceKind.STALE}


def test_department_always_a_little_behind_is_judged_by_what_the_authority_said_before() -> None:
    """A record of a stream that never rests is decided: the next answer has passed what the authority answered last."""
    ours = many(AUTHORITY, range(20))
    theirs = many(FUND, range(20))
    theirs.records[pseudonym(99)] = entry("own", number=99, sequence=5)
    play = Play(begin(), [ours, theirs])

    for position in range(100, 400, 10):
        ours.position, theirs.position = position, position - 5
        play.step(1000)

    assert play.found() == {pseudonym(99): DivergenceKind.ORPHANED}
    assert play.drill.is_finished


def test_silent_department_is_asked_again_after_the_time_out() -> None:
    """An inquiry or answer that was lost is made good by asking again, under a new id."""
    play = Play(begin(), [many(AUTHORITY, range(5)), many(FUND, range(5))])
    play.step(silent=[FUND])
    assert not play.step(14_000).inquiries[1:]

    play.step(1_000)

    assert [inquiry.departments for inquiry in play.inquiries] == [(AUTHORITY, FUND), (FUND,)]
    assert play.step(1).drill.is_finished


def test_silent_department_is_left_out_and_does_not_hold_up_others() -> None:
    """One department that is down does not keep the others' divergences from being named."""
    sides = [many(AUTHORITY, range(50)), many(FUND, range(50), {7: "edited"}), many(HEALTH, range(50))]

    play = Play(begin(FUND, HEALTH), sides).to_end(silent=[HEALTH])

    assert play.found(FUND) == {pseudonym(7): DivergenceKind.ALTERED}
    assert set(play.drill.left_out) == {HEALTH}
    assert not any(outcome.department == HEALTH for outcome in play.outcomes)


def test_silent_authority_ends_the_drill_down_without_a_word() -> None:
    """Without the authority's answers nothing is concluded about anybody."""
    play = Play(begin(), [many(AUTHORITY, range(5)), side(FUND, {})]).to_end(silent=[AUTHORITY])

    assert play.outcomes == []
    assert set(play.drill.left_out) == {FUND}


def test_answer_at_position_zero_is_asked_again_later() -> None:
    """A side that cannot tell its position concludes nothing, and is asked again after a pause, not at once."""
    theirs = many(FUND, range(5), {3: "edited"})
    theirs.position = 0
    play = Play(begin(), [many(AUTHORITY, range(5)), theirs]).step()
    assert not play.step(1_999).outcomes
    assert len(play.inquiries) == 1
    theirs.position = 10

    play.to_end()

    assert play.inquiries[1].departments == (FUND,)
    assert play.found() == {pseudonym(3): DivergenceKind.ALTERED}


def test_answer_of_another_epoch_is_asked_again_later() -> None:
    """Counters of another epoch cannot be compared, so such an answer counts as none."""
    theirs = many(FUND, range(5), {3: "edited"})
    theirs.epoch = 2
    play = Play(begin(), [many(AUTHORITY, range(5)), theirs])
    for _ in range(10):
        play.step(1000)
    assert not play.outcomes
    theirs.epoch = 1

    play.to_end()

    assert play.found() == {pseudonym(3): DivergenceKind.ALTERED}


def test_answers_that_nobody_asked_for_are_refused() -> None:
    """Answers to unknown inquiries, of departments not asked, and duplicates change nothing."""
    ours, theirs = many(AUTHORITY, range(5)), many(FUND, range(5))
    drill = begin()
    inquiry = drill.advance(0).inquiries[0]
    unknown = inquiry.model_copy(update={"inquiry_id": "another"})

    taken = [
        drill.take(ours.answer(unknown), 0),
        drill.take(many(HEALTH, range(5)).answer(inquiry), 0),
        drill.take(theirs.answer(inquiry), 0),
        drill.take(theirs.answer(inquiry), 0),
    ]

    assert taken == [False, False, True, False]


@pytest.mark.parametrize(
    ("ask", "more"),
    [
        ("buckets", {"records": (entry("held", number=1),)}),
        ("buckets", {"buckets": (BucketSum(bucket=BUCKETS, sum="0" * 32, count=1),)}),
        ("buckets", {"buckets": (BucketSum(bucket=1, sum="0" * 32, count=1),) * 2}),
        ("records", {"buckets": (BucketSum(bucket=1, sum="0" * 32, count=1),)}),
        ("records", {"records": tuple(entry("held", number=n) for n in range(BUCKETS))}),
        ("records", {"records": (entry("held", number=7),) * (POLICY.page_records + 1)}),
    ],
)
def test_answer_with_more_than_was_asked_for_is_not_used(ask: str, more: dict[str, object]) -> None:
    """Whoever answers decides nothing about what is kept: the question stays open until it is answered as asked."""
    ours, theirs = many(AUTHORITY, range(50)), many(FUND, range(50), {7: "edited"})
    drill = begin()
    question = drill.advance(0).inquiries[0]
    if ask == "records":
        for each in (ours, theirs):
            drill.take(each.answer(question), 0)
        question = drill.advance(0).inquiries[0]
    drill.take(ours.answer(question), 0)

    drill.take(theirs.answer(question).model_copy(update=more), 0)

    assert drill.advance(1_999).inquiries == ()
    (again,) = drill.advance(2_000).inquiries
    assert (again.ask, again.departments) == (question.ask, (FUND,))


def test_page_that_does_not_lead_on_is_not_followed() -> None:
    """A side that answers with the page before again cannot keep the reconciler asking for ever."""
    ours, theirs = many(AUTHORITY, range(50)), many(FUND, range(50), {7: "edited"})
    drill = begin()
    first = drill.advance(0).inquiries[0]
    for each in (ours, theirs):
        drill.take(each.answer(first), 0)
    page = drill.advance(0).inquiries[0]
    drill.take(ours.answer(page), 0)
    stuck = theirs.answer(page).model_copy(update={"records": (), "next_after": ""})
    moving = drill.take(stuck.model_copy(update={"next_after": pseudonym(7)}), 0)
    asked = drill.advance(0).inquiries[0]

    drill.take(stuck.model_copy(update={"inquiry_id": asked.inquiry_id, "next_after": asked.after}), 0)

    assert moving
    assert drill.advance(1_999).inquiries == ()
    assert [each.after for each in drill.advance(2_000).inquiries] == [asked.after]


def test_record_that_never_settles_ends_with_the_patience() -> None:
    """A drill-down that cannot be decided is given up, with what it has found, so that a new one can begin."""
    ours = many(AUTHORITY, range(20))
    ours.records[pseudonym(3)] = entry("new", number=3, version=2, sequence=11, state=RecordState.LIVE)
    theirs = many(FUND, range(20), {5: "edited"})
    play = Play(begin(policy=ReconciliationPolicy(drill_patience_seconds=30)), [ours, theirs])

    play.to_end()

    assert play.now_ms == 30_000
    assert play.found() == {pseudonym(5): DivergenceKind.ALTERED}
    assert set(play.drill.left_out) == {FUND}
    assert not play.shown_equal(3)


def test_department_far_behind_is_left_out() -> None:
    """A department that lacks more records than are kept undecided is plainly not there yet."""
    ours = many(AUTHORITY, range(100))
    theirs = side(FUND, {})
    ours.position, theirs.position = 10, 0
    theirs.position = 1
    ours.records = {key: each.model_copy(update={"sequence": 5}) for key, each in ours.records.items()}
    policy = ReconciliationPolicy(undecided_kept=50, page_records=20)

    play = Play(begin(policy=policy), [ours, theirs]).to_end()

    assert play.found() == {}
    assert set(play.drill.left_out) == {FUND}


def test_many_buckets_are_asked_in_groups() -> None:
    """No answer has more bucket sums than a message can carry."""
    ours, theirs = side(AUTHORITY, {}), side(FUND, {})

    play = Play(begin(bucket_count=10_000), [ours, theirs]).to_end()

    assert [len(inquiry.buckets) for inquiry in play.inquiries] == [4096, 4096, 1808]
