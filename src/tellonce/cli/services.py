"""Running a service from the command line: logs set up, signals heard, pauses survived, all closed at the end."""

import gc
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Protocol, TypeVar

import structlog
import typer

from tellonce.cli.monitor import Monitor
from tellonce.cli.settings import Settings
from tellonce.model.errors import TellonceError
from tellonce.observability.logs import configure_logs
from tellonce.observability.unforeseen import Facts, describe, tell_stray_errors
from tellonce.running import run_turns, stop_on_signals

__all__ = ["Service", "logging_the_unforeseen", "run_service"]

_log = structlog.get_logger()
_IDLE_SECONDS = 0.1


class Service(Protocol):
    """What a service can be asked: to do one turn, whether it is done, and to let go while infrastructure is away."""

    def turn(self) -> bool:
        """Do what there is to do once."""
        ...

    def is_done(self) -> bool:
        """Tell whether nothing is left to do."""
        ...

    def pause(self) -> None:
        """Let go of what is in hand."""
        ...


S = TypeVar("S", bound=Service)


@contextmanager
def logging_the_unforeseen() -> Generator[None]:
    """Ends the program with code 1 where the block meets what nobody foresaw, told by one event of the log.

    From here on that of other threads is logged too, and the service goes on.
    """
    tell_stray_errors(_log_unforeseen)
    try:
        yield
    except (TellonceError, typer.Exit, typer.Abort):
        raise
    except Exception as error:
        _log_unforeseen(describe(error))
        raise typer.Exit(1) from error


def _log_unforeseen(facts: Facts) -> None:
    _log.error("unforeseen_error", **facts.as_fields())


def _turn(service: Service, monitor: Monitor) -> bool:
    started = time.perf_counter()
    did = service.turn()
    monitor.turned(time.perf_counter() - started)
    return did


def _pause(service: Service, monitor: Monitor) -> None:
    service.pause()
    monitor.paused()


def _spare_the_collector() -> None:
    """Has the collector of cycles leave alone what lives as long as the service, and look at the rest less often.

    A batch makes objects by the ten thousand and no cycles; going through them again and again was 10 to 27 % of what
    an applier's thread did, in several pairs of runs.
    """
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def run_service(
    settings: Settings,
    name: str,
    open_service: Callable[[ExitStack], tuple[S, Monitor | None]],
    *,
    once: bool,
    at_end: Callable[[S], None] = lambda _service: None,
) -> None:
    """Runs a service until it is told to stop, or until it is done with `once`.

    Raises:
        TellonceError: it could not start, or met something that only a person can mend.
    """
    configure_logs(settings.log_form, settings.log_level, service=name)
    stop = stop_on_signals()
    # Within the stack too: what is told there cannot be hidden by trouble of closing, such as a database that is away.
    with logging_the_unforeseen(), ExitStack() as stack, logging_the_unforeseen():
        service, monitor = open_service(stack)
        turn, pause = service.turn, service.pause
        if monitor is not None:
            stack.enter_context(monitor.served(settings, once=once))
            turn, pause = partial(_turn, service, monitor), partial(_pause, service, monitor)
        _spare_the_collector()
        _log.info("service_started")
        run_turns(
            turn,
            stop,
            on_pause=pause,
            idle_seconds=_IDLE_SECONDS,
            is_done=service.is_done if once else lambda: False,
        )
        at_end(service)
    _log.info("service_stopped")
