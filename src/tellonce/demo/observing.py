"""What the demonstration sees of the services while it waits: their ledgers, and the topic of divergences."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, func, select

from tellonce.control.channel import Channel, Heard
from tellonce.control.messages import DivergenceEvent
from tellonce.model.divergence import is_open
from tellonce.reconcile.reading import newest_divergences
from tellonce.storage.database import own_table_name, reading
from tellonce.storage.statements import by_name
from tellonce.storage.tables import own_tables
from tellonce.topology import Topology
from tellonce.topology.topics import OPERATOR, RECONCILER

__all__ = ["DivergenceWatch", "Observer", "Progress", "percentiles"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far all of it is: records and events that are through, and how many there are as far as is known."""

    done: int
    known: int
    is_settled: bool


class Observer:
    """Reads the departments' databases as they are."""

    def __init__(self, topology: Topology, engines: Mapping[str, Engine]) -> None:
        self._topology = topology
        self._engines = engines

    def progress(self) -> Progress:
        """Tells whether every change is published and every published event applied, and how much is."""
        waiting = 0
        reached: dict[tuple[str, int], tuple[int, int]] = {}
        complete = True
        for record_type in self._topology.record_types.values():
            engine = self._engines[record_type.authority]
            own = own_tables(engine.dialect.name)
            with reading(engine) as connection:
                outbox = own_table_name(engine.dialect.name, f"outbox_{record_type.name}")
                waiting += int(connection.exec_driver_sql(f"SELECT count(*) FROM {outbox}").scalar() or 0)  # noqa: S608 - our own name
                waiting += int(connection.execute(select(func.count()).select_from(own.staged)).scalar() or 0)
                names = [view.name for view in record_type.views.values()]
                rows = connection.execute(select(own.stream).where(own.stream.c.view.in_(names))).all()
            complete &= bool(rows) and all(row.complete for row in rows)
            reached |= {(row.view, row.partition): (row.epoch, row.staged_sequence) for row in rows}
        done = known = behind = 0
        for department in self._topology.departments:
            views = [subscription.view for subscription in self._topology.subscribed_by(department)]
            own = own_tables(self._engines[department].dialect.name)
            with reading(self._engines[department]) as connection:
                found = {(r.view, r.partition): (r.epoch, r.highest) for r in connection.execute(select(own.position))}
                behind += self._waiting_records(department, connection)
            for stream, (epoch, sequence) in reached.items():
                if stream[0] in views:
                    known += sequence
                    at_epoch, at = found.get(stream, (0, 0))
                    done += at if at_epoch == epoch else 0
                    behind += (at_epoch, at) < (epoch, sequence)
        return Progress(done=done, known=known, is_settled=complete and not waiting and not behind)

    def _waiting_records(self, department: str, connection: Connection) -> int:
        own = own_tables(self._engines[department].dialect.name)
        statement = select(func.count()).where(own.parked.c.reason.in_(("awaiting_snapshot", "locked", "collision")))
        return int(connection.execute(statement).scalar() or 0)

    def holdings(self) -> list[dict[str, object]]:
        """Gives, per department and view, the records by state and how events ended."""
        rows: list[dict[str, object]] = []
        for department in self._topology.departments:
            engine = self._engines[department]
            table = own_tables(engine.dialect.name).position
            names: tuple[str, ...] = (
                "held",
                "out_of_scope",
                "parked",
                "ambiguous",
                "applied_events",
                "superseded_events",
            )
            names += ("out_of_scope_events", "parked_events")
            sums = [func.sum(table.c[name]).label(name) for name in names]
            with reading(engine) as connection:
                for row in connection.execute(
                    select(table.c.view, *sums).group_by(table.c.view).order_by(table.c.view)
                ):
                    counts = {name: int(by_name(row)[name] or 0) for name in names}
                    rows.append({"department": department, "view": row.view, **counts, **self._links(engine, row.view)})
        return rows

    def _links(self, engine: Engine, view: str) -> dict[str, int]:
        own = own_tables(engine.dialect.name)
        with reading(engine) as connection:
            linked = connection.execute(select(func.count()).where(own.linked_row.c.view == view)).scalar() or 0
        return {"linked": int(linked)}

    def delays_ms(self, since_ms: int) -> list[int]:
        """Gives, for the records whose newest change was committed since then, the time to its application."""
        found: list[int] = []
        for department in self._topology.departments:
            table = own_tables(self._engines[department].dialect.name).applied
            with reading(self._engines[department]) as connection:
                rows = connection.execute(
                    select(table.c.applied_at_ms - table.c.committed_at_ms).where(
                        table.c.committed_at_ms >= since_ms, table.c.state != "out_of_scope"
                    )
                )
                found += [max(0, int(value)) for (value,) in rows]
        return found


def percentiles(delays_ms: Sequence[int]) -> dict[str, int | None]:
    """Gives the median and the 99th percentile, in milliseconds; nothing of fewer than two values."""
    if len(delays_ms) < 2:  # noqa: PLR2004 - quantiles need two
        return {"p50_ms": None, "p99_ms": None}
    cuts = statistics.quantiles(delays_ms, n=100, method="inclusive")
    return {"p50_ms": round(cuts[49]), "p99_ms": round(cuts[98])}


class DivergenceWatch:
    """Follows the topics of divergences: which were ever opened, and how each stands now."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        channel.listen(DivergenceEvent, (RECONCILER, OPERATOR), "beginning")
        self._heard: list[Heard[DivergenceEvent]] = []

    def newest(self) -> dict[tuple[str, str, str], DivergenceEvent]:
        """Gives the newest state of each divergence, by department, view and pseudonym."""
        while heard := self._channel.hear(DivergenceEvent, 0.05):
            self._heard += heard
        events = newest_divergences(self._heard, with_resolved=True)
        return {(event.department, event.view, event.pseudonym): event for event in events}

    def open_ones(self) -> list[DivergenceEvent]:
        """Gives the divergences that are not resolved."""
        return [event for event in self.newest().values() if is_open(event.state)]
