"""Which records are looked at: what stands in the outbox, each record once."""

from collections.abc import Iterable
from dataclasses import dataclass

from tellonce.model.change import Origin
from tellonce.storage.outbox import OutboxRow

__all__ = ["Look", "looks_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A record that is looked at: why, and the time of the oldest change that its event will cover."""

    record_key: str
    origin: Origin
    committed_at_ms: int


def looks_of(rows: Iterable[OutboxRow]) -> list[Look]:
    """Gives each record of the outbox once, however often it was noted; an order asks for more than a change."""
    found: dict[str, Look] = {}
    for row in rows:
        if row.record_key is None:
            continue
        before = found.get(row.record_key)
        asks = before.origin if before and before.origin is Origin.REPAIR else row.origin
        at_ms = min(row.committed_at_ms, before.committed_at_ms) if before else row.committed_at_ms
        found[row.record_key] = Look(record_key=row.record_key, origin=asks, committed_at_ms=at_ms)
    return list(found.values())
