"""The verdict on one record, rule by rule."""

import pytest

from reconcile.builders import answered, entry
from tellonce.control.messages import PageEntry
from tellonce.model.divergence import DivergenceKind, RecordState
from tellonce.reconcile.judge import Standing, judge

LIVE, DELETED, HELD = RecordState.LIVE, RecordState.DELETED, RecordState.HELD
UNDECIDED, EQUAL = Standing.UNDECIDED, Standing.EQUAL


def live(value: object = "new", *, version: int = 2, sequence: int = 8, epoch: int = 1) -> PageEntry:
    return entry(value, version=version, sequence=sequence, epoch=epoch, state=LIVE)


def deleted(*, version: int = 2, sequence: int = 8, epoch: int = 1) -> PageEntry:
    return entry(None, version=version, sequence=sequence, epoch=epoch, state=DELETED)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_equal_digests_are_equal_data_whatever_the_versions(version: int) -> None:
    """A record that is the same on both sides is no divergence, even if the counters or positions differ."""
    verdict = judge(answered(live("same")), answered(entry("same", version=version), position=1))

    assert verdict is EQUAL


def test_record_deleted_on_both_sides_is_equal() -> None:
    """What adds nothing to either sum is no divergence."""
    assert judge(answered(deleted()), answered(entry(None, version=1, state=DELETED))) is EQUAL
    assert judge(answered(deleted()), answered(None)) is EQUAL
    assert judge(answered(None), answered(None)) is EQUAL


@pytest.mark.parametrize(("position", "expected"), [(7, UNDECIDED), (8, DivergenceKind.STALE)])
def test_lower_version_is_stale_only_once_the_department_has_passed(position: int, expected: object) -> None:
    """A department that has not reached the newer version's sequence is behind, not wrong."""
    verdict = judge(answered(live()), answered(entry("old", version=1), position=position))

    assert verdict is expected


def test_lower_version_is_undecided_where_the_authoritys_record_is_of_another_epoch() -> None:
    """A record that has not been published again in the new epoch cannot have been missed in it."""
    verdict = judge(answered(live(epoch=1), epoch=2), answered(entry("old", version=1), epoch=2))

    assert verdict is UNDECIDED


def test_same_version_with_another_digest_is_altered() -> None:
    """One version is one content, so a different digest is an edit, wherever the positions are."""
    assert judge(answered(live()), answered(entry("edited", version=2), position=1)) is DivergenceKind.ALTERED


def test_row_that_is_gone_is_missing() -> None:
    """A linked row that was deleted behind the service's back is missing, not altered."""
    assert judge(answered(live()), answered(entry(None, version=2))) is DivergenceKind.MISSING


@pytest.mark.parametrize(
    "held", [None, entry(None, version=1, state=DELETED), entry(None, version=1)], ids=["absent", "deleted", "gone"]
)
@pytest.mark.parametrize(("position", "expected"), [(7, UNDECIDED), (8, DivergenceKind.MISSING)])
def test_absent_record_is_missing_only_once_the_department_has_passed(
    held: PageEntry | None, position: int, expected: object
) -> None:
    """A department that has not reached the record's sequence cannot hold it yet."""
    assert judge(answered(live()), answered(held, position=position)) is expected


@pytest.mark.parametrize(
    "held", [entry("newer", version=3), entry(None, version=3, state=DELETED)], ids=["held", "deleted"]
)
def test_department_ahead_of_the_authoritys_page_is_undecided(held: PageEntry) -> None:
    """A department that answered after the record changed again is not measured by the older page."""
    assert judge(answered(live()), answered(held, position=20)) is UNDECIDED


@pytest.mark.parametrize(
    ("state", "expected"),
    [(RecordState.PARKED, DivergenceKind.PARKED), (RecordState.AMBIGUOUS, DivergenceKind.AMBIGUOUS)],
)
@pytest.mark.parametrize("value", ["old", None])
def test_parked_and_ambiguous_records_are_named_so(
    state: RecordState, expected: DivergenceKind, value: str | None
) -> None:
    """A record whose newest event could not be applied is named by why, not by what it looks like."""
    assert judge(answered(live()), answered(entry(value, version=2, state=state))) is expected


def test_parked_record_with_a_newer_event_on_the_way_is_undecided() -> None:
    """Parked counts for the newest event: an older one that parked may be followed by one that applies."""
    held = entry("old", version=1, state=RecordState.PARKED)

    assert judge(answered(live()), answered(held, position=7)) is UNDECIDED
    assert judge(answered(live()), answered(held, position=8)) is DivergenceKind.PARKED


def test_parked_delete_is_parked() -> None:
    """A delete that could not be applied is the department's trouble, not an orphan."""
    held = entry("old", version=2, state=RecordState.PARKED)

    assert judge(answered(deleted()), answered(held)) is DivergenceKind.PARKED


@pytest.mark.parametrize("position", [1, 20])
def test_unpublished_record_is_named_whatever_the_department_holds(position: int) -> None:
    """A record that the authority cannot publish is a divergence of every subscriber."""
    ours = entry("cannot be sent", version=2, sequence=8, state=RecordState.UNPUBLISHED)

    assert judge(answered(ours), answered(entry("old", version=1), position=position)) is DivergenceKind.UNPUBLISHED
    assert judge(answered(ours), answered(None, position=position)) is DivergenceKind.UNPUBLISHED


@pytest.mark.parametrize(("position", "expected"), [(7, UNDECIDED), (8, DivergenceKind.ORPHANED)])
def test_deleted_record_is_orphaned_only_once_the_department_has_passed_its_delete(
    position: int, expected: object
) -> None:
    """A department whose delete is still on its way is behind, though its own sequence is below the page's position."""
    verdict = judge(answered(deleted(), position=10), answered(entry("old", version=1, sequence=2), position=position))

    assert verdict is expected


def test_record_deleted_in_an_earlier_epoch_is_orphaned() -> None:
    """Whoever has come to a later epoch has read every delete of the earlier one."""
    verdict = judge(
        answered(deleted(epoch=1, sequence=50), epoch=2, position=10),
        answered(entry("old", version=1), epoch=2, position=3),
    )

    assert verdict is DivergenceKind.ORPHANED


@pytest.mark.parametrize(
    ("sequence", "position", "expected"),
    [(10, 10, DivergenceKind.ORPHANED), (11, 20, UNDECIDED), (5, 9, UNDECIDED), (5, 30, DivergenceKind.ORPHANED)],
)
def test_record_unknown_to_the_authority_is_orphaned_only_below_its_page(
    sequence: int, position: int, expected: object
) -> None:
    """A record newer than the authority's page is not an orphan, nor one whose delete may still be on its way."""
    verdict = judge(answered(None, position=10), answered(entry("own", sequence=sequence), position=position))

    assert verdict is expected


def test_record_of_an_earlier_epoch_that_the_authority_lost_is_orphaned() -> None:
    """What a restored authority did not publish again is an orphan, whatever its old sequence was."""
    verdict = judge(
        answered(None, epoch=2, position=10), answered(entry("lost", epoch=1, sequence=99), epoch=2, position=3)
    )

    assert verdict is DivergenceKind.ORPHANED


def test_parked_record_that_the_authority_does_not_know_is_parked() -> None:
    """A delete that parked stays parked after a new epoch in which the authority has no such record any more."""
    held = entry("old", version=2, epoch=1, state=RecordState.PARKED)

    assert judge(answered(None, epoch=2), answered(held, epoch=2)) is DivergenceKind.PARKED


def test_out_of_scope_record_counts_like_a_held_one() -> None:
    """A record without a row carries the event's digest and is judged by it."""
    same = entry("new", version=2, state=RecordState.OUT_OF_SCOPE)
    old = entry("old", version=1, state=RecordState.OUT_OF_SCOPE)

    assert judge(answered(live()), answered(same)) is EQUAL
    assert judge(answered(live()), answered(old)) is DivergenceKind.STALE


@pytest.mark.parametrize(
    ("ours", "theirs"), [((1, 10), (2, 10)), ((2, 10), (1, 10)), ((1, 0), (1, 10)), ((1, 10), (1, 0))]
)
def test_pages_of_different_epochs_or_without_position_decide_nothing(
    ours: tuple[int, int], theirs: tuple[int, int]
) -> None:
    """Counters of different epochs do not compare, and position 0 says that the side cannot tell where it is."""
    verdict = judge(
        answered(live(), epoch=ours[0], position=ours[1]),
        answered(entry("edited", version=2), epoch=theirs[0], position=theirs[1]),
    )

    assert verdict is UNDECIDED
