"""Between the first look and the commit one guard: what a table refuses is its own record's trouble and no other's."""

from collections.abc import Mapping

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tellonce.model.divergence import Reason
from tellonce.storage.sql.rows import TableRows
from tellonce.storage.subscriber.decisions import Why, Write
from tellonce.storage.subscriber.facts import Row
from tellonce.storage.subscriber.store import Accept, Written

__all__ = ["guarded_write"]

_COLLISION = Why(reason=Reason.COLLISION, detail="another row holds a value that must be unique")


def guarded_write(
    connection: Connection, rows: TableRows, writes: Mapping[str, Write], accept: Accept
) -> dict[str, Written | Why]:
    """Carries writes out together; those that deviate are taken out together, and the rest is done once more.

    Raises:
        DBAPIError: what the database says concerns more than one record.
    """
    results: dict[str, Written | Why] = {}
    waiting: list[tuple[dict[str, Write], bool]] = [(dict(writes), False)]
    while waiting:
        some, aside = waiting.pop()
        if not some:
            continue
        try:
            refused, written = _attempt(connection, rows, some, accept, aside=aside)
        except DBAPIError as error:
            why = rows.why(error)
            if why is None:
                raise
            refused = _to_blame(connection, rows, some, why)
            if not refused:
                waiting += _smaller(some, why, aside=aside)
                continue
            written = {}
        results.update(refused)
        results.update(written)
        if refused:
            waiting.append(({name: write for name, write in some.items() if name not in refused}, aside))
    return results


def _smaller(some: dict[str, Write], why: Why, *, aside: bool) -> list[tuple[dict[str, Write], bool]]:
    if why.reason is Reason.COLLISION and not aside:
        # Nobody else holds what collides, so these records exchange it among themselves.
        return [(some, True)]
    names, middle = list(some), len(some) // 2
    return [({name: some[name] for name in part}, False) for part in (names[middle:], names[:middle])]


def _to_blame(connection: Connection, rows: TableRows, some: dict[str, Write], why: Why) -> dict[str, Why]:
    if why.reason is Reason.COLLISION:
        with connection.begin_nested():
            found = rows.held_by_others(some)
        if found:
            return dict.fromkeys(found, _COLLISION)
    return dict.fromkeys(some, why) if len(some) == 1 else {}


def _attempt(
    connection: Connection, rows: TableRows, some: dict[str, Write], accept: Accept, *, aside: bool
) -> tuple[dict[str, Why], dict[str, Written]]:
    """Writes and looks at what became of it; where anything deviates, nothing stays."""
    savepoint = connection.begin_nested()
    try:
        keys = rows.carry_out(some, aside=aside)
        there = rows.read({key for each in keys.values() for key in each if key is not None})
        back: dict[str, list[Row | None]] = {
            name: [None if key is None else there.get(key) for key in each] for name, each in keys.items()
        }
        refused = {name: why for name, each in back.items() if (why := accept(name, each)) is not None}
    except BaseException:
        savepoint.rollback()
        raise
    if refused:
        savepoint.rollback()
        return refused, {}
    savepoint.commit()
    return {}, {name: Written(rows=[row for row in each if row is not None]) for name, each in back.items()}
