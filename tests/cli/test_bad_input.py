"""What goes wrong at the command line is one sentence on standard error, an exit code, and never a traceback."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tellonce.keyring import new_view_keys
from tellonce.topology import load_topology

ROOT = Path(__file__).parents[2]


def tellonce(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Runs a command from the checkout with these TELLONCE_ settings alone."""
    environment: Mapping[str, str] = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TELLONCE_")},
        **{f"TELLONCE_{name.upper()}": value for name, value in settings.items()},
    }
    return subprocess.run(
        [sys.executable, "-m", "tellonce", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Keys of every view of the city."""
    for view in load_topology(ROOT / "topology.yaml").views():
        new_view_keys(tmp_path / "keys", view.name)
    return tmp_path / "keys"


def assert_one_sentence(done: "subprocess.CompletedProcess[str]", code: int, *parts: str) -> None:
    """Asserts exit code, parts of the sentence, and that neither a traceback nor librdkafka's log is shown."""
    assert done.returncode == code, done.stderr
    assert all(part in done.stderr for part in parts), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "Traceback" not in done.stderr


def test_broker_that_is_away_is_one_sentence(keys: Path, tmp_path: Path) -> None:
    """Nothing of librdkafka's log reaches the person who starts a relay without a broker."""
    url = f"sqlite:///{tmp_path / 'a.db'}"

    done = tellonce(
        "relay", "public-security", keys=str(keys), database_url=url, kafka__bootstrap_servers="127.0.0.1:1"
    )

    assert_one_sentence(done, 4, "nothing listens at 127.0.0.1:1")


def test_database_that_is_away_is_one_sentence(keys: Path) -> None:
    """The sentence names the database without its password."""
    url = "postgresql+psycopg://clerk:hunter2@127.0.0.1:1/fund"

    done = tellonce("consume", "provident-fund", keys=str(keys), database_url=url)

    assert_one_sentence(done, 4, "expected the database", "127.0.0.1:1/fund")
    assert "hunter2" not in done.stderr


def test_unknown_department_is_named_with_those_that_are(tmp_path: Path) -> None:
    """A misspelt department shows which there are."""
    done = tellonce("relay", "fund", database_url=f"sqlite:///{tmp_path / 'a.db'}")

    assert_one_sentence(done, 3, "found fund", "provident-fund")


def test_binding_of_a_missing_table_names_file_and_line(keys: Path, tmp_path: Path) -> None:
    """A table that is not in the database is an error of the declaration, with its place."""
    done = tellonce("consume", "healthcare", keys=str(keys), database_url=f"sqlite:///{tmp_path / 'a.db'}")

    assert_one_sentence(done, 3, "consumers/healthcare.py:", "patient_index")


def test_malformed_topology_names_line_and_column(tmp_path: Path) -> None:
    """The place in the file is the first thing of the error."""
    broken = tmp_path / "topology.yaml"
    broken.write_text("city: X\ndepartments: [\n")

    done = tellonce("topology", "show", topology=str(broken))

    assert done.returncode == 3
    assert f"{broken}:" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_setting_names_its_variable() -> None:
    """A value that a setting does not take is said with the variable's name."""
    done = tellonce("check", log_form="xml")

    assert_one_sentence(done, 3, "TELLONCE_LOG_FORM")


def test_missing_database_setting_names_its_variables() -> None:
    """Without a database the command says which variable to set."""
    done = tellonce("relay", "public-security")

    assert_one_sentence(done, 3, "TELLONCE_DATABASE_URL")


def test_missing_key_names_the_command_that_makes_it(tmp_path: Path) -> None:
    """A department without a view's key is told who makes it and how."""
    done = tellonce(
        "relay", "public-security", keys=str(tmp_path / "none"), database_url=f"sqlite:///{tmp_path / 'a.db'}"
    )

    assert_one_sentence(done, 3, "tellonce keys new citizen.identity")


def test_keys_are_never_replaced(keys: Path) -> None:
    """A second key of a view would silently begin another epoch."""
    done = tellonce("keys", "new", "citizen.identity", keys=str(keys))

    assert_one_sentence(done, 3, "is there already")


def test_check_of_the_city_is_clean() -> None:
    """The checkout's own contract and declarations pass, and the answer is one JSON document."""
    done = tellonce("check", "--json")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip().startswith("{")


def test_demo_too_large_for_the_embedded_broker_is_refused() -> None:
    """Sizes that the embedded broker would silently lose are refused beforehand."""
    done = tellonce("demo", "--residents", "50000")

    assert_one_sentence(done, 3, "5 MB in a partition", "--broker kafka")
