"""Comparing marks with attestations of the same position."""

from reconcile.builders import FUND, HEALTH, STREAM, attestation, digest, mark, pseudonym
from tellonce.model.digest import from_hex
from tellonce.reconcile.compare import Comparisons

ONE = {pseudonym(1): digest("one")}
TWO = ONE | {pseudonym(2): digest("two")}


def comparisons(*, marks_kept: int = 100, attestations_kept: int = 100) -> Comparisons:
    return Comparisons(marks_kept=marks_kept, attestations_kept=attestations_kept)


def test_equal_sums_at_the_same_position_prove_the_stream() -> None:
    """Equal sum and count at one (epoch, sequence) are equal data there."""
    compared = comparisons()

    compared.take_mark(mark(5, ONE))
    compared.take_attestation(attestation(5, ONE))

    reached = compared.reached(FUND, STREAM)
    assert reached.comparison is not None
    assert reached.comparison.is_equal
    assert reached.proved is not None
    assert reached.proved.place == (1, 5)


def test_statements_of_different_positions_are_never_compared() -> None:
    """A department that is at another sequence is not compared with a mark it has not reached."""
    compared = comparisons()

    compared.take_mark(mark(6, TWO))
    compared.take_attestation(attestation(5, ONE))

    assert compared.reached(FUND, STREAM).comparison is None


def test_a_mark_may_arrive_after_the_attestation() -> None:
    """The order in which two topics are read does not matter to the comparison."""
    compared = comparisons()

    compared.take_attestation(attestation(5, ONE))
    compared.take_mark(mark(5, ONE))

    comparison = compared.reached(FUND, STREAM).comparison
    assert comparison is not None
    assert comparison.is_equal


def test_difference_is_department_minus_authority_modulo_the_sum() -> None:
    """A record that only the authority has makes the difference minus its digest, and one record less."""
    compared = comparisons()

    compared.take_mark(mark(5, TWO))
    compared.take_attestation(attestation(5, ONE))

    comparison = compared.reached(FUND, STREAM).comparison
    assert comparison is not None
    assert comparison.difference == (-from_hex(digest("two")) % 2**128, -1)


def test_equal_sums_of_different_counts_are_not_equal() -> None:
    """The count is part of the statement: records whose digests sum to zero do not slip in."""
    compared = comparisons()
    empty = {pseudonym(2): "0" * 32}

    compared.take_mark(mark(5, ONE))
    compared.take_attestation(attestation(5, ONE | empty))

    comparison = compared.reached(FUND, STREAM).comparison
    assert comparison is not None
    assert not comparison.is_equal


def test_each_department_is_compared_by_itself() -> None:
    """One department's attestation says nothing about another."""
    compared = comparisons()

    compared.take_mark(mark(5, ONE))
    compared.take_attestation(attestation(5, ONE, department=FUND))

    assert compared.reached(HEALTH, STREAM).comparison is None


def test_newest_pair_counts_and_proof_stays_known() -> None:
    """After a later pair that differs, it is still said at which sequence the stream was proved."""
    compared = comparisons()
    for sequence, held in ((5, ONE), (6, {})):
        compared.take_mark(mark(sequence, ONE))
        compared.take_attestation(attestation(sequence, held))

    reached = compared.reached(FUND, STREAM)

    assert reached.comparison is not None
    assert reached.comparison.mark.place == (1, 6)
    assert not reached.comparison.is_equal
    assert reached.proved is not None
    assert reached.proved.sequence == 5


def test_a_later_attestation_of_the_same_position_replaces_the_earlier() -> None:
    """A sweep that finds an edited row attests again at the same sequence, and that is what counts."""
    compared = comparisons()
    compared.take_mark(mark(5, ONE))
    compared.take_attestation(attestation(5, ONE, at_ms=1))

    compared.take_attestation(attestation(5, {}, at_ms=2))

    comparison = compared.reached(FUND, STREAM).comparison
    assert comparison is not None
    assert not comparison.is_equal


def test_an_old_attestation_that_arrives_late_is_ignored() -> None:
    """A paused process that writes its old statement afterwards does not undo a newer one."""
    compared = comparisons()
    compared.take_mark(mark(5, ONE))
    compared.take_attestation(attestation(5, ONE, at_ms=2))

    taken = compared.take_attestation(attestation(5, {}, at_ms=1))

    comparison = compared.reached(FUND, STREAM).comparison
    assert not taken
    assert comparison is not None
    assert comparison.is_equal


def test_a_restored_department_is_compared_where_it_is_now() -> None:
    """What a department said above the place it attests again later, from a backup, is void."""
    compared = comparisons()
    for sequence in (4, 5, 6):
        compared.take_mark(mark(sequence, ONE))
        compared.take_attestation(attestation(sequence, ONE, at_ms=sequence))

    compared.take_attestation(attestation(5, {}, at_ms=10))

    reached = compared.reached(FUND, STREAM)
    assert reached.attestation is not None
    assert reached.attestation.sequence == 5
    assert reached.comparison is not None
    assert not reached.comparison.is_equal
    assert reached.proved is None


def test_nothing_is_comparable_before_the_new_epochs_mark() -> None:
    """A department that attests in a new epoch is unknown until the authority's mark of it, whatever was proved."""
    compared = comparisons()
    compared.take_mark(mark(5, ONE, epoch=1))
    compared.take_attestation(attestation(5, ONE, epoch=1))

    compared.take_attestation(attestation(5, ONE, epoch=2))

    reached = compared.reached(FUND, STREAM)
    assert reached.comparison is None
    assert reached.proved is None


def test_a_new_epochs_mark_makes_older_attestations_incomparable() -> None:
    """Once the authority speaks of a new epoch, an old proof says nothing about it."""
    compared = comparisons()
    compared.take_mark(mark(5, ONE, epoch=1))
    compared.take_attestation(attestation(5, ONE, epoch=1))

    compared.take_mark(mark(5, ONE, epoch=2))

    reached = compared.reached(FUND, STREAM)
    assert reached.comparison is None
    assert reached.proved is None


def test_an_attestation_of_a_new_epoch_does_not_touch_other_departments() -> None:
    """One department that speaks of an epoch nobody knows cannot make the others unknown."""
    compared = comparisons()
    compared.take_mark(mark(5, ONE))
    compared.take_attestation(attestation(5, ONE, department=FUND))

    compared.take_attestation(attestation(1, {}, department=HEALTH, epoch=99))

    comparison = compared.reached(FUND, STREAM).comparison
    assert comparison is not None
    assert comparison.is_equal


def test_a_mark_that_contradicts_an_earlier_one_is_told() -> None:
    """An authority that states two sums for one position was restored without a new epoch, and must not go unseen."""
    compared = comparisons()

    consistent = [compared.take_mark(mark(5, ONE)), compared.take_mark(mark(5, ONE)), compared.take_mark(mark(5, TWO))]

    assert consistent == [True, True, False]


def test_memory_is_bounded() -> None:
    """However long a department is away, no more than the newest marks and attestations are kept."""
    compared = comparisons(marks_kept=10, attestations_kept=10)

    for sequence in range(1, 101):
        compared.take_mark(mark(sequence, ONE))
        compared.take_attestation(attestation(sequence + 1000, ONE))

    marks = compared._marks[STREAM]
    attestations = compared._attestations[STREAM][FUND]
    assert len(marks._kept) == 10
    assert len(attestations._kept) == 10
    assert marks.at(100) is not None


def test_compared_attestations_are_forgotten() -> None:
    """Attestations below the newest pair are of no more use and take no memory."""
    compared = comparisons()
    for sequence in range(1, 51):
        compared.take_attestation(attestation(sequence, ONE))

    compared.take_mark(mark(50, ONE))

    assert list(compared._attestations[STREAM][FUND]._kept) == [50]


def test_a_pair_stays_known_when_its_mark_is_forgotten() -> None:
    """The newest pair is what was compared last, even after newer marks have pushed its own out."""
    compared = comparisons(marks_kept=2)
    compared.take_mark(mark(1, ONE))
    compared.take_attestation(attestation(1, ONE))

    for sequence in (2, 3, 4):
        compared.take_mark(mark(sequence, TWO))

    comparison = compared.reached(FUND, STREAM).comparison
    assert comparison is not None
    assert comparison.mark.sequence == 1
