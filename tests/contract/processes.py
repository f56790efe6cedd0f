"""The contract city's services and commands as processes of their own, and all that they say and show."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import HTTPError
from urllib.request import urlopen

from contract.city import City
from waiting import wait_until

__all__ = ["Processes"]

Command = tuple[str, ...]

_ADDRESS = re.compile(r'"address": ?"([0-9.:]+)"')
_START_SECONDS, _COMMAND_SECONDS, _STOP_SECONDS = 45.0, 60.0, 20.0


class Processes:
    """Relay, appliers and reconciler of a city at log level debug, each with what it says in a file of its own."""

    def __init__(self, city: City, folder: Path) -> None:
        """Nothing runs yet; `folder` takes the logs."""
        names = city.names
        self.relay = ("relay", names.registry)
        self.appliers = {name: ("consume", name) for name in city.subscribers}
        self.reconciler = ("reconcile",)
        self._city = city
        self._folder = folder
        self._services: dict[Command, subprocess.Popen[bytes]] = {}
        folder.mkdir()

    def __enter__(self) -> Self:
        """Start the services; each serves its metrics when this returns, or none is left."""
        try:
            for command in (self.relay, *self.appliers.values(), self.reconciler):
                self._services[command] = self._start(command, command[-1])
            wait_until(self._all_serve, _START_SECONDS, what="every service serves its metrics")
        except BaseException:
            self._stop_all()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        """Stop the services; one that has ended by itself, or does not end well, is a failure."""
        codes = {command: service.poll() for command, service in self._services.items()}
        self._stop_all()
        if kind is None:
            assert not [command for command, code in codes.items() if code is not None], codes

    def stop(self, command: Command) -> None:
        """Stop a service."""
        service = self._services.pop(command)
        service.terminate()
        try:
            service.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            service.kill()
            service.wait()

    def _stop_all(self) -> None:
        for command in list(self._services):
            self.stop(command)

    def run(self, *commands: tuple[str, Command]) -> None:
        """Run commands, each on a department's host, at the same time; each must end well."""
        running = [(command, self._start(command, department)) for department, command in commands]
        for command, process in running:
            assert process.wait(_COMMAND_SECONDS) == 0, (command, self.said(command)[-2000:])

    def said(self, command: Command) -> str:
        """What a service or command has said so far, on standard output and standard error."""
        return self._log(command).read_text(encoding="utf-8", errors="replace")

    def shown(self) -> dict[str, bytes]:
        """What the services answer, and what the system tells of their processes."""
        shown: dict[str, bytes] = {}
        for command, service in self._services.items():
            for page in ("metrics", "healthz", "readyz"):
                shown[f"{page} of {' '.join(command)}"] = _answer(f"http://{self._address(command)}/{page}")
            for name in ("cmdline", "environ"):
                shown[f"{name} of {' '.join(command)}"] = Path(f"/proc/{service.pid}/{name}").read_bytes()
        return shown

    def _all_serve(self) -> bool:
        for command, service in self._services.items():
            assert service.poll() is None, self.said(command)[-2000:]
        return all(map(self._address, self._services))

    def _address(self, command: Command) -> str | None:
        found = _ADDRESS.search(self.said(command))
        return found[1] if found else None

    def _log(self, command: Command) -> Path:
        return self._folder / f"{'_'.join(command).replace('/', '-')}.log"

    def _start(self, command: Command, department: str) -> "subprocess.Popen[bytes]":
        department = department if department in self._city.departments else self._city.names.registry
        with self._log(command).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tellonce", *command],
                cwd=self._folder,
                env=os.environ | self._environment(department),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _environment(self, department: str) -> dict[str, str]:
        settings, kafka = self._city.settings(department), self._city.kafka
        given = {name: getattr(settings, name) for name in ("topology", "schemas", "producers", "consumers", "keys")}
        given |= {"database_url": settings.database(), "metrics_port": 0, "log_level": "debug"}
        given |= {"sweep_interval_seconds": 0.5}
        given |= {f"kafka__{name}": getattr(kafka, name) for name in ("bootstrap_servers", "group_protocol")}
        return {f"TELLONCE_{name.upper()}": str(value) for name, value in given.items()}


def _answer(address: str) -> bytes:
    try:
        with urlopen(address, timeout=10) as answer:  # noqa: S310 - an address of this machine
            return bytes(answer.read())
    except HTTPError as error:
        return error.read()
