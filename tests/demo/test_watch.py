"""The demonstration watched: what is refused before anything starts, and how Prometheus learns where services are."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import leave_out
from tellonce.cli.settings import load_settings
from tellonce.demo.prometheus import PrometheusServer, find_prometheus
from tellonce.demo.services import Commands, RunningServices
from tellonce.demo.show import where_to_look
from tellonce.demo.sites import Sites
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import ConfigurationError, InvariantError

SERVES = """
import json, time
print(json.dumps({{"event": "metrics_served", "address": "127.0.0.1:{port}"}}), flush=True)
time.sleep(600)
"""


class Speaking(Commands):
    """Instead of a service starts a program; what it is at its n-th start is told by its port, n."""

    def __init__(self, folder: Path, program: str = SERVES) -> None:
        """Unless given another, the program logs that it serves, and stays."""
        super().__init__(folder, {})
        self._program = program
        self._started = 0

    def start(self, department: str, *arguments: str) -> "subprocess.Popen[bytes]":
        """Starts it; its log is the service's."""
        self._started += 1
        program = self._program.format(port=self._started)
        with self.log_of(department, *arguments).open("ab") as log:
            return subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.DEVNULL, stdout=log)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[RunningServices]:
    """Services that say where they serve."""
    running = RunningServices(Speaking(tmp_path))
    yield running
    running.stop()


def test_watch_without_prometheus_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """Who has no Prometheus is told at once, in one sentence, how to get it."""
    done = subprocess.run(
        [sys.executable, "-m", "tellonce", "demo", "--watch"],
        env={**os.environ, "PATH": str(tmp_path / "nothing"), "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 3, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "apt-get install prometheus" in done.stderr
    assert not list(tmp_path.iterdir())


def test_address_of_a_service_is_the_one_of_its_newest_start(services: RunningServices) -> None:
    """A service that was started anew is scraped where it serves now, and not where its log says it once did."""
    services.start("healthcare", "consume", "healthcare")
    services.start("public-security", "reconcile")
    before = services.addresses()
    services.stop("reconcile")
    services.start("public-security", "reconcile")

    assert before == {"consume healthcare": "127.0.0.1:1", "reconcile": "127.0.0.1:2"}
    assert services.addresses() == {"consume healthcare": "127.0.0.1:1", "reconcile": "127.0.0.1:3"}


def test_service_that_ends_before_it_serves_is_named(tmp_path: Path) -> None:
    """A service that cannot start is a failure with its name, and not a wait for ever."""
    services = RunningServices(Speaking(tmp_path, program="raise SystemExit(3)"))
    services.start("healthcare", "consume", "healthcare")

    with pytest.raises(InvariantError, match="tellonce consume healthcare` ended with code 3"):
        services.addresses()


def test_env_files_give_a_department_its_settings_and_nobody_else(tmp_path: Path) -> None:
    """Commands can be given to a running demonstration by hand, and a database's password is its owner's to read."""
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:9", group_protocol="classic")
    Sites(folder=tmp_path, kafka=kafka, databases={"healthcare": "sqlite:///there.db"}).write_env_files()

    file = tmp_path / "healthcare.env"

    settings = load_settings(file)
    assert settings.kafka.bootstrap_servers == "127.0.0.1:9"
    assert settings.topology == tmp_path / "topology.yaml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_where_to_look_names_prometheus_every_service_and_the_uid_of_the_pages() -> None:
    """A person finds the pages without reading the code."""
    said = "\n".join(where_to_look("http://127.0.0.1:1", {"reconcile": "127.0.0.1:2"}))

    for part in ("http://127.0.0.1:1/graph", "http://127.0.0.1:2/metrics", "tellonce-prometheus", "docs/dashboards.md"):
        assert part in said


@pytest.mark.server
def test_prometheus_that_cannot_start_says_why(tmp_path: Path) -> None:
    """Rules that Prometheus refuses end the run with what it logged, and leave no process."""
    try:
        find_prometheus()
    except ConfigurationError as error:
        leave_out(error)
    refused = PrometheusServer(tmp_path / "prometheus", {"groups": [{"name": "one", "rules": [{"expr": "("}]}]})

    with pytest.raises(InvariantError, match="before it answered"), refused:
        pass
