"""Attestations: what the department states of a stream, stored with the batch that it is true of, then sent."""

from tellonce.control.messages import Attestation, encode_message
from tellonce.model.digest import to_hex
from tellonce.storage.subscriber.entries import Coverage, StreamRow

__all__ = ["attest"]


def attest(department: str, stream: StreamRow, *, coverage: Coverage, now_ms: int) -> Attestation | None:
    """Gives the stream's attestation where the four position rules hold, and keeps it in the stream's row."""
    if not stream.attestable:
        return None
    # Rows are counted per view, so only one of its streams tells them.
    told = coverage if stream.partition == 0 else Coverage()
    attestation = Attestation(
        view=stream.view,
        partition=stream.partition,
        department=department,
        epoch=stream.position.epoch,
        sequence=stream.position.highest,
        sum=to_hex(stream.sum),
        count=stream.count,
        states=dict(stream.states),
        unlinked_rows=told.unlinked_rows,
        unreadable_rows=told.unreadable_rows,
        at_ms=now_ms,
    )
    stream.attestation = encode_message(attestation).decode()
    return attestation
