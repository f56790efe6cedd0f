"""Arms of one case, timed beside each other in rounds; a figure is the median of what the rounds gave.

What else the machine does falls on all arms of a round alike, so a ratio is taken within a round, and never of two
runs. Nothing here judges a time: a person compares figures, and `history.csv` keeps them.
"""

import csv
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tellonce.model.errors import InvariantError

__all__ = [
    "Arm",
    "Clocks",
    "Facts",
    "Figure",
    "Round",
    "Step",
    "Timing",
    "append_history",
    "facts_here",
    "play",
    "ratios",
]

LEAST_ROUNDS = 5
COLUMNS = (
    "date", "commit", "machine", "site", "case", "figure", "value", "least", "greatest", "rounds", "records",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """What tells the time, in seconds: on the wall, and of the processors by the process and by the calling thread.

    The thread's alone leaves out what clients fetch and send in the background, which may be another arm's.
    """

    wall: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] = time.process_time
    thread: Callable[[], float] = time.thread_time

    def now(self) -> tuple[float, float, float]:
        """Gives all three."""
        return self.wall(), self.cpu(), self.thread()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long one arm took in one round."""

    wall_seconds: float
    cpu_seconds: float
    thread_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to do a step: only `run` is timed; `outcome` is asked afterwards and must be the same for all arms."""

    run: Callable[[], object]
    prepare: Callable[[], object] = lambda: None
    outcome: Callable[[], object] = lambda: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What every arm does in a round, after `prepare`, which is not timed."""

    name: str
    arms: Mapping[str, Arm]
    prepare: Callable[[], object] = lambda: None


Round = Mapping[tuple[str, str], Timing]
"""The timings of one round, by step and arm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One thing measured once a round: the median, and how far the rounds lay apart."""

    name: str
    value: float
    least: float
    greatest: float
    rounds: int

    @classmethod
    def of(cls, name: str, values: Sequence[float]) -> "Figure":
        """Gives the figure of what the rounds gave."""
        return cls(
            name=name, value=statistics.median(values), least=min(values), greatest=max(values), rounds=len(values)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """When, of what and where something was measured."""

    date: str
    commit: str
    machine: str


def play(steps: Sequence[Step], rounds: int, clocks: Clocks | None = None) -> list[Round]:
    """Plays so many rounds of all steps.

    Each arm has each place in turn, and in the next turn all follow each other the other way round; where rounds are a
    multiple of twice the number of arms, no arm has an advantage from who runs before it.

    Raises:
        InvariantError: fewer rounds than a median needs were asked for, or two arms came to different ends.
    """
    if rounds < LEAST_ROUNDS:
        msg = f"expected at least {LEAST_ROUNDS} rounds, found {rounds}"
        raise InvariantError(msg)
    clocks = clocks or Clocks()
    return [
        {(step.name, arm): timing for step in steps for arm, timing in _play_step(step, number, clocks).items()}
        for number in range(rounds)
    ]


def _play_step(step: Step, number: int, clocks: Clocks) -> dict[str, Timing]:
    step.prepare()
    names = _order(list(step.arms), number)
    timings: dict[str, Timing] = {}
    outcomes: dict[str, object] = {}
    for name in names:
        step.arms[name].prepare()
        before = clocks.now()
        step.arms[name].run()
        wall, cpu, thread = (after - then for after, then in zip(clocks.now(), before, strict=True))
        timings[name] = Timing(wall_seconds=wall, cpu_seconds=cpu, thread_seconds=thread)
        outcomes[name] = step.arms[name].outcome()
    first = outcomes[names[0]]
    if different := [name for name in names if outcomes[name] != first]:
        msg = f"expected one outcome of {step.name} in round {number}, found another of {', '.join(different)}"
        raise InvariantError(msg)
    return timings


def _order(names: Sequence[str], number: int) -> list[str]:
    turn, first = divmod(number, len(names))
    rotated = [*names[first:], *names[:first]]
    return rotated[::-1] if turn % 2 else rotated


def ratios(rounds: Iterable[Round], step: str, arm: str, base: str) -> list[Figure]:
    """Gives what an arm took for each second that another took beside it, by each of the clocks."""
    pairs = [(each[step, arm], each[step, base]) for each in rounds]
    name = f"{step}: {arm} / {base}"
    return [
        Figure.of(f"{name}, wall", [one.wall_seconds / other.wall_seconds for one, other in pairs]),
        Figure.of(f"{name}, cpu", [one.cpu_seconds / other.cpu_seconds for one, other in pairs]),
        Figure.of(f"{name}, thread", [one.thread_seconds / other.thread_seconds for one, other in pairs]),
    ]


def facts_here() -> Facts:
    """Gives the facts of this run; a commit with changes beside it ends in +."""
    commit = _git("rev-parse", "--short", "HEAD")
    changed = "+" if _git("status", "--porcelain", "--untracked-files=no") else ""
    return Facts(
        date=datetime.now(UTC).date().isoformat(),
        commit=commit + changed,
        machine=f"{os.cpu_count()} cores, Python {platform.python_version()}",
    )


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def append_history(path: Path, facts: Facts, case: str, site: str, records: int, figures: Sequence[Figure]) -> None:
    """Appends one row per figure; a file that is not there is begun with the names of its columns."""
    is_new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(COLUMNS)
        for one in figures:
            numbers = [f"{number:.4f}" for number in (one.value, one.least, one.greatest)]
            taken = [facts.date, facts.commit, facts.machine, site, case, one.name]
            writer.writerow([*taken, *numbers, one.rounds, records])
