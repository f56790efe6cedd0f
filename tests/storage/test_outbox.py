"""The outbox as the relay uses it: claiming, removing, noting, and reading the captured table."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, Engine

from capturing import FORMER, citizen_source, do, outbox_of, prepare
from tellonce import Former, codes
from tellonce.model.change import Origin
from tellonce.model.errors import ConfigurationError
from tellonce.storage.database import open_database, writing
from tellonce.storage.outbox import Outbox, OutboxRow


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An empty database of each kind."""
    fixture = "sqlite_url" if request.param == "sqlite" else "postgres_database"
    engine = open_database(str(request.getfixturevalue(fixture)))
    yield engine
    engine.dispose()


def claim(engine: Engine, limit: int) -> list[OutboxRow]:
    """What a claim gives; it is left there."""
    with writing(engine) as connection:
        return outbox_of(engine).claim(connection, limit)


def mark(engine: Engine, *keys: str, origin: Origin = Origin.CAPTURE, at_ms: int = 1) -> None:
    """Note records in the outbox."""
    with writing(engine) as connection:
        outbox_of(engine).mark(connection, keys, origin, at_ms)


def test_oldest_rows_are_claimed(engine: Engine) -> None:
    """A claim takes the rows that have waited longest, however often one record is noted."""
    prepare(engine)
    mark(engine, "b", "a", "b", "c")

    assert [row.record_key for row in claim(engine, 3)] == ["b", "a", "b"]
    assert claim(engine, 0) == []


def test_noted_row_is_claimed_as_it_was(engine: Engine) -> None:
    """Every field of a row goes through the outbox."""
    prepare(engine)
    mark(engine, "王/1", "\"'\\\n", origin=Origin.REPAIR, at_ms=1_700_000_000_123)
    mark(engine)

    rows = [(row.record_key, row.origin, row.committed_at_ms) for row in claim(engine, 9)]

    assert rows == [(key, Origin.REPAIR, 1_700_000_000_123) for key in ("王/1", "\"'\\\n")]


def test_removed_rows_are_gone_and_others_stay(engine: Engine) -> None:
    """Removing takes exactly the rows that were claimed, also with the caller's transaction."""
    prepare(engine)
    mark(engine, "a", "a", "b")

    with writing(engine) as connection:
        outbox = outbox_of(engine)
        outbox.remove(connection, outbox.claim(connection, 1))
        assert outbox.pending(connection)[0] == 2
        connection.rollback()
    with writing(engine) as connection:
        outbox.remove(connection, outbox.claim(connection, 1))

    assert [row.record_key for row in claim(engine, 9)] == ["a", "b"]


def test_pending_counts_rows_and_gives_the_oldest_time(engine: Engine) -> None:
    """What waits is counted, and its age is that of the oldest change."""
    prepare(engine)
    with writing(engine) as connection:
        empty = outbox_of(engine).pending(connection)
    mark(engine, "a", at_ms=20)
    mark(engine, "b", at_ms=10)

    with writing(engine) as connection:
        assert (empty, outbox_of(engine).pending(connection)) == ((0, None), (2, 10))


def test_waiting_records_are_told(engine: Engine) -> None:
    """A sweep asks which of some records are noted already; of none it asks nothing."""
    prepare(engine)
    mark(engine, "a", "b", "a")

    with writing(engine) as connection:
        outbox = outbox_of(engine)
        assert outbox.waiting_among(connection, ["a", "c"]) == {"a"}
        assert outbox.waiting_among(connection, []) == frozenset()


def test_chunks_cover_the_table_in_key_order(engine: Engine) -> None:
    """Reading on from the last key of each chunk meets every record once, numbers as numbers."""
    prepare(engine, rows=[f"({key}, 'a', 'b', 'c')" for key in (2, 10, 100, 9)])
    outbox, chunks, after = outbox_of(engine), [], None

    with writing(engine) as connection:
        while chunk := outbox.read_chunk(connection, after, 2):
            chunks.append([record.record_key for record in chunk])
            after = chunk[-1].record_key
            assert all(record.image is not None for record in chunk)

    assert chunks == [["2", "9"], ["10", "100"]]


def test_named_records_are_read_also_when_gone(engine: Engine) -> None:
    """Each record that is named comes once, without an image where no row has its key, or none could."""
    prepare(engine, rows=["(1, 'a', 'b', 'c')"])
    keys = ["2", "1", "none", "1", "9" * 30, "", "01", " 1"]

    with writing(engine) as connection:
        found = outbox_of(engine).read_records(connection, keys)
        nothing = outbox_of(engine).read_records(connection, [])

    assert [record.record_key for record in found] == list(dict.fromkeys(keys))
    assert {key for key, image in found if image} == {"1"}
    assert nothing == []


def test_former_values_come_in_their_order_without_repetition(engine: Engine) -> None:
    """Every record asked for has its list, in the declared order, without nulls, blanks and repetitions."""
    prepare(engine, sources=[citizen_source(former=FORMER)])
    history = ["(1, 7, 'b')", "(2, 7, 'a')", "(3, 8, NULL)", "(4, 7, 'b')", "(5, 9, 'other')", "(6, 8, '')"]
    do(engine, *(f"INSERT INTO id_history VALUES {one}" for one in history))

    with writing(engine) as connection:
        outbox = outbox_of(engine, citizen_source(former=FORMER))
        found = outbox.read_former(connection, ["7", "8", "10"])
        nothing = outbox.read_former(connection, [])

    assert found == {
        "7": {"former_id_numbers": ("b", "a")},
        "8": {"former_id_numbers": ()},
        "10": {"former_id_numbers": ()},
    }
    assert nothing == {}


def test_former_value_that_is_not_understood_is_left_out(engine: Engine) -> None:
    """One bad row of a history table hinders neither its record nor the others."""
    source = citizen_source(
        former={"f": Former(table="id_history", key="resident_id", column="id_number", codec=codes({"ok": "ok"}))}
    )
    prepare(engine, sources=[source])
    do(engine, "INSERT INTO id_history VALUES (1, 7, 'too long'), (2, 7, 'ok')")

    with writing(engine) as connection:
        found = outbox_of(engine, source).read_former(connection, ["7"])

    assert found == {"7": {"f": ("ok",)}}


def test_source_without_history_has_no_former_values(engine: Engine) -> None:
    """Without history tables every record has nothing, and nothing is asked of the database."""
    prepare(engine)

    with writing(engine) as connection:
        assert outbox_of(engine).read_former(connection, ["1"]) == {"1": {}}


CALLS: dict[str, Callable[[Outbox, Connection], object]] = {
    "claim": lambda outbox, connection: outbox.claim(connection, 1),
    "pending": lambda outbox, connection: outbox.pending(connection),
    "chunk": lambda outbox, connection: outbox.read_chunk(connection, None, 1),
    "mark": lambda outbox, connection: outbox.mark(connection, ["1"], Origin.SWEEP, 1),
    "waiting": lambda outbox, connection: outbox.waiting_among(connection, ["1"]),
    "records": lambda outbox, connection: outbox.read_records(connection, ["1"]),
}


@pytest.mark.parametrize("call", CALLS)
def test_missing_installation_is_said_plainly(engine: Engine, call: str) -> None:
    """Where capture is not installed, the relay is told which command installs it."""
    prepare(engine, sources=[])
    do(engine, "DROP TABLE resident")

    with engine.begin() as connection, pytest.raises(ConfigurationError, match="run tellonce install"):
        CALLS[call](outbox_of(engine), connection)
