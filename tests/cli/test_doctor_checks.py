"""Checks are run in order, what needs a failed one is skipped, and the first failure decides the exit code."""

import threading

import pytest

from tellonce.cli.doctor.checks import Check, Finding, State, exit_code_of, fail, joined, ok, run_checks, warn
from tellonce.cli.doctor.probes import Budget, within
from tellonce.model.errors import ConfigurationError, RetryableError


def check(name: str, *needs: str, raises: Exception | None = None, gives: Finding | None = None) -> Check:
    """A check that gives or raises this."""

    def run() -> Finding:
        if raises is not None:
            raise raises
        return gives or ok("well")

    return Check(name=name, run=run, remedy="the check's own", needs=needs)


def test_what_needs_a_failed_check_is_skipped_and_is_no_failure() -> None:
    """One broken thing is told once, and all that hangs on it is named as not looked at."""
    checks = [check("a", gives=fail("bad", "mend")), check("b", "a"), check("c", "b"), check("d")]

    results = run_checks(checks)

    assert [one.finding.state for one in results] == [State.FAIL, State.SKIPPED, State.SKIPPED, State.OK]
    assert results[1].finding.sentence.endswith(": a")
    assert results[2].finding.sentence.endswith(": b")


def test_a_warning_holds_nothing_up() -> None:
    """What works and should be otherwise neither skips another check nor fails the command."""
    results = run_checks([check("a", gives=warn("so so", "mend")), check("b", "a")])

    assert results[1].finding.state is State.OK
    assert exit_code_of(results) == 0


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (ConfigurationError("wrong"), RetryableError("away"), 3),
        (RetryableError("away"), ConfigurationError("wrong"), 4),
        (ValueError("of Wang Fang"), RetryableError("away"), 1),
    ],
)
def test_the_first_failure_gives_the_exit_code(first: Exception, second: Exception, code: int) -> None:
    """What comes first has to be mended first, and its kind is the command's exit code."""
    assert exit_code_of(run_checks([check("a", raises=first), check("b", raises=second)])) == code


def test_an_error_that_nobody_foresaw_is_a_finding_without_its_text() -> None:
    """Its text may quote a row; the checks after it are looked at all the same."""
    results = run_checks([check("a", raises=ValueError("Wang Fang")), check("b")])

    assert "ValueError" in results[0].finding.sentence
    assert "Wang" not in results[0].finding.sentence
    assert results[1].finding.state is State.OK


@pytest.mark.parametrize(
    ("sentence", "remedy"),
    [
        ("expected TELLONCE_KEYS, found none; run `tellonce keys new a.b`", "tellonce keys new a.b"),
        ("expected a port in TELLONCE_METRICS_PORT, found none", "TELLONCE_METRICS_PORT"),
        ("a file may be read by others; expected mode 0600: chmod 600 /k/a.key", "chmod 600 /k/a.key"),
        ("it is away", "the check's own"),
    ],
)
def test_an_error_that_names_its_remedy_is_mended_by_that(sentence: str, remedy: str) -> None:
    """The command in an error's own sentence is nearer than the check's, and a command nearer than a setting."""
    (result,) = run_checks([check("a", raises=ConfigurationError(sentence))])

    assert result.finding.remedy == remedy


def test_many_findings_are_one_sentence() -> None:
    """A city of hundreds of topics does not fill the screen."""
    assert joined(["a", "b", "c", "d", "e"]) == "a; b; c; and 2 more"


def test_no_step_is_given_more_than_what_is_left() -> None:
    """However many steps there are, together they stay within the command's time."""
    now = [0.0]
    budget = Budget(5.0, lambda: now[0])

    assert budget.limit(2.0) == 2.0
    now[0] = 4.0
    assert budget.limit(2.0) == 1.0
    now[0] = 5.0
    with pytest.raises(RetryableError, match="no time is left"):
        budget.limit(2.0)


def test_a_slow_start_leaves_the_network_less() -> None:
    """What the start took is no longer there for the network, but for what healthy servers need."""
    assert Budget.after_start(5.0).limit(60.0) <= 3.5
    assert 2.5 < Budget.after_start(60.0).limit(60.0) <= 3.0


def test_work_that_fails_or_hangs_ends_within_its_limit() -> None:
    """A look-up of a name cannot be ended, so it is left behind."""
    with pytest.raises(ZeroDivisionError):
        within(5.0, lambda: 1 // 0)
    gate = threading.Event()
    with pytest.raises(TimeoutError):
        within(0.01, gate.wait)
    gate.set()
