"""Attestations: what the department states of a stream, stored with the batch that it is true of, then sent."""

from tellonce.control.messages import Attestation, encode_message
from tellonce.model.digest import to_hex
from tellonce.storage.subscriber.entries import StreamRow

__all__ = ["attest"]


def attest(department: str, stream: StreamRow, *, unlinked_rows: int, now_ms: int) -> Attestation | None:
    """Gives the stream's attestation where the four position rules hold, and keeps it in the stream's row."""
    if not stream.attestable:
        return None
    attestation = Attestation(
        view=stream.view,
        partition=stream.partition,
        department=department,
        epoch=stream.position.epoch,
        sequence=stream.position.highest,
        sum=to_hex(stream.sum),
        count=stream.count,
        states=dict(stream.states),
        # Rows of no record are counted per view, so only one of its streams tells them.
        unlinked_rows=unlinked_rows if stream.partition == 0 else 0,
        at_ms=now_ms,
    )
    stream.attestation = encode_message(attestation).decode()
    return attestation
