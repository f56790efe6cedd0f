"""Which records this department wants published again for itself: the reconciler asked for it, or a sweep did.

What is wanted is kept until the event comes, so that an event of a version that the ledger has is applied for the one
who needs it and for no other, and no event has to name a department.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import Connection, delete, select, tuple_, update

from tellonce.model.partitioning import partition_of
from tellonce.storage.database import clock_ms
from tellonce.storage.statements import in_slices, insert_if_absent
from tellonce.storage.tables import own_tables

__all__ = ["due_repairs", "postpone_repairs", "want_repairs"]

_ORDER_AGAIN_MS = 10 * 60_000
"""An order is given again after so long: it, or what it made, may have been lost, or the authority had enough."""

_LONGEST_WAIT_MS = 24 * 60 * 60_000
"""After so long nothing is expected any more; where the record still differs, the reconciler asks again."""


def want_repairs(connection: Connection, view: str, partitions: int, pseudonyms: Iterable[str]) -> None:
    """Keeps that these records are wanted; one that is wanted already stays as it is."""
    now = clock_ms(connection)
    rows = [
        {
            "view": view,
            "pseudonym": pseudonym,
            "partition": partition_of(pseudonym.encode(), partitions),
            "wanted_at_ms": now,
            "order_at_ms": now,
        }
        for pseudonym in dict.fromkeys(pseudonyms)
    ]
    insert_if_absent(connection, own_tables(connection.dialect.name).repair, rows)


def due_repairs(
    connection: Connection, streams: Collection[tuple[str, int]], limit: int
) -> Mapping[tuple[str, int], Sequence[str]]:
    """Gives the records to be ordered now, by stream, of these streams alone; and forgets what never came."""
    table = own_tables(connection.dialect.name).repair
    now = clock_ms(connection)
    connection.execute(delete(table).where(table.c.wanted_at_ms < now - _LONGEST_WAIT_MS))
    rows = connection.execute(
        select(table.c.view, table.c.partition, table.c.pseudonym)
        .where(table.c.order_at_ms <= now, tuple_(table.c.view, table.c.partition).in_(sorted(streams)))
        .order_by(table.c.order_at_ms, table.c.pseudonym)
        .limit(limit)
    )
    found: dict[tuple[str, int], list[str]] = {}
    for view, partition, pseudonym in rows:
        found.setdefault((str(view), int(partition)), []).append(str(pseudonym))
    return found


def postpone_repairs(connection: Connection, view: str, pseudonyms: Sequence[str]) -> None:
    """Keeps that an order for these records has arrived, so that it is given again only after a while."""
    table = own_tables(connection.dialect.name).repair
    later = clock_ms(connection) + _ORDER_AGAIN_MS
    for some in in_slices(pseudonyms):
        of_records = (table.c.view == view, table.c.pseudonym.in_(some))
        connection.execute(update(table).where(*of_records).values(order_at_ms=later))
