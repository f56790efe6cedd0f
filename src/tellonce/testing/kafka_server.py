"""A real Apache Kafka of one node for tests and demos: KRaft, no containers, free ports, a temporary folder."""

# confluent_kafka.admin is typed, but names what it offers in no __all__ and gives its futures no result type.
# pyright: reportPrivateImportUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from tellonce.model.errors import ConfigurationError, RetryableError
from tellonce.testing.kafka_jars import find_java, kafka_jars
from tellonce.testing.kafka_security import ADMIN, BROKER, Security
from tellonce.testing.processes import ServerProcess, answers_on, free_port, wait_for

__all__ = ["KafkaServer", "KafkaSettings"]

START_SECONDS = 60.0
START_TRIES = 3
FORMAT_SECONDS = 60
ADMIN_SECONDS = 10.0
SCRAM_ITERATIONS = 4096
PORT_TAKEN = "Address already in use"

LOG4J = """<Configuration status="ERROR">
  <Appenders><Console name="out"><PatternLayout pattern="%d{ISO8601} %p %c{1}: %m%n%throwable"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""

# One node, so every internal topic has one replica; one partition each, since fifty would only slow the first use.
BROKER_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "inter.broker.listener.name": "CLIENT",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # A killed broker may register again once its session is over: 3 s instead of 9 s.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    # The cleaner looks for work every 200 ms (15 s by default), so that a test which makes a topic with a short
    # segment.ms and a small min.cleanable.dirty.ratio sees it compacted in a second or two.
    "log.cleaner.threads": "1",
    "log.cleaner.backoff.ms": "200",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "log.initial.task.delay.ms": "500",
    "log.retention.check.interval.ms": "500",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """How a test broker differs from the plain one.

    `secure` turns on TLS, SCRAM-SHA-512 and the standard authorizer (default deny); `users` are then made at the first
    start, password by name. `properties` override any setting of the broker.
    """

    secure: bool = False
    users: Mapping[str, str] | None = None
    properties: Mapping[str, str] | None = None
    heap_mb: int = 512


class KafkaServer:
    """One broker of one node; a context manager that starts it, and at its end stops it and removes its folder.

    `stop` and `kill` keep the data and the port: `start` goes on with both. Not thread safe.
    """

    def __init__(self, settings: KafkaSettings | None = None) -> None:
        """Prepare nothing yet; `start` or `with` does.

        Raises:
            ConfigurationError: users were given for a broker that is not secured.
        """
        self._settings = settings or KafkaSettings()
        if self._settings.users and not self._settings.secure:
            message = "only a secured test broker has users: set secure=True"
            raise ConfigurationError(message)
        self._folder: Path | None = None
        self._security: Security | None = None
        self._process: ServerProcess | None = None
        self._port = 0
        self._controller_port = 0
        self._cluster = ""

    def __enter__(self) -> Self:
        """Start the broker; what a failed start left behind is removed."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the broker and remove its temporary folder."""
        self.close()

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients, `127.0.0.1:port`; the same after a restart."""
        return f"127.0.0.1:{self._port}"

    @property
    def folder(self) -> Path:
        """Where the broker keeps its configuration, its log (`server.log`) and its data.

        Raises:
            ConfigurationError: the broker was never started, or is closed.
        """
        if self._folder is None:
            message = "the test broker has no folder yet: start it first"
            raise ConfigurationError(message)
        return self._folder

    @property
    def pid(self) -> int | None:
        """The operating system's id of the running broker, None where it does not run."""
        return self._process.pid if self.is_running() and self._process is not None else None

    @property
    def ca_path(self) -> Path:
        """The certificate that clients of a secured broker must trust.

        Raises:
            ConfigurationError: the broker is not secured, or was never started.
        """
        return self._secured().ca_path

    @property
    def passwords(self) -> Mapping[str, str]:
        """The password of each user of a secured broker, the super user `admin` among them.

        Raises:
            ConfigurationError: the broker is not secured, or was never started.
        """
        return {user: password for user, password in self._secured().passwords.items() if user != BROKER}

    def client_settings(self, user: str = ADMIN) -> dict[str, str]:
        """The confluent-kafka settings with which this user reaches the broker; a plain broker asks for no user.

        Raises:
            ConfigurationError: a secured broker has no such user.
        """
        settings = {"bootstrap.servers": self.bootstrap_servers}
        return settings | (self._security.client_settings(user) if self._security is not None else {})

    def is_running(self) -> bool:
        """Whether the broker's process is there."""
        return self._process is not None and self._process.is_running()

    def start(self) -> None:
        """Start the broker, and return when a client gets metadata; about 4 s, 5 s where secured.

        Raises:
            ConfigurationError: java, mvn or openssl is missing, or java is older than 17.
            RetryableError: the jars could not be fetched, or the broker did not start; the end of its log is given.
        """
        if self.is_running():
            return
        java, jars = find_java(), kafka_jars()
        if self._folder is not None:
            if not self._spawn(java, jars):
                self._fail(f"could not take its port {self._port} of 127.0.0.1 again")
            return
        for _ in range(START_TRIES):
            self._prepare(java, jars)
            if self._spawn(java, jars):
                break
            self._discard_folder()
        else:
            self._fail(f"found its port taken {START_TRIES} times")
        for user, password in (self._settings.users or {}).items():
            self.add_user(user, password)

    def stop(self) -> None:
        """Stop the broker cleanly, by SIGTERM; it is killed where it does not end within 15 s."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """End the broker by SIGKILL, as a crash does; its data and port stay for `start`."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        """Stop the broker cleanly and start it on the same port and data.

        Raises:
            RetryableError: it did not come back.
        """
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the broker and remove its folder."""
        self.stop()
        self._discard_folder()

    def add_user(self, user: str, password: str) -> None:
        """Make a user of a secured broker, or change its password, and return when the user can log in.

        The user has no rights but those that ACLs give.

        Raises:
            ConfigurationError: the broker is not secured.
            RetryableError: the broker refused, or did not know the user within 10 s.
        """
        security = self._secured()
        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, SCRAM_ITERATIONS)
        change = UserScramCredentialUpsertion(user, credential, password.encode())
        # The client must outlive the answer: a collected client fails what it still waits for.
        admin = self._admin(ADMIN)
        try:
            outcomes: dict[str, Future[None]] = admin.alter_user_scram_credentials([change])
            outcomes[user].result(ADMIN_SECONDS)
        except KafkaException as error:
            message = f"the test broker did not store user {user!r}: {error}"
            raise RetryableError(message) from error
        security.passwords[user] = password
        if not wait_for(lambda: self._has_metadata(user), deadline_seconds=ADMIN_SECONDS):
            message = f"the test broker did not let user {user!r} in within {ADMIN_SECONDS:.0f} s of storing it"
            raise RetryableError(message)

    def _secured(self) -> Security:
        if self._security is None:
            message = "the test broker is not secured, or was never started: set secure=True and start it"
            raise ConfigurationError(message)
        return self._security

    def _prepare(self, java: str, jars: Path) -> None:
        """Choose ports, write the configuration and format the data folder."""
        self._folder = Path(tempfile.mkdtemp(prefix="tellonce-kafka-"))
        self._port, self._controller_port = free_port(), free_port()
        properties = BROKER_PROPERTIES | {
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self._controller_port}",
            "listeners": f"CLIENT://127.0.0.1:{self._port},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"CLIENT://127.0.0.1:{self._port}",
            "log.dirs": str(self._folder / "data"),
        }
        format_options: list[str] = []
        if self._settings.secure:
            self._security = Security(folder=self._folder)
            self._security.write_certificates()
            properties |= self._security.broker_properties()
            format_options = self._security.format_options()
        properties |= self._settings.properties or {}
        lines = "".join(f"{name}={value}\n" for name, value in properties.items())
        configuration = self._folder / "server.properties"
        configuration.touch(mode=0o600)
        configuration.write_text(lines, encoding="utf-8")
        (self._folder / "log4j2.xml").write_text(LOG4J, encoding="utf-8")
        self._cluster = urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=").replace("-", "x")
        storage = ["kafka.tools.StorageTool", "format", "--standalone", "-t", self._cluster, "-c", str(configuration)]
        result = subprocess.run(
            self._java_command(java, jars, [*storage, *format_options]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=FORMAT_SECONDS,
        )
        if result.returncode:
            output = f"{result.stdout}\n{result.stderr}".strip()
            if "UnsupportedClassVersionError" in output:
                message = f"a real Kafka needs Java 17 or newer and {java} is older: install a newer Java runtime"
                raise ConfigurationError(message)
            message = f"Kafka's storage tool could not format {self._folder}: {output[-500:]}"
            raise RetryableError(message)

    def _java_command(self, java: str, jars: Path, arguments: list[str]) -> list[str]:
        # The serial collector and the first compiler tier start fastest and take the least memory; a test broker's
        # life is too short for what the others would win.
        flags = [f"-Xmx{self._settings.heap_mb}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
        logging = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.xml'}"
        return [java, *flags, logging, "-cp", f"{jars}/*", *arguments]

    def _spawn(self, java: str, jars: Path) -> bool:
        """Start the process and wait for metadata; false where a port was taken meanwhile.

        Raises:
            RetryableError: the broker ended, or did not answer in time.
        """
        command = self._java_command(java, jars, ["kafka.Kafka", str(self.folder / "server.properties")])
        process = ServerProcess(command, log=self.folder / "server.log", environment=os.environ)
        self._process = process
        deadline = time.monotonic() + START_SECONDS

        def is_decided() -> bool:
            return not process.is_running() or (answers_on(self._port) and self._has_metadata(ADMIN))

        wait_for(is_decided, deadline_seconds=deadline - time.monotonic())
        if not process.is_running() and PORT_TAKEN in process.log_tail(200):
            process.stop()
            self._process = None
            return False
        if not process.is_running() or time.monotonic() >= deadline:
            self._fail(process.why_silent(START_SECONDS))
        return True

    def _fail(self, reason: str) -> None:
        tail = self._process.log_tail() if self._process is not None else ""
        self.stop()
        message = f"the test broker {reason}\n{tail}"
        raise RetryableError(message)

    def _admin(self, user: str) -> AdminClient:
        settings: dict[str, str | int | float | bool] = {"log_level": 0, "socket.timeout.ms": 5_000}
        settings.update(self.client_settings(user))
        return AdminClient(settings)

    def _has_metadata(self, user: str) -> bool:
        try:
            # Another broker, on a port that was taken meanwhile, answers too: only the cluster's id tells.
            return str(self._admin(user).list_topics(timeout=1).cluster_id) == self._cluster
        except KafkaException:
            return False

    def _discard_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None
        self._security = None
