"""Reading the known divergences for people."""

from itertools import count

import pytest

from reconcile.builders import divergence
from tellonce.control.messages import encode_message
from tellonce.kafka.control import ControlMessage
from tellonce.model.divergence import DivergenceState
from tellonce.model.errors import RetryableError
from tellonce.reconcile.reading import newest_divergences, read_divergences


class Topic:
    """A topic of some messages, read one at a time."""

    def __init__(self, *values: bytes | None, ends: bool = True) -> None:
        self.values = list(values)
        self.ends = ends

    @property
    def has_caught_up(self) -> bool:
        return self.ends and not self.values

    def poll(self, timeout_seconds: float, most: int = 500) -> list[ControlMessage]:
        assert timeout_seconds > 0
        assert most
        return [
            ControlMessage(topic="t", partition=0, offset=0, key=None, value=value)
            for value in (self.values.pop(0) for _ in range(min(1, len(self.values))))
        ]


RESOLVED = encode_message(divergence(1, state=DivergenceState.RESOLVED))
EXPLAINED = encode_message(divergence(2, state=DivergenceState.EXPLAINED))


def test_newest_state_of_each_divergence_is_given() -> None:
    """A compacted topic may still hold older states: the last one counts, and resolved ones are history."""
    values = [encode_message(divergence(1)), encode_message(divergence(2)), EXPLAINED, RESOLVED]

    shown = newest_divergences(values)
    everything = newest_divergences(values, with_resolved=True)

    assert [event.state for event in shown] == [DivergenceState.EXPLAINED]
    assert {event.state for event in everything} == {DivergenceState.EXPLAINED, DivergenceState.RESOLVED}


def test_divergences_are_given_oldest_first() -> None:
    """What has been open for longest comes first."""
    new, old = (divergence(n).model_copy(update={"opened_at_ms": at}) for n, at in ((1, 20), (2, 10)))

    assert newest_divergences([encode_message(new), encode_message(old)]) == (old, new)


def test_what_is_no_divergence_is_passed_over() -> None:
    """A tombstone or a message of another shape does not hide the others."""
    assert len(newest_divergences([None, b"{}", EXPLAINED])) == 1


def test_topic_is_read_to_its_end() -> None:
    """A person is shown everything that the topic held when they asked."""
    events = read_divergences(Topic(encode_message(divergence(1)), RESOLVED, EXPLAINED))

    assert [event.state for event in events] == [DivergenceState.EXPLAINED]


def test_topic_that_does_not_end_is_given_up() -> None:
    """A command waits no longer than its deadline, and says so."""
    seconds = count(0, 10)

    with pytest.raises(RetryableError, match="within 30 s"):
        read_divergences(Topic(ends=False), deadline_seconds=30, monotonic=lambda: float(next(seconds)))
