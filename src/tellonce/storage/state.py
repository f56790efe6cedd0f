"""How things stand in a department's database, in a few numbers: read every few seconds, whatever its size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from tellonce.model.position import parse_ranges
from tellonce.storage.tables import own_tables

__all__ = ["AuthorityView", "SubscribedState", "read_authority_views", "read_subscribed_states"]


@dataclass(slots=True, kw_only=True)
class AuthorityView:
    """One view at its authority: events staged and unconfirmed, records kept back, streams that stand still."""

    staged: int = 0
    unpublished: int = 0
    stopped: int = 0


@dataclass(slots=True, kw_only=True)
class SubscribedState:
    """One view at a subscriber: records by state, sequences missing, streams stopped, and what is parked."""

    records: dict[str, int] = field(default_factory=dict[str, int])
    missing: int = 0
    stopped: int = 0
    parked: dict[str, int] = field(default_factory=dict[str, int])
    """Records by the reason for which they are parked."""
    oldest_parked_ms: int | None = None
    unlinked_rows: int | None = None
    unreadable_rows: int | None = None
    """As the last whole sweep counted them; None until one was through."""


def read_authority_views(connection: Connection, views: Sequence[str]) -> Mapping[str, AuthorityView]:
    """Gives how an authority's views stand."""
    own = own_tables(connection.dialect.name)
    found = {view: AuthorityView() for view in views}
    for table, name in ((own.staged, "staged"), (own.unpublished, "unpublished")):
        counted = select(table.c.view, func.count()).where(table.c.view.in_(views)).group_by(table.c.view)
        for view, count in connection.execute(counted):
            setattr(found[view], name, int(count))
    stopped = (
        select(own.stream.c.view, func.count())
        .where(own.stream.c.view.in_(views), own.stream.c.stopped.is_not(None))
        .group_by(own.stream.c.view)
    )
    for view, count in connection.execute(stopped):
        found[view].stopped = int(count)
    return found


def read_subscribed_states(
    connection: Connection, views: Sequence[str], states: Sequence[str]
) -> Mapping[str, SubscribedState]:
    """Gives how a subscriber's views stand; `states` are the columns that count records."""
    own = own_tables(connection.dialect.name)
    found = {view: SubscribedState(records=dict.fromkeys(states, 0)) for view in views}
    position = own.position
    columns = [position.c[name] for name in ("view", "missing", "stopped", *states)]
    for row in connection.execute(select(*columns).where(position.c.view.in_(views))).mappings():
        state = found[str(row["view"])]
        state.missing += sum(last - first + 1 for first, last in parse_ranges(str(row["missing"])))
        state.stopped += row["stopped"] is not None
        for name in states:
            state.records[name] += int(row[name])
    parked = own.parked
    by_reason = (
        select(parked.c.view, parked.c.reason, func.count(), func.min(parked.c.parked_at_ms))
        .where(parked.c.view.in_(views))
        .group_by(parked.c.view, parked.c.reason)
    )
    for view, reason, count, oldest in connection.execute(by_reason):
        state = found[view]
        state.parked[str(reason)] = int(count)
        state.oldest_parked_ms = min(int(oldest), state.oldest_parked_ms or int(oldest))
    progress = own.progress
    tasks = [f"{kind}:{view}" for kind in ("unlinked", "unreadable") for view in views]
    rows = select(progress.c.task, progress.c.cursor).where(progress.c.task.in_(tasks))
    for task, cursor in connection.execute(rows):
        kind, _, view = str(task).partition(":")
        if kind == "unlinked":
            found[view].unlinked_rows = int(cursor)
        else:
            found[view].unreadable_rows = int(cursor)
    return found
