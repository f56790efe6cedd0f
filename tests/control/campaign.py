"""Hostile control messages by the hundred thousand, against the services that read them.

`PYTHONPATH=tests python -m control.campaign --seed 1 --count 200000 --ledger FILE` adds a line to the ledger; any
service that ends, any honest finding that comes late, and more than 256 MiB of memory end it with a traceback.
One department has gone bad, with all its credentials, and so has who writes to the topics that it reads.
"""

import argparse
import json
import logging
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import structlog

from control.samples import MESSAGES
from owntables import make_own_tables
from reconcile.builders import AUTHORITY, FUND, HEALTH, VIEW, Side, attestation, city, ids, mark, side
from reconcile.memory import Town
from tellonce.apply.repair_orders import RepairOrders
from tellonce.cli.heartbeat import newest_heartbeats
from tellonce.cli.standing import stand
from tellonce.control.channel import Heard
from tellonce.control.messages import Heartbeat, Inquiry, Message, Order, encode_message
from tellonce.control.routes import outgoing
from tellonce.model.divergence import DivergenceKind
from tellonce.model.rounds import Rounds
from tellonce.publish.orders import why_refused, within_cap
from tellonce.reconcile.core import Core
from tellonce.reconcile.policy import ReconciliationPolicy
from tellonce.reconcile.service import Reconciler
from tellonce.storage.database import open_database
from tellonce.storage.stores import department_store
from tellonce.topology.topics import RECONCILER, attestations, inquiries, marks, repairs

MOST_BYTES = 256 * 1024 * 1024
MOST_SECONDS = 45
"""Within so long by its clock the reconciler sees an honest department's edit, whatever stands on the topics.

A drill-down of the bad department may hold the stream for its patience; then another begins, with the honest one.
"""
_SLICE = 500
_MOST_OF_A_TOPIC = 1_048_588
_POLICY = ReconciliationPolicy(
    answer_timeout_seconds=3,
    answer_patience_seconds=15,
    drill_pause_seconds=0.5,
    drill_pause_longest_seconds=1,
    divergences_kept=100,
)

_TEXTS = ("", "\x00", "a\x00b", "\x1b[2J", "\u202e", "[bold red]", "x" * 5_000, "../../etc", "A", "\ud7ff", "é" * 300)
_NUMBERS = (-1, 0, 1, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63) - 1, 10**400, 1e308, 1.5, True)
_RAW = (b"", b"\xff", b"null", b"[" * 5_000, b"9" * 5_000, b'{"view": 1e999}', b'{"a":' * 2_000, b"\x1f\x8b\x08" * 50)


def hostile(rng: random.Random) -> tuple[Message, bytes]:
    """A valid message and what became of its bytes."""
    message = rng.choice(MESSAGES)
    document = json.loads(encode_message(message))
    if rng.random() < 0.8:
        # Aimed: of a stream and a speaker that the services know, so that it gets as far as it can.
        aim = {"view": VIEW, "partition": 0, "department": FUND, "departments": [FUND]}
        document |= {name: value for name, value in aim.items() if name in document}
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        part, name = rng.choice(list(_places(document)))
        part[name] = _value(rng, part[name])
    data = json.dumps(document).encode()
    match rng.randrange(12):
        case 0:
            data = rng.choice(_RAW)
        case 1:
            data = data[: rng.randrange(len(data))]
        case 2:
            at = rng.randrange(len(data))
            data = data[:at] + rng.randbytes(rng.randint(1, 4)) + data[at + 1 :]
        case 3:
            data = data.replace(b"}", b', "more": 1}', 1)
        case 4:
            data = data.decode().encode("utf-16")
        case _:
            pass
    # Larger ones are no reader's: the topics do not take them.
    return message, data[:_MOST_OF_A_TOPIC]


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    inner = document.items() if isinstance(document, dict) else enumerate(document)
    for name, value in inner:
        yield document, name
        if isinstance(value, dict | list):
            yield from _places(value)


def _value(rng: random.Random, old: Any) -> Any:
    values: tuple[Any, ...] = (
        rng.choice(_TEXTS),
        rng.choice(_NUMBERS),
        None,
        [old] * rng.choice((0, 2, 3 if isinstance(old, list | dict) else 1_000)),
        {rng.choice(_TEXTS): old},
        f"{rng.getrandbits(128):032x}",
        rng.randint(0, 10) if isinstance(old, int) else old,
    )
    return rng.choice(values)


class Campaign:
    """A reconciler, a department's repairs, an authority's judgement of orders, and an operator's `status`."""

    def __init__(self, folder: Path) -> None:
        self.topology = city(fund="repair", health="flag")
        self.view = next(iter(self.topology.views()))
        same = {1: "same", 2: "same"}
        self.town = Town([side(AUTHORITY, same), side(HEALTH, same)])
        self.ticks = count(1_000_000, 100)
        core = Core(self.topology, _POLICY, new_id=ids())
        channel = self.town.reconciler()
        self.reconciler = Reconciler(core, self.topology, channel, clock_ms=lambda: next(self.ticks))
        engine = open_database(f"sqlite:///{folder / 'fund.db'}")
        make_own_tables(engine)
        self.department = self.town.channel(FUND)
        self.repairs = RepairOrders(FUND, department_store(engine), {VIEW: self.view}, self.department)
        self.department.listen(Inquiry, (RECONCILER,), "beginning")
        self.relay, self.operator = self.town.channel(AUTHORITY), self.town.channel("operator")
        self.relay.listen(Order, (FUND,), "beginning")
        self.operator.listen(Heartbeat, (FUND,), "beginning")
        self.rounds = Rounds(60)
        self.sequence = 5
        self.slowest_ms = 0

    def append(self, message: Message, data: bytes) -> None:
        """Puts the bytes where the department may write them, or where it reads what others say to it."""
        topics = {one.topic for one in outgoing(message, FUND)} | {repairs(FUND), inquiries(FUND)}
        for topic in topics:
            self.town.append(topic, data)

    def serve(self) -> None:
        """Lets every service take what has come."""
        self.reconciler.turn()
        self.repairs.take_requests()
        self.repairs.give([(VIEW, 0)])
        self.department.hear(Inquiry)
        for heard in self.relay.hear(Order):
            if why_refused(heard.message, heard.speaker, self.view) is None:
                within_cap(heard.message, heard.speaker, self.view, self.rounds, next(self.ticks))
        beats: list[Heard[Heartbeat]] = list(self.operator.hear(Heartbeat))
        stand(self.topology, list(newest_heartbeats(beats).values()), next(self.ticks))

    def find_an_edit(self) -> None:
        """Lets an honest department's row be edited, and put right again: both are seen in time."""
        for value in ("edited", "same"):
            self.sequence += 1
            self.town.sides[HEALTH] = side(HEALTH, {1: "same", 2: value})
            held = {name: _digests(one) for name, one in self.town.sides.items()}
            self.town.put(marks(AUTHORITY), mark(self.sequence, held[AUTHORITY], at_ms=self.sequence))
            stated = attestation(self.sequence, held[HEALTH], department=HEALTH, at_ms=self.sequence)
            self.town.put(attestations(HEALTH), stated)
            began_ms = now_ms = next(self.ticks)
            while self._knows_edit() != (value == "edited"):
                self.reconciler.turn()
                now_ms = next(self.ticks)
                assert now_ms - began_ms <= MOST_SECONDS * 1000, f"an honest row that is {value} was not seen"
            self.slowest_ms = max(self.slowest_ms, now_ms - began_ms)

    def _knows_edit(self) -> bool:
        mine = [one for one in self.reconciler.divergences if one.department == HEALTH]
        assert all(one.kind is DivergenceKind.ALTERED for one in mine)
        return bool(mine)

    def forget(self) -> None:
        """Drops what has been read: it is the topics' memory, and no service's."""
        self.town.drop_values()


def _digests(one: Side) -> dict[str, str]:
    return {key: each.digest for key, each in one.records.items() if each.digest}


def run(seed: int, amount: int) -> dict[str, object]:
    """Plays so many hostile messages; gives what was seen."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    rng = random.Random(seed)
    began = time.monotonic()
    believed = 0
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder))
        for number in range(1, amount + 1):
            message, data = hostile(rng)
            campaign.append(message, data)
            if number % _SLICE == 0:
                for _ in range(4):
                    campaign.serve()
                campaign.find_an_edit()
                campaign.forget()
        believed = sum(one.department == FUND for one in campaign.reconciler.statuses)
    peak = _peak_bytes()
    assert peak <= MOST_BYTES, f"{peak} bytes at the most"
    return {
        "seed": seed,
        "messages": amount,
        "slowest_seconds": campaign.slowest_ms / 1000,
        "streams_known": believed,
        "peak_mib": round(peak / 2**20, 1),
        "seconds": round(time.monotonic() - began, 1),
    }


def _peak_bytes() -> int:
    # Not getrusage: its peak is that of the process which started this one, where that was larger.
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--ledger", type=Path)
    given = parser.parse_args()
    line = json.dumps(run(given.seed, given.count))
    sys.stdout.write(f"{line}\n")
    if given.ledger is not None:
        with given.ledger.open("a", encoding="utf-8") as ledger:
            ledger.write(f"{line}\n")
