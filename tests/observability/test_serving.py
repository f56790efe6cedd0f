"""What a service answers over HTTP."""

import http.client
import json
import socket
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Gauge

from tellonce.model.errors import ConfigurationError
from tellonce.observability.serving import Health, HealthServer
from tellonce.testing.processes import free_port


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    """A service that may take ten seconds for a turn."""
    return Health(limit_seconds=10, monotonic=clock)


@pytest.fixture
def server(health: Health) -> Iterator[HealthServer]:
    """Its server, with one gauge."""
    registry = CollectorRegistry()
    Gauge("answer", "The answer.", registry=registry).set(42)
    with HealthServer(registry, health, host="127.0.0.1", port=0) as server:
        yield server


def get(server: HealthServer, path: str) -> tuple[int, str]:
    """Status and body."""
    connection = http.client.HTTPConnection(server.address, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_metrics_are_served(server: HealthServer) -> None:
    """Prometheus reads the registry."""
    status, text = get(server, "/metrics")

    assert status == 200
    assert "answer 42.0" in text.splitlines()


def test_health_follows_the_loop(server: HealthServer, health: Health, clock: Clock) -> None:
    """A loop that turns is healthy, ready or not; one that stands still for too long is neither."""
    seen = [(get(server, "/healthz")[0], get(server, "/readyz")[0])]
    health.turned(is_ready=True)
    seen.append((get(server, "/healthz")[0], get(server, "/readyz")[0]))
    clock.now += 10.5
    seen.append((get(server, "/healthz")[0], get(server, "/readyz")[0]))
    health.turned(is_ready=False)
    seen.append((get(server, "/healthz")[0], get(server, "/readyz")[0]))

    assert seen == [(200, 503), (200, 200), (503, 503), (200, 503)]


def test_silence_is_told(server: HealthServer, clock: Clock) -> None:
    """Whoever asks why sees for how long the loop has stood still."""
    clock.now += 3

    assert json.loads(get(server, "/healthz")[1]) == {"live": True, "ready": False, "silence_seconds": 3.0}


@pytest.mark.parametrize("path", ["/", "/metrics/..", "/admin", "/%00", "/healthz/"])
def test_nothing_else_is_there(server: HealthServer, path: str) -> None:
    """Any other path names those that are."""
    status, text = get(server, path)

    assert status == 404
    assert "/metrics" in text


def test_client_that_breaks_off_or_talks_nonsense_stops_nothing(server: HealthServer) -> None:
    """The next scrape is answered."""
    host, _, port = server.address.rpartition(":")
    for said in (b"", b"\x16\x03\x01" + b"\xff" * 200, b"GET /metrics HTTP/1.1\r\n", b"A" * 100_000):
        with socket.create_connection((host, int(port)), timeout=5) as client:
            client.sendall(said)

    assert get(server, "/metrics")[0] == 200


def test_port_in_use_is_one_sentence(server: HealthServer, health: Health) -> None:
    """A second service at the same port learns which setting to change."""
    port = int(server.address.rpartition(":")[2])

    with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port}.*TELLONCE_METRICS_PORT"):
        HealthServer(CollectorRegistry(), health, host="127.0.0.1", port=port)


def test_address_that_is_not_this_machines_is_one_sentence(health: Health) -> None:
    """A host name that nobody can listen at is told the same way."""
    with pytest.raises(ConfigurationError, match="nobody can listen there"):
        HealthServer(CollectorRegistry(), health, host="no-such-host.invalid", port=free_port())


def test_port_is_free_again_at_the_end(health: Health) -> None:
    """A service that is restarted at once gets its port back."""
    port = free_port()
    for _ in range(3):
        with HealthServer(CollectorRegistry(), health, host="127.0.0.1", port=port) as server:
            assert get(server, "/healthz")[0] == 200
