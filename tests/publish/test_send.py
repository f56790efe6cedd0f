"""The sender: each stream's own trouble, and a lease that is kept however long a send runs."""

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from publish.test_queues import FIRST, SECOND, event
from tellonce.model.seal import StreamSeal
from tellonce.publish.send import Sender

Report = Callable[[KafkaError | None, object], None]
KEY = b"k" * 32


class Broker:
    """A producer that answers at once, but for partitions with trouble; each slice of waiting takes `slow` seconds."""

    def __init__(self, troubles: dict[int, int] | None = None) -> None:
        """Give trouble to some partitions, by error code."""
        self.troubles = troubles or {}
        self.log: list[tuple[int, int]] = []
        self.now = 0.0
        self.slices = 0
        self.seconds_to_take = 0.0
        self.purged = 0
        self._offset = 0

    def produce(self, _topic: str, *, partition: int, on_delivery: Report, **_named: object) -> None:
        """Take a message, or refuse it."""
        self.now += self.seconds_to_take
        if partition in self.troubles:
            raise KafkaException(KafkaError(self.troubles[partition]))
        self._offset += 1
        self.log.append((partition, self._offset))
        on_delivery(None, None)

    def poll(self, _seconds: float) -> int:
        """Have nothing to tell."""
        return 0

    def flush(self, seconds: float) -> int:
        """Let time pass for as many slices as are left."""
        if self.slices:
            self.slices -= 1
            self.now += seconds
        return self.slices

    def purge(self, **_named: bool) -> None:
        """Drop everything."""
        self.purged += 1


def sender_of(broker: Broker) -> Sender:
    """A sender to it."""
    seals = {stream_id: StreamSeal(KEY, *stream_id) for stream_id in (FIRST, SECOND)}

    def make() -> Producer:
        return broker  # type: ignore[return-value]  # it has what the sender uses of one

    return Sender(make, {FIRST[0]: "topic"}, seals, lambda: broker.now, message_timeout_seconds=10)


def nothing() -> None:
    """Renew nothing."""


@pytest.mark.parametrize("code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.MSG_SIZE_TOO_LARGE])
def test_failure_of_one_stream_does_not_keep_the_others(code: int) -> None:
    """What the topic of one stream refuses is its own; of that stream nothing more is handed over."""
    broker = Broker({FIRST[1]: code})
    events = [event(n, FIRST) for n in (1, 2)] + [event(n, SECOND) for n in (1, 2, 3)]

    result = sender_of(broker).send(events, nothing)

    assert result.acknowledged == {FIRST: 0, SECOND: 3}
    assert {stream: error.code() for stream, error in result.troubles.items()} == {FIRST: code}
    assert result.trouble is None
    assert broker.purged == 1


@pytest.mark.parametrize(("slices", "seconds_to_take"), [(25, 0.0), (0, 3.0)])
def test_lease_can_be_renewed_while_a_send_runs(slices: int, seconds_to_take: float) -> None:
    """Neither handing over nor waiting is so long that nobody could renew the lease meanwhile."""
    broker = Broker()
    broker.slices, broker.seconds_to_take = slices, seconds_to_take
    asked = [0.0]

    sender_of(broker).send([event(n) for n in range(1, 11)], lambda: asked.append(broker.now))

    silences = [after - before for before, after in zip(asked, [*asked[1:], broker.now], strict=True)]
    assert broker.now > 10
    assert max(silences) <= 3


def test_nothing_is_handed_over_once_the_lease_is_lost() -> None:
    """The lease is asked for before each event, and what it raises ends the send."""

    class Lost(Exception):  # noqa: N818 - it stands for the lease's loss
        pass

    def lost() -> None:
        raise Lost

    broker = Broker()

    with pytest.raises(Lost):
        sender_of(broker).send([event(1)], lost)

    assert broker.log == []
