"""A Prometheus beside a run: on 127.0.0.1 at a port that is free, with its data in a folder of the run."""

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ruamel.yaml import YAML

from tellonce.model.errors import ConfigurationError, InvariantError
from tellonce.observability.alerts import Rules
from tellonce.testing.processes import ServerProcess, wait_for

__all__ = ["PrometheusServer", "find_prometheus"]

START_SECONDS = 30.0
# The services read how things stand every five seconds; a person at the page should not wait for much longer.
_SCRAPE = "2s"
# Prometheus tells itself which port it was given; asked for 0, nobody else can have taken it before.
_LISTENING = re.compile(r'msg="Listening on" address=(\S+)')


def find_prometheus() -> str:
    """Gives the path of the program `prometheus`.

    Raises:
        ConfigurationError: it is not installed; says how to get it.
    """
    found = shutil.which("prometheus")
    if found is None:
        msg = (
            "expected the program prometheus on PATH, found none; install it (Debian: apt-get install prometheus; "
            "elsewhere: https://prometheus.io/download)"
        )
        raise ConfigurationError(msg)
    return found


class PrometheusServer:
    """One Prometheus; a context manager that starts it, and stops it at its end. Its folder is the caller's.

    It scrapes nobody until `scrape` names whom. Not thread safe.
    """

    def __init__(self, folder: Path, rules: Rules) -> None:
        """Writes its configuration and starts nothing yet; `folder` is made, `rules` are evaluated as they are."""
        folder.mkdir(parents=True)
        self._folder = folder
        self._process: ServerProcess | None = None
        self._address = ""
        configuration: dict[str, Any] = {
            "global": {"scrape_interval": _SCRAPE, "scrape_timeout": _SCRAPE},
            "rule_files": ["rules.yml"],
            "scrape_configs": [{"job_name": "tellonce", "file_sd_configs": [{"files": ["targets.json"]}]}],
        }
        for name, document in (("prometheus.yml", configuration), ("rules.yml", rules)):
            with (folder / name).open("w", encoding="utf-8") as written:
                YAML().dump(document, written)  # pyright: ignore[reportUnknownMemberType] - ruamel types it in part
        self.scrape({})

    def __enter__(self) -> Self:
        """Starts it and waits until it answers.

        Raises:
            ConfigurationError: Prometheus is not installed.
            InvariantError: it did not start; the message ends with what it logged.
        """
        log = self._folder / "prometheus.log"
        command = [
            find_prometheus(),
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--web.listen-address=127.0.0.1:0",
        ]
        process = self._process = ServerProcess(command, log=log, environment=os.environ)

        def is_ready() -> bool:
            logged = log.read_text(encoding="utf-8", errors="replace")
            found = _LISTENING.search(logged)
            self._address = found[1] if found else ""
            return not process.is_running() or "Server is ready to receive web requests" in logged

        if not wait_for(is_ready, deadline_seconds=START_SECONDS) or not process.is_running() or not self._address:
            msg = f"prometheus {process.why_silent(START_SECONDS)}\n{process.log_tail()}"
            process.stop()
            raise InvariantError(msg)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops it."""
        if self._process is not None:
            self._process.stop()

    @property
    def url(self) -> str:
        """Where its pages and its API are."""
        return f"http://{self._address}"

    def scrape(self, services: Mapping[str, str]) -> None:
        """Has it scrape these from now on: addresses, `host:port`, by the name that is their label `instance`."""
        targets = [{"targets": [address], "labels": {"instance": name}} for name, address in services.items()]
        # Put in place in one go: Prometheus reads it as soon as it changes.
        new = self._folder / "targets.new"
        new.write_text(json.dumps(targets), encoding="utf-8")
        new.replace(self._folder / "targets.json")
