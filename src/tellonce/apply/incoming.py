"""From Kafka messages of one stream to the newest event of each record, and the stream's next position."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tellonce.avro.catalogue import Catalogue
from tellonce.kafka.group import ReadMessage
from tellonce.model.change import ChangeEvent, Operation
from tellonce.model.errors import PoisonMessageError
from tellonce.model.incoming import Incoming
from tellonce.model.position import PositionTracker
from tellonce.model.seal import MARKER_PREFIX, StreamSeal

__all__ = ["Batch", "decode_incoming", "read_batch"]

_MARKER = MARKER_PREFIX.encode()


@dataclass(slots=True, kw_only=True)
class Batch:
    """What one transaction applies of one stream."""

    newest: dict[str, Incoming] = field(default_factory=dict[str, Incoming])
    superseded: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    """Messages that are not the authority's, by what is wrong with them."""
    messages: int = 0
    complete_epoch: int = 0
    attestable: bool = False


def read_batch(
    messages: Sequence[ReadMessage], seal: StreamSeal, tracker: PositionTracker, high_watermark: Callable[[], int]
) -> Batch:
    """Takes messages into account and gives the newest event of each record among them.

    A message that the stream's authority did not write there as it is passes without effect, and is counted; so do
    tombstones.
    """
    batch = Batch()
    for message in messages:
        batch.messages += 1
        try:
            header = seal.open(message.header, message.key, message.value)
        except ValueError as error:
            batch.refused[str(error)] += 1
            tracker.skip(message.offset, message.leader_epoch)
            continue
        if message.key is None or message.value is None:
            tracker.skip(message.offset, message.leader_epoch)
            continue
        is_current = tracker.observe(header, message.offset, message.leader_epoch, high_watermark)
        if message.key.startswith(_MARKER):
            # A marker of version 1 stands behind all records of its epoch's snapshot.
            if is_current and header.version == 1:
                batch.complete_epoch = header.epoch
            continue
        incoming = Incoming(pseudonym=message.key.decode("ascii"), header=header, payload=message.value)
        known = batch.newest.get(incoming.pseudonym)
        if not is_current or (known is not None and known.order >= incoming.order):
            batch.superseded += 1
            continue
        batch.superseded += known is not None
        batch.newest[incoming.pseudonym] = incoming
    batch.attestable = tracker.may_attest
    return batch


def decode_incoming(view: str, catalogue: Catalogue, incoming: Incoming) -> ChangeEvent:
    """Gives the event of a message whose bytes, header and key agree.

    Raises:
        PoisonMessageError: they do not, or the bytes are of no schema that this service knows.
    """
    event = catalogue.decode(incoming.payload, view=view, with_before=False)
    header = incoming.header
    if (event.epoch, event.version, event.sequence) != (header.epoch, header.version, header.sequence):
        msg = "the event's epoch, version and sequence are not those of its header; the message was changed on its way"
        raise PoisonMessageError(msg, reason="header_mismatch")
    if event.view != view or event.op is Operation.MARKER:
        msg = f"expected an event of {view}, found one of another view or of none"
        raise PoisonMessageError(msg, reason="wrong_view")
    if event.record_key != incoming.pseudonym:
        msg = "the message's key is another record's than the event's"
        raise PoisonMessageError(msg, reason="key_mismatch")
    return event
