"""Server processes for tests and demos: a port, a start, a clean stop, a crash, and no orphan left behind."""

import contextlib
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["ServerProcess", "answers_on", "free_port", "wait_for"]

LOWEST_PORT = 15_000
PORT_TRIES = 200
POLL_SECONDS = 0.05


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on, below the range from which the kernel serves clients.

    A port of the kernel's own range can be taken by any outgoing connection while its server is down, even by the one
    that a reconnecting client makes to that very port; a server could then not come back where it was.
    Nothing reserves the port: start the server soon, and choose another where it is taken by then.

    Raises:
        OSError: no port was free in 200 tries.
    """
    try:
        lowest_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    except OSError:
        lowest_ephemeral = 32_768
    highest = max(lowest_ephemeral - 1, LOWEST_PORT + 1_000)
    # The system's own randomness: a test runner that seeds `random` would give every process the same ports.
    generator = random.SystemRandom()
    for _ in range(PORT_TRIES):
        port = generator.randint(LOWEST_PORT, highest)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    message = f"no free port between {LOWEST_PORT} and {highest} on 127.0.0.1"
    raise OSError(message)


def answers_on(port: int) -> bool:
    """Whether somebody accepts connections on this port of 127.0.0.1."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Callable[[], bool], *, deadline_seconds: float) -> bool:
    """Whether the condition became true before the deadline; it is asked about 20 times a second."""
    deadline = time.monotonic() + deadline_seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


class ServerProcess:
    """One server that runs in its own session, logs to a file, and does not outlive the process that started it.

    Its own session keeps a terminal's Ctrl-C away from it: services stop first, then the server they use. A small
    shell waits on a pipe that closes when the starting process ends in whatever way, and then ends the server.
    Only processes started here are ever signalled, each by its own id.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        user: str | None = None,
        orphan_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        """Start the command in the log's folder; where root names a `user`, as that user and without root's groups."""
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                env=dict(environment),
                start_new_session=True,
                user=user,
                group=user_group(user),
                extra_groups=None if user is None else [],
            )
        name = orphan_signal.name.removeprefix("SIG")
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _; kill -s "$1" "$2"', "sh", name, str(self._process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The operating system's id of the server."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the server has not ended."""
        return self._process.poll() is None

    def why_silent(self, waited_seconds: float) -> str:
        """Why the server gives no answer, as the end of a sentence: it has ended, or it took too long."""
        code = self._process.poll()
        if code is None:
            return f"did not answer within {waited_seconds:.0f} s of its start"
        how = f"with exit code {code}" if code >= 0 else f"by signal {signal.Signals(-code).name}"
        return f"ended by itself, {how}, before it answered; it printed:"

    def log_tail(self, lines: int = 15) -> str:
        """The last lines that the server logged."""
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def stop(self, *, first: signal.Signals = signal.SIGTERM, grace_seconds: float = 15.0) -> bool:
        """End the server with the signal, and with SIGKILL after the grace; whether the first was enough."""
        try:
            self._process.send_signal(first)
            self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            return self.kill()
        self._release()
        return True

    def kill(self) -> bool:
        """End the server as a crash does, and wait until it is gone; always false: it had no time to close anything."""
        self._process.kill()
        self._process.wait()
        self._release()
        return False

    def _release(self) -> None:
        self._watcher.kill()
        self._watcher.wait()
        if self._watcher.stdin is not None:
            self._watcher.stdin.close()


def user_group(user: str | None) -> int | None:
    """The primary group of a user, or None for no user."""
    if user is None:
        return None
    import pwd  # noqa: PLC0415 - not there on every system, and needed only where a server must drop root's rights

    return pwd.getpwnam(user).pw_gid
