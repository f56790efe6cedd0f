"""How every service runs: turn after turn, pausing while infrastructure is away, until told to stop or idle."""

import signal
import threading
from collections.abc import Callable
from types import FrameType

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential, wait_random
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_when_event_set

from tellonce.model.errors import RetryableError

__all__ = ["run_turns", "stop_on_signals"]

_log = structlog.get_logger()

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0


def stop_on_signals() -> threading.Event:
    """Gives an event that SIGTERM and SIGINT set, for the service to finish its turn and stop."""
    stop = threading.Event()

    def note(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, note)
    signal.signal(signal.SIGINT, note)
    return stop


def run_turns(
    turn: Callable[[], bool],
    stop: threading.Event,
    *,
    on_pause: Callable[[], None] = lambda: None,
    idle_seconds: float,
    is_done: Callable[[], bool] = lambda: False,
) -> None:
    """Calls `turn` until `stop` is set or `is_done` says so after an idle turn.

    `turn` tells whether it did anything; after an idle turn there is a rest of `idle_seconds`.
    While it raises RetryableError it is called again after growing pauses, with one line of log at each, and
    `on_pause` before each.
    """

    def pause(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause_seconds = round(state.next_action.sleep, 2) if state.next_action else 0.0
        facts = error.facts if isinstance(error, RetryableError) else {}
        _log.warning("service_paused", reason=str(error), tries=state.attempt_number, seconds=pause_seconds, **facts)
        on_pause()

    while not stop.is_set():
        tries = Retrying(
            retry=retry_if_exception_type(RetryableError),
            wait=wait_exponential(multiplier=_FIRST_PAUSE_SECONDS, max=_LONGEST_PAUSE_SECONDS)
            + wait_random(0, _FIRST_PAUSE_SECONDS),
            stop=stop_when_event_set(stop),
            sleep=sleep_using_event(stop),
            before_sleep=pause,
            reraise=True,
        )
        try:
            did_something = tries(turn)
        except RetryableError:
            # Told to stop while paused: what waits stays where it is.
            return
        if not did_something:
            if is_done():
                return
            stop.wait(idle_seconds)
