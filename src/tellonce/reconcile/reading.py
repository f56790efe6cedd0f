"""Reading how divergences stand, for people and for the commands with which they decide."""

import time
from collections.abc import Callable, Iterable

from tellonce.control.channel import Channel, Heard
from tellonce.control.messages import DivergenceEvent
from tellonce.model.divergence import is_open
from tellonce.model.errors import RetryableError
from tellonce.topology.topics import OPERATOR, RECONCILER

__all__ = ["newest_divergences", "read_divergences"]

_WAIT_SECONDS = 0.2


def newest_divergences(
    heard: Iterable[Heard[DivergenceEvent]], *, with_resolved: bool = False
) -> tuple[DivergenceEvent, ...]:
    """Gives the newest state of each divergence, in the order in which they were opened.

    That is what the reconciler says of it, or what a person has decided since and the reconciler has not taken over.
    """
    found: dict[str, DivergenceEvent] = {}
    decided: dict[str, DivergenceEvent] = {}
    for one in heard:
        (found if one.speaker == RECONCILER else decided)[one.message.divergence_id] = one.message
    newest = (_joined(event, decided.get(id_)) for id_, event in found.items())
    shown = (event for event in newest if with_resolved or is_open(event.state))
    return tuple(sorted(shown, key=lambda event: (event.opened_at_ms, event.divergence_id)))


def _joined(event: DivergenceEvent, decision: DivergenceEvent | None) -> DivergenceEvent:
    if decision is None or not is_open(event.state):
        return event
    is_of_this_life = decision.opened_at_ms == event.opened_at_ms
    return decision if is_of_this_life and decision.decision_id != event.decision_id else event


def read_divergences(
    channel: Channel,
    *,
    with_resolved: bool = False,
    deadline_seconds: float = 30.0,
    monotonic: Callable[[], float] = time.monotonic,
) -> tuple[DivergenceEvent, ...]:
    """Gives the divergences as they stand at the ends of their topics.

    Raises:
        RetryableError: the broker is away, or the end was not reached in time.
        ConfigurationError: a topic is missing or closed to this principal.
    """
    channel.listen(DivergenceEvent, (RECONCILER, OPERATOR), "beginning")
    heard: list[Heard[DivergenceEvent]] = []
    deadline = monotonic() + deadline_seconds
    while not channel.has_caught_up:
        if monotonic() >= deadline:
            message = f"expected to read the known divergences within {deadline_seconds:g} s, found no end; try again"
            raise RetryableError(message)
        heard += channel.hear(DivergenceEvent, _WAIT_SECONDS)
    return newest_divergences(heard, with_resolved=with_resolved)
