"""What seals cost: relay and applier with them, and with a seal that costs nothing.

Three towns live through the same changes.
In one of them the seal is a constant that nobody checks.
In another each call is timed where it happens: its share of that very run is the figure that scatters least, and since
a stopwatch costs next to nothing, the ratio of this town to the plainly sealed one says how much of a ratio is chance.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import ClassVar

from harness import Arm, Figure, Round, Step, play, ratios
from tellonce.kafka.group import ReadMessage, read_message
from tellonce.kafka.reading import read_to_end
from tellonce.keyring import load_view_keys
from tellonce.model.position import Header, parse_header, render_header
from tellonce.model.seal import SEAL_BYTES, StreamSeal
from town import Place, Town

__all__ = ["RECORDS", "ROUNDS", "measure"]

RECORDS, ROUNDS = 4_000, 12
PASSES, MESSAGES = 15, 1_000


class FreeSeal(StreamSeal):
    """A seal that is no seal: what is left is the header that any message has."""

    __slots__ = ()

    def header(self, position: Header, kafka_key: bytes, body: bytes | None) -> bytes:  # noqa: ARG002 - the base class's
        """Gives a header with the same seal for all."""
        return render_header(position, "0" * (2 * SEAL_BYTES))

    def open(self, data: bytes | None, kafka_key: bytes | None, body: bytes | None) -> Header:  # noqa: ARG002 - the same
        """Gives the position that a header tells, whoever wrote it."""
        if data is None:
            raise ValueError("it has no header")
        return parse_header(data)[0]


class TimedSeal(StreamSeal):
    """A seal that adds up the time of its calls; the stopwatch's own, some 0.1 microseconds a call, is counted too."""

    __slots__ = ()
    seconds: ClassVar[float] = 0.0

    def header(self, position: Header, kafka_key: bytes, body: bytes | None) -> bytes:
        """Gives what any seal gives."""
        began = time.perf_counter()
        try:
            return super().header(position, kafka_key, body)
        finally:
            TimedSeal.seconds += time.perf_counter() - began

    def open(self, data: bytes | None, kafka_key: bytes | None, body: bytes | None) -> Header:
        """Gives what any seal gives."""
        began = time.perf_counter()
        try:
            return super().open(data, kafka_key, body)
        finally:
            TimedSeal.seconds += time.perf_counter() - began


def measure(folder: Path, place: Place, records: int, rounds: int) -> list[Figure]:
    """Gives the ratios, and the share that the seals' functions have by themselves."""
    with ExitStack() as stack:
        towns = {
            "sealed": Town(folder / "sealed", place.site, stack, records),
            "timed": Town(folder / "timed", place.site, stack, records, TimedSeal),
            "free": Town(folder / "free", place.site, stack, records, FreeSeal),
        }

        def change() -> None:
            for town in towns.values():
                town.change()

        def finish() -> None:
            # The relay's last marker comes a second later, and belongs to no arm.
            for town in towns.values():
                town.finish_publishing()

        publishing = {name: Arm(run=town.publish, outcome=town.published) for name, town in towns.items()}
        applying = {name: Arm(run=town.apply, outcome=town.applied) for name, town in towns.items()}
        spent: dict[str, list[float]] = {"relay": [], "applier": []}
        publishing["timed"] = _adding_up(publishing["timed"], spent["relay"])
        applying["timed"] = _adding_up(applying["timed"], spent["applier"])
        steps = [
            Step(name="relay", prepare=change, arms=publishing),
            Step(name="applier", prepare=finish, arms=applying),
        ]
        played = play(steps, rounds)
        return [
            *(one for step in steps for one in ratios(played, step.name, "sealed", "free")),
            *(one for step in steps for one in ratios(played, step.name, "timed", "sealed")),
            *(one for step in steps for one in _shares(step.name, played, spent[step.name])),
            *_alone(towns["sealed"], records, played),
        ]


def _adding_up(arm: Arm, spent: list[float]) -> Arm:
    """Gives an arm that notes how long its seals took in each round."""

    def run() -> None:
        TimedSeal.seconds = 0.0
        arm.run()
        spent.append(TimedSeal.seconds)

    return Arm(run=run, outcome=arm.outcome)


def _shares(step: str, played: Sequence[Round], spent: Sequence[float]) -> list[Figure]:
    timings = [each[step, "timed"] for each in played]
    pairs = list(zip(spent, timings, strict=True))
    return [
        Figure.of(f"{step}: share of seals in place, wall", [one / each.wall_seconds for one, each in pairs]),
        Figure.of(f"{step}: share of seals in place, thread", [one / each.thread_seconds for one, each in pairs]),
    ]


def _alone(town: Town, records: int, played: Sequence[Round]) -> list[Figure]:
    """What both functions take by themselves for messages that a relay has written, and their share of the whole."""
    partition, messages = 0, list[ReadMessage]()
    for message in read_to_end(town.city.kafka, town.city.topic):
        if message.partition() == partition and len(messages) < MESSAGES:
            messages.append(read_message(message))
    names = town.city.names
    key = load_view_keys(town.city.settings(names.registry).keys, names.view).digest
    full, free = (kind(key, names.view, partition) for kind in (StreamSeal, FreeSeal))
    positions = [(parse_header(each.header or b"")[0], each.key or b"", each.value) for each in messages]
    read = [(each.header, each.key, each.value) for each in messages]
    bodies = statistics.mean(len(each.value or b"") for each in messages)
    print(f"bodies of {bodies:.0f} bytes in the mean")
    figures: list[Figure] = []
    for step, kind, inputs in (("relay", "header", positions), ("applier", "open", read)):
        whole = Figure.of(f"{kind}: microseconds", _micros(partial(_all, getattr(full, kind), inputs), len(inputs)))
        bare = Figure.of(
            f"{kind}, free: microseconds", _micros(partial(_all, getattr(free, kind), inputs), len(inputs))
        )
        shares = [records * whole.value / 1e6 / each[step, "sealed"].wall_seconds for each in played]
        figures += [whole, bare, Figure.of(f"{step}: share of {kind}, by itself", shares)]
        figures.append(Figure.of(f"{step}: microseconds a record", _per_record(played, step, records)))
    return figures


def _all(call: Callable[..., object], inputs: Sequence[tuple[object, ...]]) -> None:
    for each in inputs:
        call(*each)


def _micros(run: Callable[[], None], count: int) -> list[float]:
    taken: list[float] = []
    for _ in range(PASSES):
        began = time.perf_counter()
        run()
        taken.append((time.perf_counter() - began) / count * 1e6)
    return taken


def _per_record(played: Sequence[Round], step: str, records: int) -> list[float]:
    return [each[step, "sealed"].wall_seconds / records * 1e6 for each in played]
