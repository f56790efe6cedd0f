"""What becomes of a record that is looked at, in one view: pure, from what the ledger says and what was read."""

from dataclasses import dataclass

from tellonce.model.change import Operation, Origin
from tellonce.model.digest import to_hex
from tellonce.model.divergence import RecordState
from tellonce.model.errors import PoisonMessageError
from tellonce.publish.images import ViewImage
from tellonce.publish.streams import Published

__all__ = ["Decision", "Publish", "Seen", "Skip", "Unpublishable", "decide", "is_stated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Publish the record as it is, at this version."""

    op: Operation
    origin: Origin
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpublishable:
    """The row is there and cannot be published: it takes this version, and the record is kept back."""

    version: int
    trouble: PoisonMessageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The stream tells all of it already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """There is nothing to tell: the record is not there, and the stream never said that it was."""


Decision = Publish | Unpublishable | Seen | Skip


def decide(known: Published | None, epoch: int, image: ViewImage, origin: Origin) -> Decision:
    """Decides about one record in one view whose stream is in `epoch`.

    The ledger alone counts versions: a version more for what differs from what it states, and the same version where
    it is only told again, to a new epoch or because an order asked for it.
    """
    was_there = known is not None and known.state != RecordState.DELETED
    is_there = bool(image.content)
    is_asked = origin is Origin.REPAIR and known is not None
    if not is_there and not was_there and not is_asked:
        return Skip()
    is_same = known is not None and is_stated(known, image)
    if known is not None and is_same and known.epoch == epoch and _is_settled(known, image, is_asked=is_asked):
        return Seen()
    version = (known.version if known else 0) + (0 if is_same else 1)
    if image.trouble is not None:
        return Unpublishable(version=version, trouble=image.trouble)
    return Publish(
        op=_operation(origin, was_there=was_there, is_there=is_there),
        # An order that finds news tells them to all, and not to those alone who asked.
        origin=origin if is_same or origin is not Origin.REPAIR else Origin.CAPTURE,
        version=version,
    )


def is_stated(known: Published, image: ViewImage) -> bool:
    """Tells whether the ledger states of a record what was read, in whatever epoch."""
    is_there = bool(image.content)
    if not is_there or known.state == RecordState.DELETED:
        return not is_there and known.state == RecordState.DELETED
    if known.content:
        return known.content == image.content
    # An earlier release kept no content.
    return image.digest is not None and known.digest == to_hex(image.digest)


def _is_settled(known: Published, image: ViewImage, *, is_asked: bool) -> bool:
    """Tells whether telling the same again would change nothing."""
    if known.state == RecordState.UNPUBLISHED:
        # What was too large or was refused is tried again; a row that cannot be read is still the same row.
        return image.trouble is not None
    return not is_asked


def _operation(origin: Origin, *, was_there: bool, is_there: bool) -> Operation:
    if not is_there:
        return Operation.DELETE
    if origin in (Origin.SNAPSHOT, Origin.REPAIR):
        return Operation.READ
    return Operation.UPDATE if was_there else Operation.CREATE
