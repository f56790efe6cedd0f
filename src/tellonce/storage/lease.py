"""The fenced right to publish for a department, measured by the database's clock.

Holding it is proved inside every writing transaction, which locks the lease's row until the commit:
a relay that was paused past its lease finds no row, and its transaction rolls back.
"""

import os
import secrets
import socket
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from tellonce.model.errors import TellonceError
from tellonce.storage.database import clock_ms
from tellonce.storage.tables import own_tables

__all__ = ["Lease", "LeaseLostError", "hold_lease", "new_holder", "release_lease", "take_lease"]


class LeaseLostError(TellonceError):
    """Another process took the lease over, or it ran out: whatever was about to be written must not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lease that was taken; `fence` grows with every change of holder."""

    name: str
    holder: str
    fence: int
    duration_ms: int


def new_holder() -> str:
    """Gives a name for this process that no other has, also on a host of the same name with the same process ids."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"


def take_lease(connection: Connection, name: str, holder: str, duration_ms: int) -> Lease | None:
    """Takes a lease that is free, run out, or held by this very holder; gives nothing if another holds it."""
    table = own_tables(connection.dialect.name).lease
    now = clock_ms(connection)
    row = connection.execute(select(table).where(table.c.name == name).with_for_update()).one_or_none()
    if row is None:
        connection.execute(insert(table).values(name=name, holder=holder, fence=1, expires_at_ms=now + duration_ms))
        return Lease(name=name, holder=holder, fence=1, duration_ms=duration_ms)
    if row.holder != holder and row.expires_at_ms > now:
        return None
    fence = int(row.fence) + 1
    connection.execute(
        update(table).where(table.c.name == name).values(holder=holder, fence=fence, expires_at_ms=now + duration_ms)
    )
    return Lease(name=name, holder=holder, fence=fence, duration_ms=duration_ms)


def hold_lease(connection: Connection, lease: Lease) -> None:
    """Renews the lease and locks its row until this transaction ends.

    Raises:
        LeaseLostError: the lease ran out or is another's.
    """
    table = own_tables(connection.dialect.name).lease
    now = clock_ms(connection)
    renewed = connection.execute(
        update(table)
        .where(
            table.c.name == lease.name,
            table.c.holder == lease.holder,
            table.c.fence == lease.fence,
            table.c.expires_at_ms > now,
        )
        .values(expires_at_ms=now + lease.duration_ms)
    )
    if renewed.rowcount != 1:
        msg = f"expected to hold the lease {lease.name}, found that another process took it or that it ran out"
        raise LeaseLostError(msg, lease=lease.name, fence=lease.fence)


def release_lease(connection: Connection, lease: Lease) -> None:
    """Lets a lease go at once, so that a successor need not wait for it to run out."""
    table = own_tables(connection.dialect.name).lease
    connection.execute(
        update(table)
        .where(table.c.name == lease.name, table.c.holder == lease.holder, table.c.fence == lease.fence)
        .values(expires_at_ms=0)
    )
