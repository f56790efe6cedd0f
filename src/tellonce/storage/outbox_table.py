"""The outbox of one record type as a table: which records are to be looked at, since when and why."""

from sqlalchemy import BigInteger, Column, Integer, MetaData, Select, Table, Text, select, text

from tellonce.model.change import Origin
from tellonce.storage.database import OWN_SCHEMA

__all__ = ["outbox_table", "unknown_changes"]


def outbox_table(record_type: str, dialect_name: str) -> Table:
    """Gives the outbox of a record type as installed in a database of this dialect.

    `record_key` is null where the trigger could not tell which record a row is: the capture is stale.
    It has no index but its key's, since whatever it has the department's own writes pay for.
    """
    is_postgres = dialect_name == "postgresql"
    prefix = "" if is_postgres else f"{OWN_SCHEMA}_"
    return Table(
        f"{prefix}outbox_{record_type}",
        MetaData(schema=OWN_SCHEMA if is_postgres else None),
        Column("outbox_id", BigInteger if is_postgres else Integer, primary_key=True, autoincrement=True),
        Column("record_key", Text),
        Column("committed_at_ms", BigInteger, nullable=False),
        Column("origin", Text, nullable=False, server_default=text(f"'{Origin.CAPTURE}'")),
        sqlite_autoincrement=True,
    )


def unknown_changes(outbox: Table) -> Select[tuple[int]]:
    """Gives the rows of an outbox that tell of a change, and not of which record."""
    return select(outbox.c.outbox_id).where(outbox.c.record_key.is_(None), outbox.c.origin == Origin.CAPTURE)
