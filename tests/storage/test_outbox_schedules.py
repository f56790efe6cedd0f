"""Two sessions and a reader on a real PostgreSQL: the schedules that the usual outbox readers get wrong.

Each schedule is run with every reader, and each wrong reader must be seen to fail where it does: otherwise the
schedule would show nothing about the right one.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from sqlalchemy import Connection, Engine, text

from capturing import citizen_source, do, outbox_of, prepare, waiting_rows
from tellonce.storage.database import open_database, writing
from tellonce.storage.outbox import Outbox
from waiting import wait_until

Seen = list[tuple[str, int]]
Reader = Callable[[Connection], Seen]
SOURCE = citizen_source(columns={"value": "value"})
CHANGE = text("UPDATE resident SET value = value + 1 WHERE resident_id = :key")


@pytest.fixture
def engine(postgres_database: str) -> Iterator[Engine]:
    """The register with records 1 (R), 2 (S) and 3, and their capture; every change so far is published."""
    engine = open_database(postgres_database)
    rows = ["(1, 0)", "(2, 0)", "(3, 0)"]
    prepare(engine, resident="resident_id integer PRIMARY KEY, value integer", rows=rows, sources=[SOURCE])
    yield engine
    engine.dispose()


class Watermark:
    """A reader that remembers how far it came, as published recipes do."""

    def __init__(self, condition: str, order: str) -> None:
        self.last_id = self.last_transaction = 0
        self.query = text(f"""
            SELECT outbox_id, transaction_id, record_key, version FROM tellonce.outbox_citizen
            WHERE {condition} ORDER BY {order}
        """)

    def __call__(self, connection: Connection) -> Seen:
        values = {"last_id": self.last_id, "last_transaction": self.last_transaction}
        rows = connection.execute(self.query, values).all()
        if rows:
            self.last_id, self.last_transaction = rows[-1].outbox_id, rows[-1].transaction_id
        return [(row.record_key, row.version) for row in rows]


def by_id() -> Reader:
    """Everything above the highest id."""
    return Watermark("outbox_id > :last_id", "outbox_id")


def by_id_below_running() -> Reader:
    """Everything above the highest id, of transactions older than all that run."""
    settled = "transaction_id < txid_snapshot_xmin(txid_current_snapshot())"
    return Watermark(f"outbox_id > :last_id AND {settled}", "outbox_id")


def by_transaction_and_id() -> Reader:
    """Everything above the highest (transaction, id), of transactions older than all that run."""
    settled = "transaction_id < txid_snapshot_xmin(txid_current_snapshot())"
    above = "(transaction_id, outbox_id) > (:last_transaction, :last_id)"
    return Watermark(f"{above} AND {settled}", "transaction_id, outbox_id")


def by_claim() -> Reader:
    """The unpublished set, as the relay claims it."""
    outbox = Outbox(SOURCE, "postgresql")

    def read(connection: Connection) -> Seen:
        rows = outbox.claim(connection, 100)
        outbox.remove(connection, rows)
        return [(row.record_key, row.version) for row in rows]

    return read


def lower_id_commits_later(engine: Engine, read: Callable[[], None]) -> None:
    """E1: A changes R, B changes S and commits; a read; then A commits."""
    with engine.connect() as a, engine.connect() as b:
        a.execute(CHANGE, {"key": 1})
        b.execute(CHANGE, {"key": 2})
        b.commit()
        read()
        a.commit()


def older_transaction_changes_later(engine: Engine, read: Callable[[], None]) -> None:
    """E2: A begins to write, B changes R and commits, then A changes R and commits."""
    del read
    with engine.connect() as a, engine.connect() as b:
        a.execute(CHANGE, {"key": 3})
        b.execute(CHANGE, {"key": 1})
        b.commit()
        a.execute(CHANGE, {"key": 1})
        a.commit()


def id_drawn_before_the_transaction(engine: Engine, read: Callable[[], None]) -> None:
    """E3: A draws an id, B changes S and commits; a read; then A gets its transaction id and writes R with that id.

    A trigger draws the id later; an application that writes the outbox by itself can do it in this order.
    """
    sequence = "SELECT nextval(pg_get_serial_sequence('tellonce.outbox_citizen', 'outbox_id'))"
    insert = text("""
        INSERT INTO tellonce.outbox_citizen (outbox_id, record_key, version, transaction_id, committed_at_ms, origin)
        VALUES (:id, '1', 2, txid_current(), 0, 'capture')
    """)
    # Every 32nd draw writes to the log and with it takes a transaction id: the first one must not be A's.
    do(engine, sequence)
    with engine.connect() as a, engine.connect() as b:
        drawn = a.execute(text(sequence)).scalar_one()
        b.execute(CHANGE, {"key": 2})
        b.commit()
        read()
        a.execute(insert, {"id": drawn})
        a.commit()


READERS = [by_id, by_id_below_running, by_transaction_and_id, by_claim]
E1, E2, E3 = lower_id_commits_later, older_transaction_changes_later, id_drawn_before_the_transaction
EXPECTED: dict[tuple[object, object], str] = {
    (E1, by_id): "lost",
    (E3, by_id): "lost",
    (E3, by_id_below_running): "lost",
    (E2, by_transaction_and_id): "misordered",
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("schedule", [E1, E2, E3])
def test_only_the_claim_neither_loses_nor_misorders(
    engine: Engine, schedule: Callable[[Engine, Callable[[], None]], None], reader: Callable[[], Reader]
) -> None:
    """The unpublished set by record and version sees every change once and in order; each watermark fails somewhere."""
    seen: Seen = []
    read_on = reader()

    def read() -> None:
        with writing(engine) as connection:
            seen.extend(read_on(connection))

    schedule(engine, read)
    with writing(engine) as connection:
        written = committed(connection) | set(seen)
    read()
    read()

    fault = "ok"
    if set(seen) != written or len(seen) != len(written):
        fault = "lost"
    elif any(seen.index((key, version)) < seen.index((key, version - 1)) for key, version in seen if version > 2):
        fault = "misordered"
    assert fault == EXPECTED.get((schedule, reader), "ok")


def committed(connection: Connection) -> set[tuple[str, int]]:
    """Key and version of what stands in the outbox."""
    rows = connection.execute(text("SELECT record_key, version FROM tellonce.outbox_citizen"))
    return {(key, version) for key, version in rows}


def test_locked_read_leaves_out_what_is_being_changed(engine: Engine) -> None:
    """Neither the relay nor the department waits: a record that is being changed is given again when it is free."""
    outbox = outbox_of(engine, SOURCE)
    do(engine, "DELETE FROM resident WHERE resident_id = 3")
    with engine.connect() as department:
        department.execute(CHANGE, {"key": 1})
        department.execute(text("INSERT INTO resident VALUES (3, 0)"))

        with writing(engine) as connection:
            during = outbox.read_records(connection, ["1", "2", "3"], lock=True)
            unlocked = outbox.read_records(connection, ["1"], lock=False)
        department.commit()
    with writing(engine) as connection:
        after = outbox.read_records(connection, ["1", "2", "3"], lock=True)

    assert during == [("2", 1, {"value": 0})]
    assert unlocked == [("1", 1, {"value": 0})]
    assert sorted(after) == [("1", 2, {"value": 1}), ("2", 1, {"value": 0}), ("3", 3, {"value": 0})]


@pytest.mark.parametrize("statement", [CHANGE, text("INSERT INTO resident VALUES (:key, 5)")])
def test_locked_record_keeps_its_version_until_the_relay_commits(engine: Engine, statement: object) -> None:
    """A change that comes while a sweep holds a record, or its counter, takes the version above the sweep's."""
    key = 1 if statement is CHANGE else 9
    outbox = outbox_of(engine, SOURCE)

    def change() -> None:
        do(engine, str(statement), key=key)

    with ThreadPoolExecutor(1) as pool:
        with writing(engine) as connection:
            (record,) = outbox.read_records(connection, [str(key)], lock=True)
            changing = pool.submit(change)
            wait_until(lambda: waits_for_a_lock(engine), what="the department waits for the relay")
            outbox.set_versions(connection, {record.record_key: record.version + 1})
        changing.result(timeout=10)

    assert [(row.record_key, row.version) for row in waiting_rows(engine, SOURCE)] == [(str(key), 3)]


def test_unlocked_read_is_one_state_of_row_and_version(engine: Engine) -> None:
    """A row never comes with the version of another state of it, however the department writes meanwhile."""
    outbox, stop = outbox_of(engine, SOURCE), Event()

    def write() -> None:
        while not stop.is_set():
            do(engine, "UPDATE resident SET value = value + 1")

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        read = []
        for _ in range(50):
            with writing(engine) as connection:
                read += outbox.read_chunk(connection, None, 10)
                read += outbox.read_records(connection, ["1", "2", "3"], lock=False)
        stop.set()
        writer.result(timeout=10)

    assert all(record.image and record.image["value"] == record.version - 1 for record in read)
    assert len({record.version for record in read}) > 1


def waits_for_a_lock(engine: Engine) -> bool:
    """Whether some session of this database waits for another."""
    query = (
        "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')"
    )
    with engine.connect() as connection:
        return bool(connection.execute(text(query)).scalar_one())
