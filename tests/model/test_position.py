"""The position rules: when a gap is known to be compacted away, and when a sum may be stated."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellonce.model.position import (
    Header,
    Position,
    PositionTracker,
    parse_header,
    parse_ranges,
    render_header,
    render_ranges,
)


def header(sequence: int, *, settled: int = 0, flagged: bool = True, epoch: int = 1, version: int = 1) -> Header:
    """A header whose other facts do not matter."""
    return Header(epoch=epoch, sequence=sequence, version=version, settled=settled, flagged=flagged)


def at(high_watermark: int) -> Callable[[], int]:
    """A log that ends there."""
    return lambda: high_watermark


def test_unbroken_sequence_may_be_attested_at_a_flag() -> None:
    """A flagged event with nothing missing and nothing above it is one to attest at."""
    tracker = PositionTracker(Position())

    tracker.observe(header(1, flagged=False), 0, 0, at(2))
    assert not tracker.may_attest
    tracker.observe(header(2), 1, 0, at(2))

    assert tracker.may_attest
    assert tracker.position == Position(offset=2, leader_epoch=0, epoch=1, highest=2)


def test_gap_above_settled_stays_missing() -> None:
    """A skipped sequence that was never settled is delayed, not gone: it will be sent again."""
    tracker = PositionTracker(Position())

    tracker.observe(header(3, settled=0), 0, 0, at(1))

    assert tracker.position.missing == ((1, 2),)
    assert tracker.position.contiguous == 0
    assert not tracker.may_attest


def test_gap_below_settled_waits_for_the_high_watermark() -> None:
    """A compacted gap closes only when the log's end of that moment was passed."""
    tracker = PositionTracker(Position())

    tracker.observe(header(2, settled=1), 0, 0, at(2))
    assert not tracker.may_attest
    assert tracker.position.contiguous == 0
    tracker.observe(header(3, settled=2), 1, 0, at(2))

    assert tracker.may_attest
    assert tracker.position.contiguous == 3


def test_late_copy_fills_its_gap() -> None:
    """A missing sequence that is sent again is missing no more, and its neighbours still are."""
    tracker = PositionTracker(Position())

    tracker.observe(header(5), 0, 0, at(9))
    tracker.observe(header(2), 1, 0, at(9))

    assert tracker.position.missing == ((1, 1), (3, 4))
    assert tracker.position.contiguous == 0


def test_flag_below_the_highest_is_not_attested() -> None:
    """A copy of an earlier flagged event says nothing of a stream that is further."""
    tracker = PositionTracker(Position())

    tracker.observe(header(1), 0, 0, at(3))
    tracker.observe(header(2, flagged=False), 1, 0, at(3))
    tracker.observe(header(1), 2, 0, at(3))

    assert not tracker.may_attest


def test_new_epoch_begins_its_sequence_anew() -> None:
    """What was missing in an older epoch is of no account in the next."""
    tracker = PositionTracker(Position(offset=10, epoch=1, highest=7, missing=((3, 4),), wait_until=99))

    assert tracker.observe(header(1, epoch=2), 10, 0, at(11))

    assert tracker.may_attest
    assert tracker.position == Position(offset=11, leader_epoch=0, epoch=2, highest=1)


def test_event_of_an_older_epoch_moves_only_the_offset() -> None:
    """A zombie's late event of a past epoch neither fills nor opens a gap."""
    tracker = PositionTracker(Position(offset=10, epoch=2, highest=7))

    assert not tracker.observe(header(8, epoch=1), 10, 0, at(11))

    assert tracker.position == Position(offset=11, leader_epoch=0, epoch=2, highest=7)
    assert not tracker.may_attest


@pytest.mark.parametrize("keeps_rule_2", [True, False])
def test_rule_2_is_what_keeps_the_known_schedule_honest(*, keeps_rule_2: bool) -> None:
    """Two staged batches sent twice around a compaction: with the second copies flagged although later ones may be in
    the log, a late department would attest without r1; rule 2 takes that flag away."""
    tracker = PositionTracker(Position())
    attested: list[int] = []

    # Sequence 1 = (r1, v1) was compacted away; 2 = (r2, v1) is read, and its gap waits for high watermark 3.
    tracker.observe(header(2, settled=1), 1, 0, at(3))
    attested += [2] if tracker.may_attest else []
    # Both are sent again, and the first copies are compacted away: the second copy of 2 comes next.
    tracker.observe(header(2, settled=1, flagged=not keeps_rule_2), 3, 0, at(5))
    attested += [2] if tracker.may_attest else []

    assert attested == ([] if keeps_rule_2 else [2])


@given(
    st.builds(
        Header,
        epoch=st.integers(1, 2**40),
        sequence=st.integers(2, 2**40),
        version=st.integers(0, 2**40),
        settled=st.integers(0, 1),
        flagged=st.booleans(),
    )
)
def test_header_comes_back(some: Header) -> None:
    """What the relay writes is what the applier reads."""
    assert parse_header(render_header(some, "0" * 32)) == (some, "0" * 32)


SEAL = b"0" * 32


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"2 " + SEAL + b" 1 1 1 0",
        b"1 " + SEAL + b" 1 1 1 0 1",
        b"2 1 1 1 0 1",
        b"2 " + SEAL[1:] + b" 1 1 1 0 1",
        b"2 " + SEAL + b" 0 1 1 0 1",
        b"2 " + SEAL + b" 1 1 1 1 1",
        b"2 " + SEAL + b" 1 -1 1 0 1",
        b"2 " + SEAL + b" 1 5 1 0 2",
        b"2 " + SEAL + b" 9223372036854775808 5 1 0 1",
        b"2 " + SEAL + b" 1 5 9999999999999999999 0 1",
        b"2 " + SEAL + b" 1 5 " + b"9" * 5_000 + b" 0 1",
        b"\xff",
    ],
)
def test_damaged_header_is_refused(data: bytes) -> None:
    """A header of another format, or with impossible numbers, is none."""
    with pytest.raises(ValueError):  # noqa: PT011 - bytes that are no text raise their own kind of ValueError
        parse_header(data)


def test_ranges_come_back_from_text() -> None:
    """The position row keeps missing sequences as text."""
    ranges = ((3, 5), (9, 9))

    assert render_ranges(ranges) == "3-5,9"
    assert parse_ranges("3-5,9") == ranges
    assert parse_ranges("") == ()
