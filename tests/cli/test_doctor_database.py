"""Each fault of database and ports that `tellonce doctor` looks for, and the command where everything is dead."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from cli.planting import DEPARTMENT, World, assert_finding, look, states
from tellonce.cli.doctor import kafka
from tellonce.cli.doctor.checks import State
from tellonce.cli.doctor.probes import TOTAL_SECONDS, Listener, real_probes
from tellonce.cli.main import app
from tellonce.demo.tables import create_and_fill
from tellonce.observability.serving import Health, HealthServer
from tellonce.storage.database import open_database


def test_database_file_that_is_missing_is_not_made(given: dict[str, Any], tmp_path: Path) -> None:
    """To look at a SQLite file that is not there must not make it."""
    given["database_url"] = f"sqlite:///{tmp_path / 'none.db'}"

    found = look(given)

    assert_finding(found["database"], State.FAIL, "none.db, found no such file", "TELLONCE_DATABASE_URL")
    assert not (tmp_path / "none.db").exists()
    assert {"clock", "own tables", "tables", "capture"} <= states(found, State.SKIPPED)


def test_database_that_is_not_set_is_told(given: dict[str, Any]) -> None:
    """A department's services need their database."""
    assert_finding(look({**given, "database_url": None})["database"], State.FAIL, "found neither", "DATABASE_URL")


@pytest.mark.parametrize("ahead_ms", [60_000, -60_000])
def test_clock_that_differs_from_the_databases_is_warned_of(given: dict[str, Any], ahead_ms: int) -> None:
    """Delays and lags are told by both clocks."""
    finding = look(given, World(ahead_ms=ahead_ms))["clock"]

    assert_finding(finding, State.WARN, "ahead of" if ahead_ms > 0 else "behind", "NTP")


def test_own_tables_that_are_missing_are_told(given: dict[str, Any], tmp_path: Path) -> None:
    """A department that was never installed is told how."""
    engine = open_database(f"sqlite:///{tmp_path / 'bare.db'}")
    create_and_fill(engine, DEPARTMENT, {})
    engine.dispose()

    found = look({**given, "database_url": f"sqlite:///{tmp_path / 'bare.db'}"})

    assert_finding(found["own tables"], State.FAIL, "found none", f"tellonce install {DEPARTMENT}")
    assert found["capture"].state is State.SKIPPED


@pytest.mark.parametrize(
    ("listener", "state"),
    [
        (Listener.NOBODY, State.OK),
        (Listener.TELLONCE, State.OK),
        (Listener.SOMEBODY, State.FAIL),
        (Listener.FORBIDDEN, State.FAIL),
    ],
)
def test_metrics_port_is_free_or_tellonces_own(given: dict[str, Any], listener: Listener, state: State) -> None:
    """A service that runs already is no fault; another program at its port is."""
    finding = look(given, World(listener=listener))["metrics port"]

    assert finding.state is state
    assert (finding.remedy is None) == (state is State.OK)


def test_listener_is_told_apart() -> None:
    """A port is nobody's, tellonce's, another program's, or none of this machine's."""
    probe = real_probes().listener_at
    with HealthServer(CollectorRegistry(), Health(limit_seconds=60), host="127.0.0.1", port=0) as server:
        port = int(server.address.rpartition(":")[2])
        assert probe("127.0.0.1", port, 5.0) is Listener.TELLONCE
    assert probe("127.0.0.1", port, 0.2) is Listener.NOBODY
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert probe("127.0.0.1", other.getsockname()[1], 0.2) is Listener.SOMEBODY
    assert probe("192.0.2.1", 0, 0.2) is Listener.FORBIDDEN


def test_every_probe_is_given_its_limit(given: dict[str, Any]) -> None:
    """Nothing waits as long as a library would by itself, and all together stay below what a person waits."""
    world = World()

    look(given, world)

    assert set(world.limits) == {"resolve", "connect", "database", "listener"}
    given_limits = [*world.broker.limits, *(limit for some in world.limits.values() for limit in some)]
    assert all(0 < limit <= 2.5 for limit in given_limits)
    assert max(kafka.NETWORK_SECONDS.values()) < TOTAL_SECONDS < 10


def test_everything_dead_is_told_without_a_traceback(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ends with what is dead and with the code of the first failure."""
    for name in os.environ:
        if name.startswith("TELLONCE_"):
            monkeypatch.delenv(name)
    for name, value in given.items():
        if name not in {"kafka", "database_url"}:
            monkeypatch.setenv(f"TELLONCE_{name.upper()}", str(value))
    monkeypatch.setenv("TELLONCE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("TELLONCE_DATABASE_URL", "postgresql://clerk:hunter2@127.0.0.1:1/a")
    monkeypatch.setenv("TELLONCE_METRICS_PORT", "0")

    shown = CliRunner().invoke(app, ["doctor", DEPARTMENT, "--json"])
    table = CliRunner().invoke(app, ["doctor", DEPARTMENT])

    document = json.loads(shown.stdout)
    found = {one["name"]: one["state"] for one in document["checks"]}
    assert shown.exit_code == table.exit_code == 4
    assert document["format"] == 1
    assert {name for name, state in found.items() if state == "fail"} == {"broker port", "database"}
    assert found["topics"] == found["capture"] == "skipped"
    assert "! fail" in table.stdout
    assert "hunter2" not in shown.output + table.output
