"""Ports and processes below the real servers."""

import os
import signal
import socket
from pathlib import Path

import pytest

from tellonce.testing import kafka_server, postgres_server
from tellonce.testing.kafka_server import KafkaServer
from tellonce.testing.postgres_server import PostgresServer
from tellonce.testing.processes import ServerProcess, answers_on, free_port, wait_for

# Goes on where it is asked to end, as a server that hangs does.
STUBBORN = "trap '' TERM; echo ready; while :; do read -r _ < /dev/zero; done"


def test_free_port_is_free_and_out_of_the_clients_range() -> None:
    """A server can listen there, and no outgoing connection takes the port while its server is down."""
    lowest_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])

    ports = {free_port() for _ in range(40)}

    assert max(ports) < lowest_ephemeral
    port = ports.pop()
    assert not answers_on(port)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        assert answers_on(port)


def test_stubborn_process_is_killed_after_the_grace(tmp_path: Path) -> None:
    """A server that ignores its signal still ends, and the caller learns that it was not a clean stop."""
    process = ServerProcess(["/bin/sh", "-c", STUBBORN], log=tmp_path / "log", environment=os.environ)
    assert wait_for(lambda: "ready" in process.log_tail(), deadline_seconds=5)

    was_clean = process.stop(first=signal.SIGTERM, grace_seconds=0.3)

    assert not was_clean
    assert not process.is_running()


def test_log_tail_gives_the_last_lines(tmp_path: Path) -> None:
    """What a server said at its end is what the error shows."""
    process = ServerProcess(["/bin/sh", "-c", "seq 50 >&2"], log=tmp_path / "log", environment=os.environ)
    assert wait_for(lambda: not process.is_running(), deadline_seconds=5)
    process.stop()

    assert process.log_tail(2) == "49\n50"


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 3", "ended by itself, with exit code 3, before it answered; it printed:"),
        ("kill -KILL $$", "ended by itself, by signal SIGKILL, before it answered; it printed:"),
        ("sleep 30", "did not answer within 7 s of its start"),
    ],
)
def test_silent_server_is_told_by_how_it_ended(tmp_path: Path, script: str, reason: str) -> None:
    """A server that has ended is not said to be slow."""
    process = ServerProcess(["/bin/sh", "-c", script], log=tmp_path / "log", environment=os.environ)
    if script != "sleep 30":
        assert wait_for(lambda: not process.is_running(), deadline_seconds=10)

    found = process.why_silent(7)

    process.kill()
    assert found == reason


def test_kafka_takes_another_port_where_the_first_was_taken(
    kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who takes a port between its choice and the start costs a second try, not the test run."""
    taken = int(kafka.bootstrap_servers.rpartition(":")[2])
    ports = iter([taken])
    monkeypatch.setattr(kafka_server, "free_port", lambda: next(ports, None) or free_port())

    with KafkaServer() as server:
        assert server.bootstrap_servers != kafka.bootstrap_servers
        assert server.is_running()


def test_postgres_takes_another_port_where_the_first_was_taken(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who takes a port between its choice and the start costs a second try, not the test run."""
    ports = iter([postgres.port])
    monkeypatch.setattr(postgres_server, "free_port", lambda: next(ports, None) or free_port())

    with PostgresServer() as server:
        assert server.port != postgres.port
        assert server.create_database("reached")
