"""What a service answers over HTTP: /metrics for Prometheus, /healthz and /readyz for whoever runs it."""

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from tellonce.model.errors import ConfigurationError

__all__ = ["Health", "HealthServer"]


@dataclass(slots=True)
class Health:
    """Whether a service's loop turns and whether it is ready; written by its thread, read by the server's.

    A loop that waits for its database or the broker turns all the same: nothing is gained by killing it.
    """

    limit_seconds: float
    monotonic: Callable[[], float] = time.monotonic
    is_ready: bool = False
    turned_at: float = field(init=False)

    def __post_init__(self) -> None:
        """The time to connect counts as the first turn."""
        self.turned_at = self.monotonic()

    def turned(self, *, is_ready: bool) -> None:
        """Notes that the loop has turned once more."""
        self.turned_at, self.is_ready = self.monotonic(), is_ready

    def silence_seconds(self) -> float:
        """Gives the time since the last turn."""
        return self.monotonic() - self.turned_at

    @property
    def is_live(self) -> bool:
        """Whether the loop has turned within its limit."""
        return self.silence_seconds() <= self.limit_seconds


class _QuietHandler(WSGIRequestHandler):
    # A stalled client may hold its own thread no longer than this.
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Nothing: a scrape every few seconds is no news."""


class _Server(WSGIServer):
    """One thread for all requests: a scrape is short, and no client can start more of them."""

    def server_bind(self) -> None:
        """Binds without looking up the host's name, for which the base class would wait for a DNS server."""
        TCPServer.server_bind(self)
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that went away is no trouble of the service's."""


class HealthServer:
    """Serves a registry and a health in a thread of its own; a context manager."""

    def __init__(self, registry: CollectorRegistry, health: Health, *, host: str, port: int) -> None:
        """Listens at once; port 0 takes any that is free.

        Raises:
            ConfigurationError: nobody can listen there.
        """
        self._registry = registry
        self._health = health
        try:
            self._server = make_server(host, port, self._answer, server_class=_Server, handler_class=_QuietHandler)
        except OSError as error:
            msg = (
                f"expected to serve metrics at {host}:{port}, found that nobody can listen there ({error.strerror}); "
                "set TELLONCE_METRICS_PORT to a free port, or to 0 for any"
            )
            raise ConfigurationError(msg) from error
        except OverflowError as error:
            msg = f"expected a port of at most 65535 in TELLONCE_METRICS_PORT, found {port}"
            raise ConfigurationError(msg) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    def __enter__(self) -> Self:
        """Start to answer."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """Where it listens, `host:port`."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match environ.get("PATH_INFO"):
            case "/metrics":
                start_response("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
                return [generate_latest(self._registry)]
            case "/healthz":
                is_well = self._health.is_live
            case "/readyz":
                is_well = self._health.is_live and self._health.is_ready
            case _:
                start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
                return [b"there are /metrics, /healthz and /readyz\n"]
        facts = {
            "live": self._health.is_live,
            "ready": self._health.is_ready,
            "silence_seconds": round(self._health.silence_seconds(), 3),
        }
        start_response(
            "200 OK" if is_well else "503 Service Unavailable", [("Content-Type", "application/json; charset=utf-8")]
        )
        return [json.dumps(facts).encode() + b"\n"]
