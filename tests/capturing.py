"""An authority's small database for tests of capture: a register of residents, its history, and its source."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Engine, text

from tellonce import Column, Former, Source
from tellonce.declare import Raw
from tellonce.storage.capture import install
from tellonce.storage.database import writing
from tellonce.storage.outbox import Outbox, OutboxRow
from tellonce.storage.tables import own_tables

__all__ = ["citizen_source", "do", "noted", "outbox_of", "prepare", "stored", "waiting_rows"]

FORMER = {"former_id_numbers": Former(table="id_history", key="resident_id", column="id_number", order_by="history_id")}
RESIDENT = "resident_id integer PRIMARY KEY, id_number text, full_name text, note text"


def citizen_source(
    *,
    table: str = "resident",
    key: str | Iterable[str] = "resident_id",
    columns: Mapping[str, str | Column] | None = None,
    former: Mapping[str, Former] | None = None,
    record_type: str = "citizen",
) -> Source:
    """The source of the register that `prepare` makes; its column `note` is not mapped."""
    return Source(
        record_type=record_type,
        table=table,
        key=key,
        columns=columns or {"id_number": "id_number", "name": "full_name"},
        former=former,
    )


def do(engine: Engine, *statements: str, **values: Raw) -> None:
    """Run statements in one transaction."""
    with writing(engine) as connection:
        for statement in statements:
            connection.execute(text(statement), values)


def prepare(
    engine: Engine,
    *,
    resident: str = RESIDENT,
    tail: str = "",
    rows: Sequence[str] = (),
    sources: Sequence[Source] | None = None,
) -> Engine:
    """Make our own tables and the register with some rows, and install the capture of `sources` (default: citizen)."""
    is_postgres = engine.dialect.name == "postgresql"
    schema = "public." if is_postgres else ""
    with writing(engine) as connection:
        if is_postgres:
            connection.execute(text("CREATE SCHEMA tellonce"))
        own_tables(engine.dialect.name).metadata.create_all(connection)
    do(
        engine,
        f"CREATE TABLE {schema}resident ({resident}) {tail}",
        f"CREATE TABLE {schema}id_history (history_id integer PRIMARY KEY, resident_id integer, id_number text)",
        *(f"INSERT INTO resident VALUES {row}" for row in rows),
    )
    install(engine, [citizen_source()] if sources is None else sources)
    return engine


def outbox_of(engine: Engine, source: Source | None = None) -> Outbox:
    """The outbox of a source in this database."""
    return Outbox(source or citizen_source(), engine.dialect.name)


def waiting_rows(engine: Engine, source: Source | None = None) -> list[OutboxRow]:
    """What waits in the outbox, as the relay would claim it; it is left there."""
    with writing(engine) as connection:
        return outbox_of(engine, source).claim(connection, 10_000)


def noted(engine: Engine, source: Source | None = None) -> list[str | None]:
    """The keys of the records that wait to be looked at, in the order of noting."""
    return [row.record_key for row in waiting_rows(engine, source)]


def stored(engine: Engine, source: Source | None = None) -> dict[str, Mapping[str, Raw]]:
    """Every record of the table as the relay reads it."""
    with writing(engine) as connection:
        chunk = outbox_of(engine, source).read_chunk(connection, None, 10_000)
    return {key: image for key, image in chunk if image is not None}
