"""What is SQLite's own about capture: exact values, REPLACE and IGNORE, collations, and who waits for whom."""

import pytest
from sqlalchemy import Engine

from capturing import citizen_source, do, noted, outbox_of, prepare, stored
from tellonce.model.errors import ConfigurationError
from tellonce.storage.capture import plan_install
from tellonce.storage.database import open_database, writing

VALUES = [0.30000000000000004, 1e300, -0.0, 9_007_199_254_740_993, "王\0五", "1.50", b"\x00\xff", None, 2**63 - 1, "𠮷"]


@pytest.fixture
def engine(sqlite_url: str) -> Engine:
    """An empty SQLite database."""
    return open_database(sqlite_url)


@pytest.mark.parametrize("value", VALUES, ids=[type(value).__name__ + str(at) for at, value in enumerate(VALUES)])
def test_value_is_read_exactly(engine: Engine, value: float | str | bytes | None) -> None:
    """A value is read in its own type and to the last bit."""
    source = citizen_source(columns={"value": "value"})
    prepare(engine, resident="resident_id integer PRIMARY KEY, value", sources=[source])

    do(engine, "INSERT INTO resident VALUES (1, :value)", value=value)
    with writing(engine) as connection:
        (found,) = outbox_of(engine, source).read_records(connection, ["1"])

    for image in (stored(engine, source)["1"], found.image):
        assert image is not None
        assert (repr(image["value"]), type(image["value"])) == (repr(value), type(value))


@pytest.mark.parametrize("recursive", ["OFF", "ON"])
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR REPLACE INTO resident VALUES (1, 'a', 'd', 'e')",
        "REPLACE INTO resident VALUES (1, 'a', 'd', 'e')",
        "INSERT INTO resident VALUES (1, 'x', 'd', 'e') ON CONFLICT DO UPDATE SET full_name = excluded.full_name",
    ],
)
def test_replaced_row_is_noted(engine: Engine, statement: str, recursive: str) -> None:
    """A row that takes another's place is noted, whatever the application's triggers may do."""
    prepare(engine, rows=["(1, 'a', 'b', 'c')"])

    with engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql(f"PRAGMA recursive_triggers = {recursive}")
        connection.exec_driver_sql(statement)

    assert set(noted(engine)) == {"1"}


@pytest.mark.parametrize("conflict", ["IGNORE", "REPLACE", "FAIL", "ABORT", "ROLLBACK"])
def test_outer_conflict_rule_silences_no_note(engine: Engine, conflict: str) -> None:
    """Whatever an application's statement says of conflicts, our own statements inside the trigger hold."""
    prepare(engine, rows=["(1, 'a', 'b', 'c')", "(2, 'd', 'e', 'f')"])

    for name in ("g", "h"):
        do(engine, f"UPDATE OR {conflict} resident SET full_name = '{name}'")
    do(engine, f"INSERT OR {conflict} INTO resident VALUES (3, 'i', 'j', 'k')")

    assert noted(engine) == ["1", "2", "1", "2", "3"]


def test_change_of_case_is_a_change_under_any_collation(engine: Engine) -> None:
    """A collation for which X is x does not hide a changed key, nor does a record answer to another's key."""
    source = citizen_source(key="code", columns={"name": "full_name"})
    resident = "code text COLLATE NOCASE PRIMARY KEY, full_name text COLLATE NOCASE"
    prepare(engine, resident=resident, sources=[source])

    do(engine, "INSERT INTO resident VALUES ('k', 'x')", "UPDATE resident SET full_name = 'X'")
    do(engine, "UPDATE resident SET code = 'K'")

    with writing(engine) as connection:
        found = outbox_of(engine, source).read_records(connection, ["k", "K"])
    assert dict(found) == {"k": None, "K": {"full_name": "X"}}
    assert noted(engine, source) == ["k", "k", "k", "K"]


def test_text_that_is_not_utf8_is_one_records_trouble(engine: Engine) -> None:
    """Bytes that are no UTF-8 reach the codec as what no codec takes, and the records beside them as they are."""
    prepare(engine)
    do(engine, "INSERT INTO resident VALUES (1, CAST(x'ff41' AS TEXT), 'a', NULL), (2, '王', 'b', NULL)")

    assert {key: image["id_number"] for key, image in stored(engine).items()} == {"1": "\udcffA", "2": "王"}


@pytest.mark.parametrize(
    ("resident", "tail"),
    [
        ("resident_id integer PRIMARY KEY, id_number text, full_name text, note text", ""),
        ("resident_id text PRIMARY KEY, id_number text, full_name text, note text", "WITHOUT ROWID"),
        ("resident_id NUMERIC(18), id_number text, full_name text, note text, UNIQUE (resident_id)", ""),
        ("resident_id varchar(20), id_number text, full_name text, note text, UNIQUE (resident_id)", ""),
    ],
    ids=["rowid", "without-rowid", "numeric", "unique"],
)
def test_keys_of_any_affinity_are_found_by_their_text(engine: Engine, resident: str, tail: str) -> None:
    """A record key read as text finds its row again by the index of the key, whatever the column's type."""
    prepare(engine, resident=resident, tail=tail, rows=["(9, 'a', 'b', 'c')", "(10, 'd', 'e', 'f')"])
    outbox = outbox_of(engine)

    with writing(engine) as connection:
        everything = outbox.read_chunk(connection, None, 5)
        second = outbox.read_chunk(connection, everything[0].record_key, 5)
        found = outbox.read_records(connection, ["10", "9"])
        plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN SELECT 1 FROM resident AS t WHERE t.resident_id IN ('9')")
        steps = [str(row[3]) for row in plan]

    assert second == everything[1:]
    assert sorted(found) == sorted(everything)
    assert {record.record_key for record in everything} == {"9", "10"}
    assert all("SEARCH" in step for step in steps)


def test_row_without_a_key_is_no_record(engine: Engine) -> None:
    """SQLite lets a key be null; such a row names no record and is neither captured nor read."""
    resident = "resident_id text PRIMARY KEY, id_number text, full_name text, note text"
    prepare(engine, resident=resident, rows=["(NULL, 'a', 'b', 'c')"])

    do(engine, "INSERT INTO resident VALUES (NULL, 'a', 'b', 'c')", "UPDATE resident SET full_name = 'd'")
    do(
        engine,
        "UPDATE resident SET resident_id = '5' WHERE rowid = 1",
        "DELETE FROM resident WHERE resident_id IS NULL",
    )

    assert noted(engine) == ["5"]


@pytest.mark.parametrize("declared", ["", "blob", "real"])
def test_key_column_that_no_text_equals_is_refused(engine: Engine, declared: str) -> None:
    """A key column without a type, of bytes or of floats is refused, since a key's text would not find its rows."""
    prepare(engine, resident=f"resident_id {declared} PRIMARY KEY, id_number text, full_name text", sources=[])

    with pytest.raises(ConfigurationError, match="expected the key column resident_id of resident to be declared"):
        plan_install(engine, [citizen_source()])


def test_table_of_another_file_is_refused(engine: Engine) -> None:
    """A trigger cannot write into another database file."""
    prepare(engine, sources=[])

    with pytest.raises(ConfigurationError, match="expected a table of this database file"):
        plan_install(engine, [citizen_source(table="other.resident")])


def test_renamed_column_is_found(engine: Engine) -> None:
    """A declared column that is gone is one sentence, for whoever checks and for the relay."""
    prepare(engine)
    do(engine, "ALTER TABLE resident RENAME COLUMN full_name TO name")

    with pytest.raises(ConfigurationError, match="expected the column full_name in resident"):
        plan_install(engine, [citizen_source()])
    with writing(engine) as connection, pytest.raises(ConfigurationError, match="see the declaration"):
        outbox_of(engine).read_records(connection, ["1"])
    assert plan_install(engine, [citizen_source(columns={"id_number": "id_number", "name": "name"})]) == ()


def test_reading_writes_nothing(engine: Engine) -> None:
    """Reading takes no write lock, so a sweep does not hold up the department."""
    prepare(engine, rows=["(1, 'a', 'b', 'c')"])

    with writing(engine) as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")
        chunk = outbox_of(engine).read_chunk(connection, None, 5)
        records = outbox_of(engine).read_records(connection, ["1", "2"])
        connection.exec_driver_sql("PRAGMA query_only = OFF")

    assert [record.record_key for record in chunk] == ["1"]
    assert [(record.record_key, record.image is None) for record in records] == [("1", False), ("2", True)]
