"""The embedded broker: librdkafka's own mock cluster in a child process, for demos and tests without Java.

It speaks Kafka's protocol over TCP to any client of this machine: produce, idempotent producers, fetch, groups and
commits. What it is not: durable (all is in memory and ends with the process), complete (no admin requests, no ACLs, no
TLS, no compaction, no retention by time), or large. Its limits are the constants below; they were measured with
librdkafka 2.16 and are librdkafka's own, not settings.
"""

import contextlib
import ctypes
import importlib
import subprocess
import sys
import threading
from types import TracebackType
from typing import Any, Self

from tellonce.model.errors import ConfigurationError, RetryableError

__all__ = [
    "DEFAULT_PARTITIONS",
    "MAX_PARTITION_BYTES",
    "EmbeddedBroker",
    "serve",
]

MAX_PARTITION_BYTES = 5 * 1024 * 1024
"""What a partition keeps, in bytes of batches as sent, compressed ones compressed; above it the oldest batches vanish.

A batch costs 61 bytes and each message in it 7 or more beside its key, value and headers, uncompressed.
"""

DEFAULT_PARTITIONS = 4
"""How many partitions a topic gets that comes into being by being used; `create_topic` gives any number."""

START_SECONDS = 10.0
STOP_SECONDS = 5.0
PRODUCER = 0
ERROR_TEXT_BYTES = 512
BROKER_ID = 1


class EmbeddedBroker:
    """One mock broker in a child process of its own; a context manager that starts and stops it.

    The child ends with this process, however that ends. Methods may be called from several threads.
    """

    def __init__(self) -> None:
        """Start nothing yet; `start` or `with` does."""
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._bootstrap_servers = ""

    def __enter__(self) -> Self:
        """Start the broker."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the broker; all that it held is gone."""
        self.stop()

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients, `127.0.0.1:port`; empty before the first start."""
        return self._bootstrap_servers

    @property
    def pid(self) -> int | None:
        """The operating system's id of the child, None where it does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start the broker and learn its address; about 0.3 s.

        Raises:
            RetryableError: the child ended, or gave no address within 10 s.
        """
        if self._process is not None:
            return
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tellonce.kafka.embedded"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C at the terminal is for the services that use the broker; it must outlive them.
            start_new_session=True,
        )
        try:
            self._bootstrap_servers = self._answer(START_SECONDS)
        except RetryableError:
            self.stop()
            raise

    def stop(self) -> None:
        """End the broker and with it all that it held; it is killed where it does not end within 5 s."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(BrokenPipeError):
            if process.stdin is not None:
                process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()

    def create_topic(self, name: str, *, partitions: int) -> None:
        """Make a topic with this many partitions, before any client uses it.

        Raises:
            RetryableError: the broker does not run, or has the topic already.
        """
        self._ask(f"topic {name} {partitions}")

    def disconnect(self) -> None:
        """Close every connection and refuse new ones, as a network that is away; data and address stay.

        Raises:
            RetryableError: the broker does not run.
        """
        self._ask("down")

    def reconnect(self) -> None:
        """Accept connections again.

        Raises:
            RetryableError: the broker does not run.
        """
        self._ask("up")

    def delay_answers(self, milliseconds: int) -> None:
        """Hold back every answer this long, as a slow network does; 0 ends it.

        Raises:
            RetryableError: the broker does not run.
        """
        self._ask(f"rtt {milliseconds}")

    def _ask(self, command: str) -> None:
        with self._lock:
            process = self._process
            if process is None or process.stdin is None:
                message = "the embedded broker does not run: start it first"
                raise RetryableError(message)
            try:
                process.stdin.write(f"{command}\n")
                process.stdin.flush()
            except BrokenPipeError as error:
                message = "the embedded broker has ended; everything it held is gone"
                raise RetryableError(message) from error
            answer = self._answer(START_SECONDS)
        if answer != "ok":
            message = f"the embedded broker refused {command.split(maxsplit=1)[0]!r}: {answer}"
            raise RetryableError(message)

    def _answer(self, deadline_seconds: float) -> str:
        """One line from the child; it is killed where it stays silent, since it may answer to a later question."""
        process = self._process
        if process is None or process.stdout is None:
            message = "the embedded broker does not run: start it first"
            raise RetryableError(message)
        silence = threading.Timer(deadline_seconds, process.kill)
        silence.start()
        try:
            line = process.stdout.readline().strip()
        finally:
            silence.cancel()
        if not line:
            process.wait()
            output = process.stderr.read() if process.stderr is not None else ""
            reason = output.strip().splitlines()[-1:] or [f"no answer within {deadline_seconds:.0f} s"]
            message = f"the embedded broker ended: {reason[0]}"
            raise RetryableError(message)
        return line


class _MockCluster:
    """The child's side: a mock cluster through librdkafka's public C interface (rdkafka_mock.h).

    ctypes, since confluent-kafka does not offer these functions; no structure is read, only handles are passed around.
    The symbols are looked up in confluent-kafka's own extension module, whose dependency librdkafka is, so it is the
    very library that the clients use, wherever a wheel or a distribution keeps it.
    """

    def __init__(self) -> None:
        self._library = _librdkafka()
        configuration = self._library.rd_kafka_conf_new()
        # No callback, no log: librdkafka would write to stderr otherwise.
        self._library.rd_kafka_conf_set_log_cb(configuration, None)
        error = ctypes.create_string_buffer(ERROR_TEXT_BYTES)
        self._client = self._library.rd_kafka_new(PRODUCER, configuration, error, ERROR_TEXT_BYTES)
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, 1) if self._client else None
        if not self._cluster:
            message = f"librdkafka could not start its mock cluster: {error.value.decode()}"
            raise RetryableError(message)
        # Members of a group wait 3 s for each other by default; tests and demos start theirs together.
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)

    @property
    def bootstrap_servers(self) -> str:
        """The address that clients connect to."""
        address: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return address.decode()

    def obey(self, command: str) -> str:
        """Carry out one line of the parent's and give the answer: `ok`, or what librdkafka said."""
        match command.split():
            case ["topic", name, partitions]:
                outcome = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), int(partitions), 1)
            case ["down"]:
                outcome = self._library.rd_kafka_mock_broker_set_down(self._cluster, BROKER_ID)
            case ["up"]:
                outcome = self._library.rd_kafka_mock_broker_set_up(self._cluster, BROKER_ID)
            case ["rtt", milliseconds]:
                outcome = self._library.rd_kafka_mock_broker_set_rtt(self._cluster, BROKER_ID, int(milliseconds))
            case _:
                return "unknown command"
        text: bytes = self._library.rd_kafka_err2str(outcome)
        return "ok" if outcome == 0 else text.decode()


def _librdkafka() -> Any:
    """The library with the signatures of the functions used, without which ctypes would cut pointers to 32 bits."""
    path = importlib.import_module("confluent_kafka.cimpl").__file__
    library = ctypes.CDLL(path)
    handle, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures: tuple[tuple[str, Any, list[Any]], ...] = (
        ("rd_kafka_conf_new", handle, []),
        ("rd_kafka_conf_set_log_cb", None, [handle, handle]),
        ("rd_kafka_new", handle, [number, handle, text, ctypes.c_size_t]),
        ("rd_kafka_err2str", text, [number]),
        ("rd_kafka_mock_cluster_new", handle, [handle, number]),
        ("rd_kafka_mock_cluster_bootstraps", text, [handle]),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [handle, ctypes.c_int32]),
        ("rd_kafka_mock_topic_create", number, [handle, text, number, number]),
        ("rd_kafka_mock_broker_set_down", number, [handle, ctypes.c_int32]),
        ("rd_kafka_mock_broker_set_up", number, [handle, ctypes.c_int32]),
        ("rd_kafka_mock_broker_set_rtt", number, [handle, ctypes.c_int32, number]),
    )
    for name, result, arguments in signatures:
        try:
            function = getattr(library, name)
        except AttributeError as error:
            message = f"the installed confluent-kafka has no {name}: install its wheel, 2.14.2 or newer"
            raise ConfigurationError(message) from error
        function.restype = result
        function.argtypes = arguments
    return library


def serve() -> None:
    """Run the mock cluster in this process: its address goes to stdout, then commands are obeyed until stdin ends."""
    cluster = _MockCluster()
    sys.stdout.write(f"{cluster.bootstrap_servers}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(f"{cluster.obey(line)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
