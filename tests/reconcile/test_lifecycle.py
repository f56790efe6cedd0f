"""The known divergences, and what changes them."""

from dataclasses import replace
from itertools import pairwise

import pytest

from reconcile.builders import (
    BUCKETS,
    FUND,
    HEALTH,
    STREAM,
    digest,
    divergence,
    finding,
    may_become,
    pseudonym,
)
from tellonce.control.messages import DivergenceEvent
from tellonce.model.digest import MODULUS, bucket_of, from_hex
from tellonce.model.divergence import DivergenceState
from tellonce.reconcile.judge import Finding
from tellonce.reconcile.lifecycle import DivergenceBook
from tellonce.reconcile.pages import END, Outcome
from tellonce.reconcile.policy import ReconciliationPolicy
from tellonce.reconcile.transitions import accepted, repairing

ALL = frozenset(range(BUCKETS))


def book(*events: DivergenceEvent) -> DivergenceBook:
    made = DivergenceBook(ReconciliationPolicy())
    for event in events:
        made.load(event)
    return made


def outcome(
    *findings: Finding,
    buckets: frozenset[int] = ALL,
    upto: str = END,
    wanted: frozenset[str] | None = None,
    undecided: frozenset[str] = frozenset(),
) -> Outcome:
    return Outcome(
        department=FUND,
        buckets=buckets,
        bucket_count=BUCKETS,
        upto=upto,
        wanted=wanted,
        findings=findings,
        undecided=undecided,
    )


def states(events: tuple[DivergenceEvent, ...]) -> list[tuple[str, DivergenceState]]:
    return [(event.pseudonym, event.state) for event in events]


def test_finding_is_opened_once() -> None:
    """A record that is found again as it was gives no second message."""
    known = book()

    first = known.note(STREAM, outcome(finding(number=1), finding(number=2)), 1)
    second = known.note(STREAM, outcome(finding(number=1), finding(number=2)), 2)

    assert states(first) == [(pseudonym(1), DivergenceState.OPEN), (pseudonym(2), DivergenceState.OPEN)]
    assert second == ()


def test_divergence_that_is_no_longer_found_is_resolved() -> None:
    """A drill-down that looked at a record and found no difference ends its divergence."""
    known = book(divergence(1), divergence(2))

    changes = known.note(STREAM, outcome(finding(number=2)), 1)

    assert states(changes) == [(pseudonym(1), DivergenceState.RESOLVED)]
    assert list(known.of(FUND, STREAM)) == [pseudonym(2)]


def test_divergence_that_was_not_looked_at_stays() -> None:
    """Other buckets, pages not reached, undecided records and other departments say nothing about a divergence."""
    elsewhere = divergence(2, department=HEALTH)
    known = book(divergence(1), elsewhere)

    changes = [
        known.note(STREAM, outcome(buckets=ALL - {bucket_of(pseudonym(1), BUCKETS)}), 1),
        known.note(STREAM, outcome(upto="0"), 1),
        known.note(STREAM, outcome(wanted=frozenset({pseudonym(9)})), 1),
        known.note(STREAM, outcome(undecided=frozenset({pseudonym(1)})), 1),
    ]

    assert changes == [(), (), (), ()]
    assert len(tuple(known)) == 2


def test_resolved_divergence_comes_back_under_the_same_id() -> None:
    """A record that differs again is the same divergence, opened anew."""
    known = book()
    (first,) = known.note(STREAM, outcome(finding()), 1)
    known.note(STREAM, outcome(), 2)

    (again,) = known.note(STREAM, outcome(finding()), 3)

    assert again.divergence_id == first.divergence_id
    assert (again.state, again.opened_at_ms) == (DivergenceState.OPEN, 3)


def test_equal_sums_resolve_what_was_seen_before() -> None:
    """A department that attests the authority's sum holds every record as the authority does."""
    known = book(divergence(1, seen_at_ms=100), divergence(2, state=DivergenceState.ACCEPTED, seen_at_ms=100))

    changes = known.note_equal(FUND, STREAM, attested_at_ms=101, now_ms=1)

    assert {event.state for event in changes} == {DivergenceState.RESOLVED}
    assert tuple(known) == ()


def test_older_attestation_resolves_nothing() -> None:
    """What a department stated before it answered otherwise cannot show that the difference is over."""
    known = book(divergence(seen_at_ms=100))

    assert known.note_equal(FUND, STREAM, attested_at_ms=100, now_ms=1) == ()


def test_seeing_again_moves_the_time_without_a_message() -> None:
    """A divergence seen once more needs a newer attestation to be resolved, though nothing is written."""
    known = book()
    known.note(STREAM, outcome(finding(seen_at_ms=100)), 1)

    changes = known.note(STREAM, outcome(finding(seen_at_ms=200)), 2)

    assert changes == ()
    assert known.note_equal(FUND, STREAM, attested_at_ms=150, now_ms=3) == ()


def test_difference_is_the_sum_of_the_known_ones() -> None:
    """What the known divergences add to a department's sum, less what they add to the authority's."""
    known = book(
        divergence(1),
        divergence(2, department_digest=None),
        divergence(3, authority_digest=None, authority_version=0),
        divergence(4, department=HEALTH),
    )

    difference = known.difference(FUND, STREAM)

    right, wrong = from_hex(digest("right")), from_hex(digest("wrong"))
    assert difference == ((wrong - right - right + wrong) % MODULUS, 0)


def test_no_more_divergences_of_a_department_are_known_than_the_policy_says() -> None:
    """A department that answers nonsense without end fills nobody's memory, and takes no room from the others."""
    known = DivergenceBook(ReconciliationPolicy(divergences_kept=3))
    known.load(divergence(1))

    known.note(STREAM, outcome(*(finding(number=number) for number in range(1, 9))), 1)
    known.note(STREAM, replace(outcome(finding(number=2)), department=HEALTH), 1)

    assert sum(event.department == FUND for event in known) == 3
    assert sum(event.department == HEALTH for event in known) == 1


def test_newest_loaded_state_holds() -> None:
    """After a restart a divergence is as the last message said, and a resolved one is forgotten."""
    known = book(
        divergence(1),
        divergence(1, state=DivergenceState.REPAIRING),
        divergence(2),
        divergence(2, state=DivergenceState.RESOLVED),
    )

    assert states(tuple(known)) == [(pseudonym(1), DivergenceState.REPAIRING)]


def test_ended_subscription_ends_its_divergences() -> None:
    """A department that is no longer entitled to the view is not held to it."""
    known = book(divergence(1), divergence(2, department=HEALTH))

    changes = known.note_ended({(HEALTH, "citizen.identity")}, 1)

    assert states(changes) == [(pseudonym(1), DivergenceState.RESOLVED)]


def decision(by: str = "Li", id_: str = "d-1") -> DivergenceEvent:
    """What a person decided about the first divergence."""
    return accepted(divergence(1), by=by, reason="closed", decision_id=id_, now_ms=5)


def test_acceptance_by_a_person_is_joined_with_what_is_known_by_now() -> None:
    """A message of ours may have crossed the person's: what it says of the two sides stays."""
    known = book(divergence(1, department_digest=digest("newer facts")))

    (written,) = known.take_decision(decision(), 6)

    assert (written.state, written.by, written.note) == (DivergenceState.ACCEPTED, "Li", "closed")
    assert written.department_digest == digest("newer facts")
    assert tuple(known) == (written,)


def test_decision_is_carried_out_once() -> None:
    """After a restart the newest decision is read again, and may be over by now."""
    known = book(divergence(1))
    known.take_decision(decision(), 6)
    known.take_decision(decision("Wu", "d-2"), 8)

    assert known.take_decision(decision("Wu", "d-2"), 9) == ()
    assert [event.by for event in known] == ["Wu"]


def test_decision_is_about_one_life_of_a_divergence() -> None:
    """A record that differs again is another matter than the one that was accepted years ago."""
    known = book(divergence(1).model_copy(update={"opened_at_ms": 99}))

    assert known.take_decision(decision(), 100) == ()
    assert states(tuple(known)) == [(pseudonym(1), DivergenceState.OPEN)]


@pytest.mark.parametrize("state", [DivergenceState.OPEN, DivergenceState.EXPLAINED, DivergenceState.ACCEPTED])
def test_repair_by_a_person_goes_only_from_open(state: DivergenceState) -> None:
    """What was explained or accepted is open again before it is repaired."""
    before = divergence(1, state=state)
    ordered = repairing(before, "o-1", by="Li", now_ms=5).model_copy(update={"decision_id": "o-1"})

    changes = book(before).take_decision(ordered, 6)

    path = [state, *(event.state for event in changes)]
    assert path[-1] is DivergenceState.REPAIRING
    assert all(may_become(old, new) for old, new in pairwise(path))


def test_acceptance_of_a_version_that_is_past_does_not_hold() -> None:
    """A person who accepted what the authority said before has not accepted what it says now."""
    known = book(divergence(1, authority_version=2))

    (written,) = known.take_decision(decision(), 6)

    assert written.state is DivergenceState.OPEN
    assert written.authority_version == 2


def test_decision_about_a_resolved_divergence_is_ignored() -> None:
    """Accepting what is over does not bring it back."""
    known = book()

    assert known.take_decision(decision(), 6) == ()
    assert tuple(known) == ()


def test_order_marks_exactly_its_divergences() -> None:
    """Divergences for which an order was given are repairing, the others are not."""
    known = book(divergence(1), divergence(2))

    changes = known.note_ordered({divergence(1).divergence_id: "order-1"}, 1)

    assert states(changes) == [(pseudonym(1), DivergenceState.REPAIRING)]
    assert changes[0].order_id == "order-1"
