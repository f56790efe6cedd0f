"""Runs the cases of `make bench` and keeps their figures in `benchmarks/history.csv`.

`python benchmarks/bench.py seal scrape` with tests in PYTHONPATH; `--rounds` and `--records` change how much is done.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import applying
import scrape
import seal
from harness import append_history, facts_here
from tellonce.observability.logs import configure_logs
from town import place_here

CASES = {"apply": applying, "seal": seal, "scrape": scrape}
HISTORY = Path(__file__).with_name("history.csv")


def main() -> None:
    """Print each case's figures, and append them to the history."""
    parser = argparse.ArgumentParser(description="What seals and scraping cost, measured in interleaved rounds.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"any of {', '.join(CASES)}; all if none is given")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--records", type=int)
    parser.add_argument("--history", type=Path, default=HISTORY)
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"no case is named {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    configure_logs("text", "warning")
    # Before the first case, whose rows change the tree.
    facts = facts_here()
    for name in arguments.cases or CASES:
        case = CASES[name]
        records, rounds = arguments.records or case.RECORDS, arguments.rounds or case.ROUNDS
        began = time.monotonic()
        with TemporaryDirectory(prefix="tellonce-bench-") as folder, place_here(Path(folder)) as place:
            figures = case.measure(Path(folder), place, records, rounds)
        append_history(arguments.history, facts, name, place.name, records, figures)
        print(f"{name}: {records} records, {rounds} rounds, {place.name}, {time.monotonic() - began:.0f} s in all")
        for one in figures:
            print(f"  {one.name:<62}{one.value:>10.4f}  ({one.least:.4f} to {one.greatest:.4f})")


if __name__ == "__main__":
    main()
