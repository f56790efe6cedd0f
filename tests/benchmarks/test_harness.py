"""The harness of the benchmarks: who runs when, and what becomes of what the clock said."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from harness import Arm, Clocks, Facts, Figure, Round, Step, Timing, append_history, play, ratios
from tellonce.model.errors import InvariantError

FACTS = Facts(date="2026-01-02", commit="abc1234+", machine="2 cores, Python 3.11.7")


class FakeClock:
    """Three clocks that stand still but where an arm says how long it took."""

    def __init__(self) -> None:
        self.wall = self.cpu = self.thread = 0.0

    def clocks(self) -> Clocks:
        return Clocks(wall=lambda: self.wall, cpu=lambda: self.cpu, thread=lambda: self.thread)

    def taking(self, wall: float, cpu: float = 0.0, outcome: object = None) -> Arm:
        def run() -> None:
            self.wall += wall
            self.cpu += cpu
            self.thread += cpu / 2

        def asked() -> object:
            self.wall += 1_000
            return outcome

        return Arm(run=run, outcome=asked)


def timed(*walls: tuple[float, float]) -> list[Round]:
    """Rounds of one step with two arms that took so long; half of it was the processors', a quarter the thread's."""
    return [
        {
            ("s", name): Timing(wall_seconds=wall, cpu_seconds=wall / 2, thread_seconds=wall / 4)
            for name, wall in zip(("one", "other"), pair, strict=True)
        }
        for pair in walls
    ]


def noting(seen: list[str], word: str) -> Callable[[], None]:
    return lambda: seen.append(word)


def test_arms_alternate_within_each_step() -> None:
    """A round does one step with all arms before the next step, and no arm is always the first."""
    seen: list[str] = []
    steps = [
        Step(
            name=name,
            arms={
                arm: Arm(prepare=noting(seen, f"{name}-{arm}?"), run=noting(seen, f"{name}-{arm}"))
                for arm in ("x", "y")
            },
            prepare=noting(seen, name),
        )
        for name in ("a", "b")
    ]

    play(steps, 5, FakeClock().clocks())

    first = ["a", "a-x?", "a-x", "a-y?", "a-y", "b", "b-x?", "b-x", "b-y?", "b-y"]
    second = ["a", "a-y?", "a-y", "a-x?", "a-x", "b", "b-y?", "b-y", "b-x?", "b-x"]
    assert seen[:20] == [*first, *second]
    assert len(seen) == 5 * 10


def test_no_arm_profits_from_its_place() -> None:
    """Of three arms each order comes once in six rounds."""
    seen: list[str] = []
    step = Step(name="s", arms={arm: Arm(run=noting(seen, arm)) for arm in "xyz"})

    play([step], 6, FakeClock().clocks())

    orders = {"".join(seen[at : at + 3]) for at in range(0, 18, 3)}
    assert orders == {"xyz", "yzx", "zxy", "zyx", "xzy", "yxz"}


def test_only_the_run_is_timed() -> None:
    """What prepares a round, or asks for its outcome, is no time of an arm."""
    clock = FakeClock()

    def prepare() -> None:
        clock.wall += 50
        clock.cpu += 50

    arms = {
        name: replace(clock.taking(*taking), prepare=prepare) for name, taking in (("one", (3, 1)), ("other", (2, 0.5)))
    }
    step = Step(name="s", arms=arms, prepare=prepare)
    rounds = play([step], 5, clock.clocks())

    assert rounds == [
        {
            ("s", "one"): Timing(wall_seconds=3, cpu_seconds=1, thread_seconds=0.5),
            ("s", "other"): Timing(wall_seconds=2, cpu_seconds=0.5, thread_seconds=0.25),
        }
        for _ in range(5)
    ]


def test_other_outcome_is_refused() -> None:
    """Two arms that did not do the same work are not compared."""
    clock = FakeClock()
    step = Step(name="apply", arms={"one": clock.taking(1, outcome=7), "other": clock.taking(1, outcome=8)})

    with pytest.raises(InvariantError, match="one outcome of apply in round 0, found another of other"):
        play([step], 5, clock.clocks())


def test_too_few_rounds_are_refused() -> None:
    """A median of fewer than five rounds says nothing."""
    with pytest.raises(InvariantError, match="at least 5 rounds, found 4"):
        play([], 4)


def test_figure_is_the_median_of_the_rounds_own_ratios() -> None:
    """A round in which the machine was slow for both arms weighs no more than another."""
    rounds = timed((11, 10), (120, 100), (9, 10), (13, 10), (1_050, 1_000))

    wall, cpu, thread = ratios(rounds, "s", "one", "other")

    assert wall == Figure(name="s: one / other, wall", value=1.1, least=0.9, greatest=1.3, rounds=5)
    assert cpu == Figure(name="s: one / other, cpu", value=1.1, least=0.9, greatest=1.3, rounds=5)
    assert thread == Figure(name="s: one / other, thread", value=1.1, least=0.9, greatest=1.3, rounds=5)


def test_history_grows_by_a_row_for_each_figure(tmp_path: Path) -> None:
    """Earlier rows stay, and the names of the columns stand there once."""
    path, numbers = tmp_path / "history.csv", count(1)

    def figures() -> Iterator[Figure]:
        for name in ("a, wall", "a, cpu"):
            yield Figure(name=name, value=next(numbers), least=0.5, greatest=9.12345, rounds=5)

    append_history(path, FACTS, "seal", "Kafka", 2_000, list(figures()))
    append_history(path, FACTS, "scrape", "Kafka", 50, list(figures()))

    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert [(row["case"], row["figure"], row["value"], row["records"]) for row in rows] == [
        ("seal", "a, wall", "1.0000", "2000"),
        ("seal", "a, cpu", "2.0000", "2000"),
        ("scrape", "a, wall", "3.0000", "50"),
        ("scrape", "a, cpu", "4.0000", "50"),
    ]
    assert {(row["date"], row["commit"], row["machine"], row["site"]) for row in rows} == {
        ("2026-01-02", "abc1234+", "2 cores, Python 3.11.7", "Kafka")
    }
    assert {(row["least"], row["greatest"], row["rounds"]) for row in rows} == {("0.5000", "9.1235", "5")}
