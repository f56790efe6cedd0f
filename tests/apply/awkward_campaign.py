"""Schedules on awkward tables by the thousand: clerks, an authority, crashes, and the service, judged by plain rules.

`PYTHONPATH=tests python -m apply.awkward_campaign --store postgres --seed 1 --count 2000 --ledger FILE` adds a line to
the ledger, and ends with the schedules that failed, each with the fewest steps that show it.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import Engine

from apply.awkward import Played, draw, play, shrink
from apply.awkward_tables import MakeTable, MemoryAwkward, SqlAwkward
from owntables import make_own_tables
from tellonce.storage.database import open_database
from tellonce.testing.postgres_server import PostgresServer

_SHOWN = 20
"""So many failed schedules are shown with their fewest steps."""


def main() -> int:
    """Play the schedules, and say which failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=["memory", "sqlite", "postgres"], required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--ledger", type=Path, required=True)
    given = parser.parse_args()
    started = time.monotonic()
    with ExitStack() as stack:
        make = _maker(given.store, stack)
        drawn = [draw(random.Random(given.seed + place), given.store, given.steps) for place in range(given.count)]
        played = [play(make, schedule) for schedule in drawn]
        seconds = time.monotonic() - started
        failed = [(given.seed + place, each) for place, each in enumerate(played) if each.faults]
        for seed, each in failed[:_SHOWN]:
            _show(seed, play(make, shrink(make, each.schedule)))
    line = {
        "store": given.store,
        "seed": given.seed,
        "schedules": given.count,
        "steps": given.steps,
        "refused": sum(bool(each.refused) for each in played),
        "held": sum(each.held for each in played),
        "listed": sum(each.listed for each in played),
        "taken": sum(each.taken for each in played),
        "failed": dict(Counter(each.faults[0].partition(":")[0] for _, each in failed)),
        "seeds": [seed for seed, _ in failed],
        "seconds": round(seconds, 1),
    }
    with given.ledger.open("a") as ledger:
        ledger.write(json.dumps(line) + "\n")
    sys.stdout.write(json.dumps(line) + "\n")
    return bool(failed)


def _maker(store: str, stack: ExitStack) -> MakeTable:
    if store == "memory":
        return MemoryAwkward
    engine: Engine
    if store == "postgres":
        engine = open_database(stack.enter_context(PostgresServer()).create_database("awkward"))
    else:
        engine = open_database(f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/department.sqlite")
    stack.callback(engine.dispose)
    make_own_tables(engine)
    return lambda shape: SqlAwkward(shape, engine)


def _show(seed: int, played: Played) -> None:
    lines = [f"seed {seed}: {played.schedule.shape}", *played.did, *played.faults]
    sys.stdout.write("\n  ".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
