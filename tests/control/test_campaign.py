"""A sample of the campaign of hostile control messages; the whole of it is a command (`control/campaign.py`)."""

import json
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_services_bear_twenty_thousand_hostile_messages(tmp_path: Path) -> None:
    """None ends, an honest department's edits are seen in time, and memory stays below 256 MiB."""
    ledger = tmp_path / "ledger.jsonl"
    command = [sys.executable, "-m", "control.campaign", "--seed", "20261126", "--count", "20000"]

    done = subprocess.run(
        [*command, "--ledger", str(ledger)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

    assert done.returncode == 0, done.stderr[-2_000:]
    (line,) = map(json.loads, ledger.read_text().splitlines())
    assert line["messages"] == 20_000
