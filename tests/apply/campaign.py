"""Column types by the thousand: each type of the database, under every codec, bound, as a number and as a key.

`PYTHONPATH=tests python -m apply.campaign --store postgres --seed 1 --count 2000 --ledger FILE` adds a line to the
ledger, and ends with the trials that failed, each with what makes it again.
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

from apply.pools import EXTRA_TYPES
from apply.typed import Outcome, draw, run, types_of
from owntables import make_own_tables
from tellonce.storage.database import open_database
from tellonce.testing.postgres_server import PostgresServer


def main() -> int:
    """Run the trials, and say which failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=["postgres", "sqlite"], required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    given = parser.parse_args()
    started = time.monotonic()
    with ExitStack() as stack:
        if given.store == "postgres":
            server = stack.enter_context(PostgresServer())
            engine = open_database(server.create_database("campaign"))
            with engine.begin() as connection:
                for statement in EXTRA_TYPES:
                    connection.exec_driver_sql(statement)
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            engine = open_database(f"sqlite:///{folder}/department.sqlite")
        stack.callback(engine.dispose)
        make_own_tables(engine)
        rng, types = random.Random(given.seed), types_of(engine)
        outcomes: list[Outcome] = [run(engine, draw(rng, types)) for _ in range(given.count)]
    failed = [outcome for outcome in outcomes if outcome.faults]
    line = {
        "store": given.store,
        "seed": given.seed,
        "trials": given.count,
        "types": len(types),
        "states": Counter(outcome.state for outcome in outcomes),
        "held": sum(outcome.held for outcome in outcomes),
        "listed": sum(outcome.listed for outcome in outcomes),
        "failed": len(failed),
        "seconds": round(time.monotonic() - started, 1),
    }
    with given.ledger.open("a") as ledger:
        ledger.write(json.dumps(line) + "\n")
    for outcome in failed:
        sys.stdout.write("\n  ".join([str(outcome.trial), *outcome.faults]) + "\n")
    sys.stdout.write(json.dumps(line) + "\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
