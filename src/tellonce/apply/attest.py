"""Attestations: what the department states of a stream, stored with the batch that it is true of, then sent."""

from tellonce.apply.ledger import StreamRow
from tellonce.control.messages import Attestation, encode_message
from tellonce.model.digest import to_hex

__all__ = ["attest"]


def attest(department: str, stream: StreamRow, at_ms: int) -> Attestation | None:
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
        at_ms=at_ms,
    )
    stream.attestation = encode_message(attestation).decode()
    return attestation
