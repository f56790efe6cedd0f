"""A defect at the command line: commands say its class and places, services log them, and neither quotes a record."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CANARY = "Canary-110105491231002"

# What a service runs into, planted where the public names do not reach.
FAULTY_SERVICE = f"""
import sys, threading
from tellonce.cli import wiring
from tellonce.model.errors import RetryableError

class Faulty:
    def turn(self):
        {{turn}}
        return False

    def is_done(self):
        return True

    def pause(self):
        pass

def opened(settings, *arguments):
    arguments[-1].callback(close)
    {{opening}}
    return Faulty(), None

def close():
    {{closing}}

def fault():
    raise KeyError({CANARY!r})

wiring.open_relay = wiring.open_reconciler = opened
from tellonce.cli.main import main
main()
"""


def run(*command: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Runs Python from the checkout with these TELLONCE_ settings alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TELLONCE_")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**kept, **{f"TELLONCE_{name.upper()}": value for name, value in settings.items()}},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def run_faulty(
    *arguments: str, turn: str = "pass", opening: str = "pass", closing: str = "pass"
) -> "subprocess.CompletedProcess[str]":
    """Runs a service that does these things; what it says on standard error holds neither value nor traceback."""
    done = run("-c", FAULTY_SERVICE.format(turn=turn, opening=opening, closing=closing), *arguments)
    assert_says_nothing_of_records(done)
    return done


def assert_says_nothing_of_records(done: "subprocess.CompletedProcess[str]") -> None:
    """Asserts that the value is nowhere, and that Python has printed nothing by itself."""
    assert CANARY not in done.stdout + done.stderr
    assert "110105" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "raise " not in done.stderr


def unforeseen_in(done: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    """The log's events about what nobody foresaw."""
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "unforeseen_error"]


def test_command_names_class_code_and_places(tmp_path: Path) -> None:
    """A statement that fails on a table somebody has changed is told by class, code and places, not by its values."""
    database = {"database_url": f"sqlite:///{tmp_path / 'fund.db'}"}
    assert run("-m", "tellonce", "install", "provident-fund", "--yes", **database).returncode == 0
    with sqlite3.connect(tmp_path / "fund.db") as connection:
        connection.execute("ALTER TABLE tellonce_parked RENAME COLUMN pseudonym TO renamed")
    connection.close()

    done = run("-m", "tellonce", "parked", "discard", "citizen.identity", CANARY, "--yes", **database)

    assert_says_nothing_of_records(done)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("tellonce: stopped by sqlalchemy.exc.OperationalError (SQLITE_ERROR), which nobody ")
    assert lines[0].startswith("  caused by sqlite3.OperationalError (SQLITE_ERROR) at sqlalchemy/engine/")
    assert any(line.startswith("  at tellonce/cli/department_commands.py:") for line in lines)
    assert lines[-2].startswith("  at sqlalchemy/engine/")
    # What the page shows an operator is what is said.
    assert lines[-1] in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [("relay", "public-security"), ("reconcile",)])
@pytest.mark.parametrize("where", ["opening", "closing"])
def test_service_logs_one_event_and_ends(arguments: tuple[str, ...], where: str) -> None:
    """What a service did not foresee is one line of its log with class and frames, and it ends with code 1."""
    done = run_faulty(*arguments, **{"opening": "fault()", where: "fault()"})

    assert done.returncode == 1
    assert "tellonce: stopped" not in done.stderr
    first = unforeseen_in(done)[0]
    assert len(unforeseen_in(done)) == (1 if where == "opening" else 2)
    assert (first["level"], first["error"]) == ("error", "KeyError")
    assert first["service"]
    assert first["frames"][-1].endswith(" fault")
    assert any(frame.startswith("tellonce/cli/") for frame in first["frames"])


def test_trouble_of_closing_does_not_hide_what_came_before() -> None:
    """Where the database is away when a service ends over a defect, both are told."""
    done = run_faulty("relay", "public-security", turn="fault()", closing="raise RetryableError('it is away')")

    assert [line["error"] for line in unforeseen_in(done)] == ["KeyError"]
    assert "tellonce: it is away" in done.stderr


def test_error_of_a_services_thread_is_logged() -> None:
    """A thread that ends over a defect is told in the log, and its service goes on."""
    turn = "thread = threading.Thread(target=fault); thread.start(); thread.join()"

    done = run_faulty("relay", "public-security", "--once", turn=turn)

    assert done.returncode == 0, done.stderr
    (event,) = unforeseen_in(done)
    assert event["error"] == "KeyError"
    assert event["frames"][0].startswith("threading.py:")
    assert event["frames"][-1].endswith(" fault")


def test_error_of_a_commands_thread_is_told() -> None:
    """A command says what ended a thread of it, and that it went on."""
    program = f"""
import threading
from tellonce.cli import contract_commands

def fault():
    raise KeyError({CANARY!r})

def load(path):
    thread = threading.Thread(target=fault)
    thread.start()
    thread.join()
    raise SystemExit(0)

contract_commands.load_topology = load
from tellonce.cli.main import main
main()
"""

    done = run("-c", program, "topology", "show")

    assert_says_nothing_of_records(done)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].startswith("tellonce: went on after KeyError, which nobody foresaw")
