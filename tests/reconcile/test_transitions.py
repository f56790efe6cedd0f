"""The steps in the life of one divergence."""

import pytest

from reconcile.builders import FUND, STREAM, answered, digest, divergence, entry, finding, may_become, pseudonym
from tellonce.control.messages import DivergenceEvent
from tellonce.model.divergence import DivergenceKind, DivergenceState, RecordState, divergence_id
from tellonce.reconcile.judge import Finding
from tellonce.reconcile.policy import ReconciliationPolicy
from tellonce.reconcile.transitions import accepted, found_again, is_changed, opened, repairing, resolved

POLICY = ReconciliationPolicy(repair_patience_seconds=100, repairs_in_vain=3)
OPEN, REPAIRING = DivergenceState.OPEN, DivergenceState.REPAIRING
EXPLAINED, ACCEPTED = DivergenceState.EXPLAINED, DivergenceState.ACCEPTED


def seen(
    *, right: str = "right", wrong: object = "wrong", version: int = 1, sequence: int = 1, position: int = 10
) -> Finding:
    """An altered record as both sides answered for it."""
    return finding(
        authority=answered(entry(right, version=version, sequence=sequence, state=RecordState.LIVE)),
        department=answered(entry(wrong, version=version), position=position),
    )


def again(before: DivergenceEvent, found: Finding, now_ms: int = 1) -> DivergenceEvent:
    after = found_again(before, found, POLICY, now_ms)
    assert after.state is before.state or may_become(before.state, after.state)
    return after


def test_new_finding_is_opened_with_both_sides_facts() -> None:
    """A divergence says what each side has, so that its part of a stream's difference is known."""
    found = seen(version=3, sequence=7)

    event = opened(FUND, STREAM, found, now_ms=5)

    assert event.state is OPEN
    assert event.divergence_id == divergence_id("citizen.identity", FUND, pseudonym(1))
    assert (event.authority_version, event.authority_sequence) == (3, 7)
    assert (event.authority_digest, event.department_digest) == (digest("right"), digest("wrong"))
    assert (event.opened_at_ms, event.repairs) == (5, 0)


def test_record_that_one_side_does_not_have_adds_nothing() -> None:
    """An orphan has no authority's digest, and a missing record no department's."""
    orphan = finding(DivergenceKind.ORPHANED, authority=answered(None))
    missing = finding(DivergenceKind.MISSING, department=answered(None))

    assert opened(FUND, STREAM, orphan, 0).authority_digest is None
    assert opened(FUND, STREAM, missing, 0).department_digest is None


def test_same_finding_again_is_no_news() -> None:
    """An open divergence that is found once more as it was is not written again."""
    before = opened(FUND, STREAM, seen(), 0)

    assert not is_changed(before, again(before, seen()))


def test_open_divergence_takes_over_changed_facts() -> None:
    """What a department holds now is what its part of the difference is."""
    after = again(divergence(), seen(wrong="another"))

    assert after.state is OPEN
    assert after.department_digest == digest("another")


def test_repair_not_yet_published_stays_repairing() -> None:
    """Before the authority has published the record again nothing can be said about the repair."""
    assert again(divergence(state=REPAIRING), seen()).state is REPAIRING


def test_repair_on_its_way_stays_repairing() -> None:
    """A published repair that the department has not reached is not a repair that failed."""
    on_its_way = again(divergence(state=REPAIRING), seen(sequence=11, position=10))

    assert on_its_way.state is REPAIRING
    assert again(on_its_way, seen(sequence=11, position=11)).state is EXPLAINED


def test_repair_that_reads_back_the_same_is_explained() -> None:
    """A repair that was applied and changed nothing is not ordered again: the binding holds it differently."""
    after = again(divergence(state=REPAIRING, repairs=1), seen(sequence=9, position=10))

    assert after.state is EXPLAINED
    assert after.note is not None


def test_repair_that_reads_back_something_else_is_open_again() -> None:
    """A record that differs in another way after a repair is a finding of its own."""
    after = again(divergence(state=REPAIRING, repairs=1), seen(wrong="another", sequence=9))

    assert after.state is OPEN


def test_repairs_in_vain_end_as_explained() -> None:
    """A row that something changes anew after each repair is not repaired for ever."""
    after = again(divergence(state=REPAIRING, repairs=3), seen(wrong="another", sequence=9))

    assert after.state is EXPLAINED


def test_order_that_is_not_carried_out_is_given_up() -> None:
    """A repair that the authority never publishes is open again after the patience, and may be ordered again."""
    before = divergence(state=REPAIRING, at_ms=1_000)

    assert again(before, seen(), now_ms=100_999).state is REPAIRING
    assert again(before, seen(), now_ms=101_000).state is OPEN


def test_repair_of_a_record_the_authority_does_not_know_is_explained() -> None:
    """Ordering again what the authority cannot publish would go on for ever."""
    orphan = finding(DivergenceKind.ORPHANED, authority=answered(None))
    before = divergence(
        kind=DivergenceKind.ORPHANED, state=REPAIRING, authority_version=0, authority_sequence=0, authority_digest=None
    )

    assert again(before, orphan, now_ms=100_000).state is EXPLAINED


@pytest.mark.parametrize("state", [REPAIRING, EXPLAINED, ACCEPTED])
def test_new_version_at_the_authority_opens_it_again(state: DivergenceState) -> None:
    """What was tried, explained or accepted was so for one version of the record."""
    after = again(divergence(state=state, repairs=3), seen(right="newer", version=2, sequence=5))

    assert after.state is OPEN
    assert after.repairs == 0


def test_explained_stays_explained_while_nothing_changes() -> None:
    """Publishing the same version once more, for somebody else, is no reason to order again."""
    assert again(divergence(state=EXPLAINED), seen(sequence=50)).state is EXPLAINED


def test_explained_is_open_again_when_the_department_holds_something_else() -> None:
    """A changed binding or row shows as another digest, and may be repaired again."""
    assert again(divergence(state=EXPLAINED), seen(wrong="another")).state is OPEN


def test_accepted_stays_whatever_the_department_holds() -> None:
    """A person accepted the department's difference; only the authority's version ends that."""
    before = accepted(divergence(), by="Li", reason="file is closed", decision_id="d-1", now_ms=1)

    after = again(before, seen(wrong="another"))

    assert (after.state, after.by, after.note) == (ACCEPTED, "Li", "file is closed")
    assert after.department_digest == digest("another")


def test_accepted_stays_in_a_new_epoch() -> None:
    """Publishing every record again under a new epoch does not change what a person accepted."""
    ours, theirs = entry("right", epoch=2, state=RecordState.LIVE), entry("wrong", epoch=2)
    renewed = finding(authority=answered(ours, epoch=2), department=answered(theirs, epoch=2))

    assert again(divergence(state=ACCEPTED), renewed).state is ACCEPTED


def test_repairing_names_order_and_count() -> None:
    """How often a record was repaired, by which order and by whom, stays with it."""
    after = repairing(divergence(repairs=1), "order-1", by="Li", now_ms=3)

    assert (after.state, after.order_id, after.repairs, after.by, after.at_ms) == (REPAIRING, "order-1", 2, "Li", 3)


def test_resolved_says_when() -> None:
    """The end of a divergence is a message of its own."""
    after = resolved(divergence(), 9)

    assert (after.state, after.at_ms) == (DivergenceState.RESOLVED, 9)
