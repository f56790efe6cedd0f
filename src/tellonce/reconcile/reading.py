"""Reading the topic of divergences as it stands, for people and for the commands with which they decide."""

import time
from collections.abc import Callable, Iterable

from tellonce.control.messages import DivergenceEvent, decode_message
from tellonce.model.divergence import is_open
from tellonce.model.errors import PoisonMessageError, RetryableError
from tellonce.reconcile.wires import Reader

__all__ = ["newest_divergences", "read_divergences"]

_WAIT_SECONDS = 0.2


def newest_divergences(values: Iterable[bytes | None], *, with_resolved: bool = False) -> tuple[DivergenceEvent, ...]:
    """Gives the newest state of each divergence, in the order in which they were opened.

    `values` are the topic's, in its order; what is no such message is passed over.
    """
    newest: dict[str, DivergenceEvent] = {}
    for value in values:
        try:
            event = None if value is None else decode_message(DivergenceEvent, value)
        except PoisonMessageError:
            continue
        if event is not None:
            newest[event.divergence_id] = event
    shown = (event for event in newest.values() if with_resolved or is_open(event.state))
    return tuple(sorted(shown, key=lambda event: (event.opened_at_ms, event.divergence_id)))


def read_divergences(
    reader: Reader,
    *,
    with_resolved: bool = False,
    deadline_seconds: float = 30.0,
    monotonic: Callable[[], float] = time.monotonic,
) -> tuple[DivergenceEvent, ...]:
    """Gives the divergences that a reader of their topic, begun at its beginning, finds up to its end.

    Raises:
        RetryableError: the broker is away, or the end was not reached in time.
    """
    values: list[bytes | None] = []
    deadline = monotonic() + deadline_seconds
    while not reader.has_caught_up:
        if monotonic() >= deadline:
            message = f"expected to read the known divergences within {deadline_seconds:g} s, found no end; try again"
            raise RetryableError(message)
        values += [message.value for message in reader.poll(_WAIT_SECONDS)]
    return newest_divergences(values, with_resolved=with_resolved)
