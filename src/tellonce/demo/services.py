"""The demonstration's services: each its own process, started by the same commands as in production."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tellonce.model.errors import InvariantError

__all__ = ["Commands", "RunningServices"]

_STOP_SECONDS = 10.0
# A dozen interpreters start at once, on two cores perhaps.
_START_SECONDS = 300.0


class Commands:
    """Runs `tellonce` commands for a department, with its settings in the environment."""

    def __init__(self, folder: Path, environments: Mapping[str, Mapping[str, str]]) -> None:
        """`environments` gives TELLONCE_ variables by department; logs go to the folder `logs` below `folder`."""
        self._environments = environments
        self.logs = folder / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)

    def start(self, department: str, *arguments: str) -> "subprocess.Popen[bytes]":
        """Starts a command, which adds to its log."""
        with self.log_of(department, *arguments).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tellonce", *arguments],
                env={**os.environ, **self._environments[department]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def log_of(self, department: str, *arguments: str) -> Path:
        """Gives the log of a command, which is named after it."""
        name = "-".join(argument for argument in arguments if not argument.startswith("-"))
        return self.logs / f"{name if department in name else f'{name}-{department}'}.log"

    def run(self, jobs: Sequence[tuple[str, Sequence[str]]]) -> None:
        """Runs commands at the same time and returns when all have ended well.

        Raises:
            InvariantError: one failed; names it and the end of its log.
        """
        running = [(department, arguments, self.start(department, *arguments)) for department, arguments in jobs]
        failed = [(department, arguments) for department, arguments, process in running if process.wait() != 0]
        if failed:
            department, arguments = failed[0]
            said = self._last_line(arguments)
            msg = f"`tellonce {' '.join(arguments)}` failed for {department}; see {self.logs}: {said}"
            raise InvariantError(msg, department=department)

    def _last_line(self, arguments: Sequence[str]) -> str:
        logs = sorted(self.logs.glob(f"{arguments[0]}*.log"), key=lambda path: path.stat().st_mtime)
        lines = logs[-1].read_text(errors="replace").strip().splitlines() if logs else []
        return lines[-1] if lines else "it said nothing"


class RunningServices:
    """Processes that run until they are stopped."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: dict[str, tuple[Path, int]] = {}

    def start(self, department: str, *arguments: str) -> None:
        """Starts a service."""
        name, log = " ".join(arguments), self._commands.log_of(department, *arguments)
        self._logs[name] = (log, log.stat().st_size if log.exists() else 0)
        self._processes[name] = self._commands.start(department, *arguments)

    def addresses(self) -> dict[str, str]:
        """Waits until every service serves its metrics, and gives where, `host:port` by the service's name.

        Raises:
            InvariantError: one has ended, or does not serve within five minutes; names it.
        """
        deadline = time.monotonic() + _START_SECONDS
        found: dict[str, str] = {}
        while silent := [name for name in self._processes if name not in found]:
            self.check()
            for name in silent:
                if address := _served_address(*self._logs[name]):
                    found[name] = address
            if time.monotonic() > deadline:
                msg = f"`tellonce {silent[0]}` serves no metrics {_START_SECONDS:.0f} s after its start"
                raise InvariantError(f"{msg}; see {self._commands.logs}", service=silent[0])
            time.sleep(0.1)
        return {name: found[name] for name in self._processes}

    def check(self) -> None:
        """Returns where every service still runs.

        Raises:
            InvariantError: one has ended by itself; names it and the folder of its log.
        """
        for name, process in self._processes.items():
            if process.poll() is not None:
                msg = f"the service `tellonce {name}` ended with code {process.returncode}; see {self._commands.logs}"
                raise InvariantError(msg, service=name)

    def stop(self, name: str | None = None) -> None:
        """Stops one service or all of them, each by its own process id; one that does not end in time is killed."""
        chosen = {n: p for n, p in self._processes.items() if name in (None, n)}
        for process in chosen.values():
            process.terminate()
        for each, process in chosen.items():
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            del self._processes[each]


def _served_address(log: Path, begin: int) -> str | None:
    """Gives the address that a service has logged since `begin`, in bytes; a service started anew has another."""
    with log.open("rb") as file:
        file.seek(begin)
        for line in file:
            if b'"metrics_served"' in line and line.endswith(b"\n"):
                return str(json.loads(line)["address"])
    return None
