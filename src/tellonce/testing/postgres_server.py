"""A real PostgreSQL server for tests and demos, from the system's binaries, in a temporary folder."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from tellonce.model.errors import ConfigurationError, RetryableError
from tellonce.testing.processes import ServerProcess, free_port, user_group, wait_for

__all__ = ["PostgresServer", "PostgresSettings", "find_postgres"]

SUPERUSER = "city"
# Debian and its kin keep each version here, off PATH.
SYSTEM_FOLDER = Path("/usr/lib/postgresql")
START_SECONDS = 60.0
START_TRIES = 3
INITDB_SECONDS = 120
# Linux refuses a socket path above 107 bytes; the file's name takes up to 20 of them.
LONGEST_SOCKET_FOLDER = 87
# Both pass with time: a port in use, and the shared memory of a killed server whose children have not ended yet.
PASSING_TROUBLE = ("Address already in use", "still in use", "is another postmaster")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresSettings:
    """How a test server differs from PostgreSQL's defaults.

    `fsync` off makes commits quick and loses them only with the machine, not with a killed server: benchmarks and power
    loss tests turn it on. `properties` override any setting of postgresql.conf, values as written there.
    """

    fsync: bool = False
    max_connections: int = 200
    properties: tuple[tuple[str, str], ...] = ()


def find_postgres() -> Path:
    """The folder with `initdb` and `postgres`: that of PATH, else the newest below /usr/lib/postgresql.

    Raises:
        ConfigurationError: there is none.
    """
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    found = [path.parent for path in SYSTEM_FOLDER.glob("*/bin/initdb")]
    if not found:
        message = "a real PostgreSQL needs initdb, on PATH or below /usr/lib/postgresql: install PostgreSQL's server"
        raise ConfigurationError(message)
    return max(found, key=lambda folder: [int(part) for part in folder.parent.name.split(".") if part.isdigit()])


def unprivileged_user() -> str | None:
    """As whom the server runs: PostgreSQL refuses root, so root lends it to `postgres` or `nobody`."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for user in ("postgres", "nobody"):
        if user in known:
            return user
    message = "PostgreSQL refuses to run as root, and this system has neither a user postgres nor nobody: add one"
    raise ConfigurationError(message)


class PostgresServer:
    """One PostgreSQL server; a context manager that starts it, and at its end stops it and removes its folder.

    It listens on 127.0.0.1 and on a socket in its folder, for one superuser with a generated password (SCRAM).
    `stop` and `kill` keep the data and the port: `start` goes on with both. Not thread safe.
    """

    def __init__(self, settings: PostgresSettings | None = None) -> None:
        """Prepare nothing yet; `start` or `with` does."""
        self._settings = settings or PostgresSettings()
        self._folder: Path | None = None
        self._process: ServerProcess | None = None
        self._user: str | None = None
        self._port = 0
        self._password = secrets.token_hex(16)

    def __enter__(self) -> Self:
        """Start the server; what a failed start left behind is removed."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server and remove its folder."""
        self.close()

    @property
    def port(self) -> int:
        """The port on 127.0.0.1; the same after a restart."""
        return self._port

    @property
    def folder(self) -> Path:
        """Where the server keeps its data, its log (`server.log`) and its socket.

        Raises:
            ConfigurationError: the server was never started, or is closed.
        """
        if self._folder is None:
            message = "the test PostgreSQL has no folder yet: start it first"
            raise ConfigurationError(message)
        return self._folder

    @property
    def pid(self) -> int | None:
        """The operating system's id of the running server, None where it does not run."""
        return self._process.pid if self.is_running() and self._process is not None else None

    def url(self, database: str = "postgres") -> str:
        """The SQLAlchemy address of a database of this server; it holds the password."""
        return f"postgresql+psycopg://{SUPERUSER}:{self._password}@127.0.0.1:{self._port}/{database}"

    def is_running(self) -> bool:
        """Whether the server's process is there."""
        return self._process is not None and self._process.is_running()

    def create_database(self, name: str) -> str:
        """Make an empty database and give its SQLAlchemy address.

        Raises:
            RetryableError: the server is away, or has a database of that name.
        """
        self._execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, ending the connections that are still in it; one that is not there is no error.

        Raises:
            RetryableError: the server is away.
        """
        self._execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))

    def start(self) -> None:
        """Start the server, and return when it answers; 1 to 3 s the first time.

        Raises:
            ConfigurationError: PostgreSQL's server is not installed, or no unprivileged user can run it.
            RetryableError: the server did not start; the end of its log is given.
        """
        if self.is_running():
            return
        binaries = find_postgres()
        is_first = self._folder is None
        if is_first:
            self._prepare(binaries)
        for attempt in range(1, START_TRIES + 1):
            if self._spawn(binaries):
                return
            if attempt == START_TRIES:
                self._fail(f"could not take port {self._port} of 127.0.0.1")
            if is_first:
                self._port = free_port()
            else:
                time.sleep(1)

    def stop(self) -> None:
        """Stop the server cleanly, ending its sessions (fast shutdown), or kill it where that takes above 15 s."""
        if self._process is not None:
            self._process.stop(first=signal.SIGINT)
            self._process = None

    def kill(self) -> None:
        """End the server and its sessions by SIGKILL, as a crash does; its data and port stay for `start`."""
        if self._process is None:
            return
        children = self._children()
        self._process.kill()
        self._process = None
        # They would notice by themselves, but a session in the middle of a long statement only at its end.
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def restart(self) -> None:
        """Stop the server cleanly and start it on the same port and data.

        Raises:
            RetryableError: it did not come back.
        """
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the server and remove its folder."""
        self.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _children(self) -> list[int]:
        if self._process is None:
            return []
        pid = self._process.pid
        try:
            listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        except OSError:
            return []
        return [int(child) for child in listed.split()]

    def _prepare(self, binaries: Path) -> None:
        """Make the data folder, owned by the user who will run the server."""
        self._user = unprivileged_user()
        self._folder = Path(tempfile.mkdtemp(prefix="tellonce-postgres-"))
        password_file = self._folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password, encoding="ascii")
        if self._user is not None:
            for path in (self._folder, password_file):
                os.chown(path, pwd.getpwnam(self._user).pw_uid, user_group(self._user) or 0)
        options = ["--auth=scram-sha-256", f"--username={SUPERUSER}", f"--pwfile={password_file}"]
        options += ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        result = subprocess.run(
            [str(binaries / "initdb"), *options, "-D", str(self._folder / "data")],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=INITDB_SECONDS,
            cwd=self._folder,
            env=self._environment(),
            user=self._user,
            group=user_group(self._user),
            extra_groups=None if self._user is None else [],
        )
        password_file.unlink()
        if result.returncode:
            message = f"initdb could not make {self._folder / 'data'}: {result.stderr.strip()[-500:]}"
            raise RetryableError(message)
        self._port = free_port()

    def _environment(self) -> dict[str, str]:
        # Whatever PG… variables the person has set are for other servers.
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", "HOME": str(self.folder)}

    def _spawn(self, binaries: Path) -> bool:
        """Start the process and wait until it answers; false where trouble of a passing kind ended it.

        Raises:
            RetryableError: the server ended, or did not answer in time.
        """
        switch = "on" if self._settings.fsync else "off"
        has_room = len(os.fsencode(self.folder)) <= LONGEST_SOCKET_FOLDER
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": str(self.folder) if has_room else "",
            "max_connections": str(self._settings.max_connections),
            "fsync": switch,
            "full_page_writes": switch,
            # Even without fsync: a commit that the server answered must survive the server's own crash.
            "synchronous_commit": "on",
        } | dict(self._settings.properties)
        command = [str(binaries / "postgres"), "-D", str(self.folder / "data")]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        process = ServerProcess(
            command,
            log=self.folder / "server.log",
            environment=self._environment(),
            user=self._user,
            orphan_signal=signal.SIGQUIT,
        )
        self._process = process
        answered = wait_for(lambda: not process.is_running() or self._answers(), deadline_seconds=START_SECONDS)
        if process.is_running() and answered:
            return True
        if not process.is_running() and any(trouble in process.log_tail(5) for trouble in PASSING_TROUBLE):
            process.stop()
            self._process = None
            return False
        self._fail(process.why_silent(START_SECONDS))
        return False

    def _fail(self, reason: str) -> None:
        tail = self._process.log_tail() if self._process is not None else ""
        self.stop()
        message = f"the test PostgreSQL {reason}\n{tail}"
        raise RetryableError(message)

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host="127.0.0.1",
            port=self._port,
            user=SUPERUSER,
            password=self._password,
            dbname="postgres",
            connect_timeout=5,
            autocommit=True,
        )

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _execute(self, statement: sql.Composed) -> None:
        try:
            with self._connect() as connection:
                connection.execute(statement)
        except psycopg.Error as error:
            message = f"the test PostgreSQL refused a statement: {str(error).strip()}"
            raise RetryableError(message) from error
