"""Withheld statements are missed: nothing stays proved by what was said long ago."""

import pytest

from reconcile.bench import HELD, Bench
from reconcile.builders import AUTHORITY, FUND, HEALTH, STREAM, attestation, mark
from tellonce.reconcile.freshness import Freshness
from tellonce.reconcile.status import StreamState

VOICE = (FUND, STREAM)


def test_voice_that_says_nothing_new_falls_silent_and_is_heard_again() -> None:
    """Each change is told once."""
    freshness = Freshness(10)
    freshness.note(VOICE, 1_000)

    told = [freshness.advance(now_ms) for now_ms in (0, 10_000, 10_001, 20_000)]
    freshness.note(VOICE, 1_001)

    assert told == [set(), set(), {VOICE}, set()]
    assert not freshness.is_recent(VOICE)
    assert freshness.advance(30_000) == {VOICE}
    assert freshness.is_recent(VOICE)


@pytest.mark.parametrize("at_ms", [999, 1_000])
def test_old_statement_that_is_repeated_is_nothing_new(at_ms: int) -> None:
    """Whoever withholds the new ones cannot put an old one in their place."""
    freshness = Freshness(10)
    freshness.note(VOICE, 1_000)
    freshness.advance(0)

    freshness.note(VOICE, at_ms)

    assert freshness.advance(10_001) == {VOICE}


def test_clocks_that_differ_by_hours_do_not_matter() -> None:
    """Only the reconciler's own clock says how long a voice was silent."""
    freshness = Freshness(10)
    freshness.note((AUTHORITY, STREAM), -3_600_000)
    freshness.note(VOICE, 3_600_000)

    freshness.advance(0)

    assert freshness.advance(9_000) == set()
    assert freshness.is_recent(VOICE, (AUTHORITY, STREAM))


@pytest.mark.parametrize("silent", [AUTHORITY, FUND])
def test_nothing_is_proved_while_one_side_is_silent(silent: str) -> None:
    """A department of which nothing is heard, and all where the authority is silent; until they are heard again."""
    bench = Bench().statements(fund=HELD)
    bench.step()
    states = [bench.status().state]

    for minute in range(1, 4):
        if silent != AUTHORITY:
            bench.core.take_mark(mark(5, HELD, at_ms=minute))
        if silent != FUND:
            bench.core.take_attestation(attestation(5, HELD, at_ms=minute))
        bench.core.take_attestation(attestation(5, HELD, department=HEALTH, at_ms=minute))
        bench.step(310_000)
    states.append(bench.status().state)
    others = {status.department: status.state for status in bench.core.statuses()}
    bench.statements(fund=HELD, at_ms=10)
    bench.step()
    states.append(bench.status().state)

    assert states == [StreamState.PROVED, StreamState.UNKNOWN, StreamState.PROVED]
    assert others[HEALTH] is (StreamState.UNKNOWN if silent == AUTHORITY else StreamState.PROVED)
