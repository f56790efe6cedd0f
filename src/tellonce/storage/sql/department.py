"""A `DepartmentStore` over a database: our own tables of what is wanted, and of places in control topics."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import Engine, delete, select, tuple_, update

from tellonce.control.channel import Place
from tellonce.model.partitioning import partition_of
from tellonce.storage.database import clock_ms, reading, writing
from tellonce.storage.progress import load_places, save_place
from tellonce.storage.statements import in_slices, insert_if_absent
from tellonce.storage.subscriber.department import LONGEST_WAIT_MS, ORDER_AGAIN_MS, StreamId
from tellonce.storage.tables import own_tables

__all__ = ["SqlDepartment"]


class SqlDepartment:
    """A department's store, over its database. Every method raises `RetryableError` where the database is away."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._repair = own_tables(engine.dialect.name).repair

    def places(self, task: str) -> Mapping[Place, int]:
        """Gives, for each partition that a task reads, the offset of the next message that it has not dealt with."""
        with reading(self._engine) as connection:
            return load_places(connection, task)

    def save_places(self, task: str, places: Mapping[Place, int]) -> None:
        """Keeps the offsets of the next messages of these partitions."""
        with writing(self._engine) as connection:
            for place, offset in places.items():
                save_place(connection, task, place, offset)

    def want(self, view: str, partitions: int, pseudonyms: Iterable[str]) -> None:
        """Keeps that these records are wanted; one that is wanted already stays as it is."""
        with writing(self._engine) as connection:
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
            insert_if_absent(connection, self._repair, rows)

    def due(self, streams: Collection[StreamId], limit: int) -> Mapping[StreamId, Sequence[str]]:
        """Gives the records to be ordered now, by stream, of these streams alone; and forgets what never came."""
        table = self._repair
        found: dict[StreamId, list[str]] = {}
        with writing(self._engine) as connection:
            now = clock_ms(connection)
            connection.execute(delete(table).where(table.c.wanted_at_ms < now - LONGEST_WAIT_MS))
            rows = connection.execute(
                select(table.c.view, table.c.partition, table.c.pseudonym)
                .where(table.c.order_at_ms <= now, tuple_(table.c.view, table.c.partition).in_(sorted(streams)))
                .order_by(table.c.order_at_ms, table.c.pseudonym)
                .limit(limit)
            )
            for view, partition, pseudonym in rows:
                found.setdefault((str(view), int(partition)), []).append(str(pseudonym))
        return found

    def postpone(self, ordered: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Keeps that orders for these records of views have arrived: they are given again only after a while."""
        table = self._repair
        with writing(self._engine) as connection:
            for view, pseudonyms in ordered:
                later = clock_ms(connection) + ORDER_AGAIN_MS
                for some in in_slices(pseudonyms):
                    of_records = (table.c.view == view, table.c.pseudonym.in_(some))
                    connection.execute(update(table).where(*of_records).values(order_at_ms=later))
