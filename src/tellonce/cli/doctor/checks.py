"""A check as a value, and the one runner that goes through a list of them."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tellonce.model.errors import ConfigurationError, TellonceError
from tellonce.observability.unforeseen import describe

__all__ = ["Check", "Finding", "Result", "State", "exit_code_of", "fail", "joined", "ok", "run_checks", "warn"]

_MOST_TOLD = 3
_NAMED_REMEDY = re.compile(r"`(?P<command>tellonce [^`]+)`|(?P<chmod>chmod 600 [^\s;]+)|(?P<setting>TELLONCE_[A-Z_]+)")


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check saw, in one sentence, and the command or setting that mends it; none where it is well.

    `exit_code` is that of the error's kind where the check failed.
    """

    state: State
    sentence: str
    remedy: str | None = None
    exit_code: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing to look at, once all that it `needs` is well or only warned of.

    `run` gives its finding, or raises: that is a failure too. `remedy` is what is advised where the error names none.
    """

    name: str
    run: Callable[[], Finding]
    remedy: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A check's name with its finding."""

    name: str
    finding: Finding


def ok(sentence: str) -> Finding:
    """Gives the finding that all is well."""
    return Finding(state=State.OK, sentence=sentence)


def warn(sentence: str, remedy: str) -> Finding:
    """Gives the finding that it works, and should be otherwise."""
    return Finding(state=State.WARN, sentence=sentence, remedy=remedy)


def fail(sentence: str, remedy: str) -> Finding:
    """Gives the finding that a person must change something."""
    return Finding(state=State.FAIL, sentence=sentence, remedy=remedy, exit_code=ConfigurationError.exit_code)


def joined(sentences: Sequence[str]) -> str:
    """Gives the first three of several sentences as one, and how many there are beside."""
    more = len(sentences) - _MOST_TOLD
    return "; ".join(sentences[:_MOST_TOLD]) + (f"; and {more} more" if more > 0 else "")


def run_checks(checks: Iterable[Check]) -> tuple[Result, ...]:
    """Gives the result of each check, in their order; one whose needs did not pass is skipped. Never raises."""
    results: list[Result] = []
    passed: set[str] = set()
    for check in checks:
        missing = [name for name in check.needs if name not in passed]
        finding = _skipped(missing) if missing else _run(check)
        if finding.state in {State.OK, State.WARN}:
            passed.add(check.name)
        results.append(Result(name=check.name, finding=finding))
    return tuple(results)


def exit_code_of(results: Iterable[Result]) -> int:
    """Gives the first failure's exit code, 0 where nothing failed."""
    return next((one.finding.exit_code for one in results if one.finding.state is State.FAIL), 0)


def _skipped(missing: Sequence[str]) -> Finding:
    return Finding(state=State.SKIPPED, sentence=f"not looked at before this passes: {', '.join(missing)}")


def _run(check: Check) -> Finding:
    try:
        return check.run()
    except TellonceError as error:
        sentence, code = joined(str(error).splitlines()), error.exit_code
    except Exception as error:  # noqa: BLE001 - the other checks are looked at all the same; its text may quote a row
        sentence, code = f"expected an answer, found {describe(error).name}, which nobody foresaw; report it", 1
    return Finding(state=State.FAIL, sentence=sentence, remedy=_named(sentence) or check.remedy, exit_code=code)


def _named(sentence: str) -> str | None:
    """The command that a sentence names, or else the setting."""
    found = list(_NAMED_REMEDY.finditer(sentence))
    ranked = [match[kind] for kind in ("command", "chmod", "setting") for match in found if match[kind]]
    return ranked[0] if ranked else None
