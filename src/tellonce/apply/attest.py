"""Attestations: what the department states of a stream, stored with the batch that it is true of, then sent."""

from sqlalchemy import Connection

from tellonce.control.messages import Attestation, encode_message
from tellonce.model.digest import to_hex
from tellonce.storage.database import clock_ms
from tellonce.storage.progress import load_cursor
from tellonce.storage.subscriber.entries import StreamRow

__all__ = ["attest", "unlinked_task"]


def unlinked_task(view: str) -> str:
    """Gives the name under which the number of a view's rows that belong to no record is kept."""
    return f"unlinked:{view}"


def attest(connection: Connection, department: str, stream: StreamRow) -> Attestation | None:
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
        unlinked_rows=int(load_cursor(connection, unlinked_task(stream.view)) or 0) if stream.partition == 0 else 0,
        at_ms=clock_ms(connection),
    )
    stream.attestation = encode_message(attestation).decode()
    return attestation
