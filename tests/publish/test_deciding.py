"""What becomes of a record that is looked at: the table of cases, without a database."""

import pytest

from tellonce.model.change import Operation, Origin
from tellonce.model.digest import to_hex
from tellonce.model.divergence import RecordState
from tellonce.model.errors import PoisonMessageError
from tellonce.publish.deciding import Decision, Publish, Seen, Skip, Unpublishable, decide
from tellonce.publish.images import ViewImage
from tellonce.publish.streams import Published

EPOCH = 7
GONE = ViewImage()
THERE = ViewImage(content="same", digest=1, fields={})
OTHER = ViewImage(content="other", digest=2, fields={})
TROUBLE = PoisonMessageError("it cannot be read", reason="undecodable")
BAD = ViewImage(content="bad", trouble=TROUBLE)


def known(
    content: str = "same", *, state: RecordState = RecordState.LIVE, epoch: int = EPOCH, version: int = 3
) -> Published:
    """What the ledger says of the record."""
    return Published(
        record_key="1",
        pseudonym="p",
        partition=0,
        epoch=epoch,
        version=version,
        content=content,
        sequence=9,
        digest=to_hex(1),
        state=state,
    )


def publish(op: Operation, version: int, origin: Origin = Origin.CAPTURE) -> Publish:
    """What is published."""
    return Publish(op=op, origin=origin, version=version)


DELETED = known("", state=RecordState.DELETED)
KEPT_BACK = known(state=RecordState.UNPUBLISHED)
UNREADABLE = known("bad", state=RecordState.UNPUBLISHED)
EARLIER = known(epoch=EPOCH - 1)

CASES: dict[str, tuple[Published | None, ViewImage, Origin, Decision]] = {
    "new": (None, THERE, Origin.CAPTURE, publish(Operation.CREATE, 1)),
    "never there": (None, GONE, Origin.CAPTURE, Skip()),
    "never there, asked": (None, GONE, Origin.REPAIR, Skip()),
    "new and unreadable": (None, BAD, Origin.CAPTURE, Unpublishable(version=1, trouble=TROUBLE)),
    "as told": (known(), THERE, Origin.CAPTURE, Seen()),
    "as told, swept": (known(), THERE, Origin.SWEEP, Seen()),
    "as told, asked": (known(), THERE, Origin.REPAIR, publish(Operation.READ, 3, Origin.REPAIR)),
    "changed": (known(), OTHER, Origin.CAPTURE, publish(Operation.UPDATE, 4)),
    "changed, swept": (known(), OTHER, Origin.SWEEP, publish(Operation.UPDATE, 4, Origin.SWEEP)),
    # All must hear of a change, not only the department that asked.
    "changed, asked": (known(), OTHER, Origin.REPAIR, publish(Operation.READ, 4)),
    "gone": (known(), GONE, Origin.CAPTURE, publish(Operation.DELETE, 4)),
    "gone and told": (DELETED, GONE, Origin.CAPTURE, Skip()),
    "gone and told, asked": (DELETED, GONE, Origin.REPAIR, publish(Operation.DELETE, 3, Origin.REPAIR)),
    "back": (DELETED, THERE, Origin.CAPTURE, publish(Operation.CREATE, 4)),
    "now unreadable": (known(), BAD, Origin.CAPTURE, Unpublishable(version=4, trouble=TROUBLE)),
    "still unreadable": (UNREADABLE, BAD, Origin.CAPTURE, Seen()),
    "still unreadable, asked": (UNREADABLE, BAD, Origin.REPAIR, Seen()),
    "mended": (UNREADABLE, THERE, Origin.CAPTURE, publish(Operation.UPDATE, 4)),
    "unreadable and gone": (UNREADABLE, GONE, Origin.CAPTURE, publish(Operation.DELETE, 4)),
    # It was too large, or the broker refused it: it is tried again whenever it is looked at.
    "kept back": (KEPT_BACK, THERE, Origin.CAPTURE, publish(Operation.UPDATE, 3)),
    "new epoch": (EARLIER, THERE, Origin.SNAPSHOT, publish(Operation.READ, 3, Origin.SNAPSHOT)),
    "new epoch, changed": (EARLIER, OTHER, Origin.SNAPSHOT, publish(Operation.READ, 4, Origin.SNAPSHOT)),
    "new epoch, gone": (EARLIER, GONE, Origin.SNAPSHOT, publish(Operation.DELETE, 4, Origin.SNAPSHOT)),
    "new epoch, already told": (known(), THERE, Origin.SNAPSHOT, Seen()),
    "ledger of an earlier release": (known(""), THERE, Origin.CAPTURE, Seen()),
    "ledger of an earlier release, changed": (known(""), OTHER, Origin.CAPTURE, publish(Operation.UPDATE, 4)),
}


@pytest.mark.parametrize("case", CASES)
def test_each_case_has_its_decision(case: str) -> None:
    """What the ledger says and what was read decide; the version counts what was told, and nothing else."""
    ledger, image, origin, expected = CASES[case]

    assert decide(ledger, EPOCH, image, origin) == expected
