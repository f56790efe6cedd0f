"""Waiting for a condition instead of sleeping: no slower than need be, and a deadline that tells what did not come."""

import time
from collections.abc import Callable

__all__ = ["wait_until"]

POLL_SECONDS = 0.02


def wait_until(condition: Callable[[], object], deadline_seconds: float = 10.0, *, what: str = "") -> None:
    """Return as soon as the condition is true.

    Raises:
        AssertionError: it was not true before the deadline; the text names `what`, else the condition.
    """
    deadline = time.monotonic() + deadline_seconds
    while not condition():
        if time.monotonic() >= deadline:
            message = f"not within {deadline_seconds} s: {what or getattr(condition, '__qualname__', condition)}"
            raise AssertionError(message)
        time.sleep(POLL_SECONDS)
