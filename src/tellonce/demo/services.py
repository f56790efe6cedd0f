"""The demonstration's services: each its own process, started by the same commands as in production."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tellonce.model.errors import InvariantError

__all__ = ["Commands", "RunningServices"]

_STOP_SECONDS = 10.0


class Commands:
    """Runs `tellonce` commands for a department, with its settings in the environment."""

    def __init__(self, folder: Path, environments: Mapping[str, Mapping[str, str]]) -> None:
        """`environments` gives TELLONCE_ variables by department; logs go to the folder `logs` below `folder`."""
        self._environments = environments
        self.logs = folder / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)

    def start(self, department: str, *arguments: str) -> "subprocess.Popen[bytes]":
        """Starts a command; its log is named after it."""
        name = "-".join(argument for argument in arguments if not argument.startswith("-"))
        name = name if department in name else f"{name}-{department}"
        with (self.logs / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tellonce", *arguments],
                env={**os.environ, **self._environments[department]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

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

    def start(self, department: str, *arguments: str) -> None:
        """Starts a service."""
        self._processes[" ".join(arguments)] = self._commands.start(department, *arguments)

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
