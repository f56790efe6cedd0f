"""Reading the known divergences for people."""

from itertools import count

import pytest

from reconcile.builders import divergence
from tellonce.control.channel import Heard
from tellonce.control.messages import DivergenceEvent
from tellonce.model.divergence import DivergenceState
from tellonce.model.errors import RetryableError
from tellonce.reconcile.reading import newest_divergences, read_divergences
from tellonce.reconcile.transitions import accepted
from tellonce.testing.channel import MemoryChannel, MemoryTopics
from tellonce.topology.topics import OPERATOR, RECONCILER, divergences

RESOLVED = divergence(1, state=DivergenceState.RESOLVED)
EXPLAINED = divergence(2, state=DivergenceState.EXPLAINED)


def said(*events: DivergenceEvent, speaker: str = RECONCILER) -> list[Heard[DivergenceEvent]]:
    """These states, as heard of a speaker."""
    place = (divergences(speaker), 0)
    return [Heard(speaker=speaker, message=each, place=place, offset=n) for n, each in enumerate(events)]


def test_newest_state_of_each_divergence_is_given() -> None:
    """A compacted topic may still hold older states: the last one counts, and resolved ones are history."""
    heard = said(divergence(1), divergence(2), EXPLAINED, RESOLVED)

    shown = newest_divergences(heard)
    everything = newest_divergences(heard, with_resolved=True)

    assert [event.state for event in shown] == [DivergenceState.EXPLAINED]
    assert {event.state for event in everything} == {DivergenceState.EXPLAINED, DivergenceState.RESOLVED}


def test_divergences_are_given_oldest_first() -> None:
    """What has been open for longest comes first."""
    new, old = (divergence(n).model_copy(update={"opened_at_ms": at}) for n, at in ((1, 20), (2, 10)))

    assert newest_divergences(said(new, old)) == (old, new)


DECIDED = accepted(divergence(1), by="Li", reason="closed", decision_id="d-1", now_ms=5)


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        (divergence(1), DivergenceState.ACCEPTED),
        (divergence(1).model_copy(update={"decision_id": "d-0"}), DivergenceState.ACCEPTED),
        (divergence(1).model_copy(update={"decision_id": "d-1"}), DivergenceState.OPEN),
        (divergence(1).model_copy(update={"opened_at_ms": 9}), DivergenceState.OPEN),
    ],
    ids=["not yet taken over", "an earlier one was", "taken over, and found again since", "of an earlier life"],
)
@pytest.mark.parametrize("first", [RECONCILER, OPERATOR])
def test_decision_is_shown_until_the_reconciler_has_taken_it_over(
    known: DivergenceEvent, shown: DivergenceState, first: str
) -> None:
    """Whatever order two topics are read in, a person sees what was decided, once, and for the life it was about."""
    heard = [*said(known), *said(DECIDED, speaker=OPERATOR)]

    (event,) = newest_divergences(heard if first == RECONCILER else heard[::-1])

    assert event.state is shown


def test_decision_alone_is_no_divergence() -> None:
    """What the reconciler does not know, or says is over, no decision brings back."""
    assert newest_divergences(said(DECIDED, speaker=OPERATOR)) == ()
    assert newest_divergences([*said(RESOLVED), *said(DECIDED, speaker=OPERATOR)]) == ()


def test_topics_are_read_to_their_ends() -> None:
    """A person is shown everything that the topics held when they asked, and what is none does not hide the others."""
    topics = MemoryTopics()
    channel = topics.channel(RECONCILER)
    for each in (divergence(1), RESOLVED, EXPLAINED):
        channel.say(each)
    channel.flush()
    topics.append(divergences(OPERATOR), b"{}")
    reading = topics.channel(OPERATOR)
    reading.batch = 1

    assert [event.state for event in read_divergences(reading)] == [DivergenceState.EXPLAINED]


def test_topic_that_does_not_end_is_given_up() -> None:
    """A command waits no longer than its deadline, and says so."""
    seconds = count(0, 10)
    topics = MemoryTopics()
    topics.channel(RECONCILER).say(divergence(1))

    with pytest.raises(RetryableError, match="within 30 s"):
        read_divergences(Endless(topics, OPERATOR), deadline_seconds=30, monotonic=lambda: float(next(seconds)))


class Endless(MemoryChannel):
    """A channel that never comes to an end."""

    @property
    def has_caught_up(self) -> bool:
        """Never."""
        return False
