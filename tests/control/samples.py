"""One valid control message of each shape, as JSON that tests may spoil."""

from typing import Any

from tellonce.control.messages import (
    Answer,
    Attestation,
    BucketSum,
    DivergenceEvent,
    Evidence,
    Heartbeat,
    Inquiry,
    Mark,
    Message,
    Order,
    PageEntry,
    Reading,
    RepairRequest,
)
from tellonce.model.divergence import DivergenceKind, DivergenceState, RecordState

HEX = "0123456789abcdef" * 2
PLACE: dict[str, Any] = {"view": "citizen.identity", "partition": 1}

MESSAGES: tuple[Message, ...] = (
    Mark(**PLACE, department="public-security", epoch=7, sequence=9, sum=HEX, count=3, at_ms=11),
    Attestation(
        **PLACE,
        department="healthcare",
        epoch=7,
        sequence=9,
        sum=HEX,
        count=3,
        states={RecordState.HELD: 3},
        unlinked_rows=1,
        at_ms=11,
    ),
    Inquiry(
        **PLACE,
        inquiry_id="i-1",
        departments=("healthcare",),
        ask="records",
        buckets=(3, 4),
        after=HEX,
        limit=10,
        at_ms=11,
    ),
    Answer(
        **PLACE,
        inquiry_id="i-1",
        department="healthcare",
        epoch=7,
        position=9,
        buckets=(BucketSum(bucket=3, sum=HEX, count=1),),
        records=(
            PageEntry(
                pseudonym=HEX, epoch=7, version=2, sequence=9, digest=HEX, state=RecordState.PARKED, reason="locked"
            ),
        ),
        next_after=HEX,
        at_ms=11,
    ),
    Order(
        **PLACE,
        order_id="o-1",
        action="repair",
        pseudonyms=(HEX,),
        epoch=7,
        up_to_sequence=9,
        by="Li Wei",
        reason="ordered by hand",
        at_ms=11,
    ),
    RepairRequest(
        **PLACE,
        order_id="o-1",
        department="healthcare",
        pseudonyms=(HEX,),
        by="reconciler",
        reason="policy",
        at_ms=11,
    ),
    DivergenceEvent(
        **PLACE,
        divergence_id="d-1",
        department="healthcare",
        pseudonym=HEX,
        kind=DivergenceKind.ALTERED,
        state=DivergenceState.OPEN,
        authority_epoch=7,
        authority_version=2,
        authority_sequence=9,
        department_epoch=7,
        department_version=2,
        authority_digest=HEX,
        department_digest=None,
        reason="locked",
        order_id="o-1",
        note="a note",
        decision_id="o-1",
        opened_at_ms=10,
        at_ms=11,
    ),
    Evidence(source="reconciler", kind="stream_state", facts={"state": "proved", "held": 3, "share": 0.5}, at_ms=11),
    Heartbeat(
        department="healthcare",
        service="applier",
        holder="host:1",
        state="running",
        release="0.1.0",
        started_at_ms=1,
        at_ms=11,
        gauges={"tellonce_parked": (Reading(labels={"view": "citizen.identity"}, value=None),)},
    ),
)
"""Every field is set, so that each can be spoiled."""
