"""What seals cost: relay and applier with them, and with a seal that costs nothing.

Three towns live through the same changes; in one of them the seal is a constant that nobody checks.
Two are alike, so that the ratio between these says how much of any other is chance.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

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


def measure(folder: Path, place: Place, records: int, rounds: int) -> list[Figure]:
    """Gives the ratios, and the share that the seals' functions have by themselves."""
    with ExitStack() as stack:
        towns = {
            "sealed": Town(folder / "sealed", place.site, stack, records),
            "sealed again": Town(folder / "again", place.site, stack, records),
            "free": Town(folder / "free", place.site, stack, records, FreeSeal),
        }

        def change(number: int) -> None:
            for town in towns.values():
                town.change(number)

        def finish(_number: int) -> None:
            # The relay's last marker comes a second later, and belongs to no arm.
            for town in towns.values():
                town.finish_publishing()

        publishing = {name: Arm(run=town.publish, outcome=town.published) for name, town in towns.items()}
        applying = {name: Arm(run=town.apply, outcome=town.applied) for name, town in towns.items()}
        steps = [
            Step(name="relay", prepare=change, arms=publishing),
            Step(name="applier", prepare=finish, arms=applying),
        ]
        played = play(steps, rounds)
        return [
            *(one for step in steps for one in ratios(played, step.name, "sealed", "free")),
            *(one for step in steps for one in ratios(played, step.name, "sealed again", "sealed")),
            *_alone(towns["sealed"], records, played),
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
