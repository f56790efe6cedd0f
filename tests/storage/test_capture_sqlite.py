"""What is SQLite's own about capture: exact values, REPLACE and IGNORE, collations, and who waits for whom."""

import pytest
from sqlalchemy import Engine

from capturing import citizen_source, do, outbox_of, prepare, waiting_rows
from tellonce.model.errors import ConfigurationError
from tellonce.storage.capture import plan_install
from tellonce.storage.database import open_database, writing

VALUES = [0.30000000000000004, 1e300, -0.0, 9_007_199_254_740_993, "王\0五", "1.50", b"\x00\xff", None, 2**63 - 1, "𠮷"]


@pytest.fixture
def engine(sqlite_url: str) -> Engine:
    """An empty SQLite database."""
    return open_database(sqlite_url)


@pytest.mark.parametrize("value", VALUES, ids=[type(value).__name__ + str(at) for at, value in enumerate(VALUES)])
def test_value_is_captured_exactly(engine: Engine, value: float | str | bytes | None) -> None:
    """A value comes out of the outbox in its own type and to the last bit; its JSON would not."""
    source = citizen_source(columns={"value": "value"})
    prepare(engine, resident="resident_id integer PRIMARY KEY, value", sources=[source])

    do(engine, "INSERT INTO resident VALUES (1, :value)", value=value)
    do(engine, "DELETE FROM resident")
    created, deleted = waiting_rows(engine, source)
    with writing(engine) as connection:
        outbox_of(engine, source).remove(connection, [created, deleted])
        outbox_of(engine, source).add(connection, [created])
    added = waiting_rows(engine, source)[0]

    for image in (created.after, deleted.before, added.after):
        assert image is not None
        assert (repr(image["value"]), type(image["value"])) == (repr(value), type(value))


def test_replace_of_the_same_key_is_the_next_version(engine: Engine) -> None:
    """REPLACE shows no before, and takes a version above that of the row it replaces, however old that is."""
    prepare(engine, rows=["(1, 'a', 'b', 'c')"])

    do(engine, "INSERT OR REPLACE INTO resident VALUES (1, 'a', 'd', 'e')")

    row = waiting_rows(engine)[0]
    assert (row.version, row.before, row.after) == (2, None, {"id_number": "a", "full_name": "d"})


def test_replace_with_recursive_triggers_is_a_delete_and_an_insert(engine: Engine) -> None:
    """Where the application lets triggers recurse, the replaced row is seen to go first."""
    prepare(engine, rows=["(1, 'a', 'b', 'c')"])

    with engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA recursive_triggers = ON")
        connection.exec_driver_sql("REPLACE INTO resident VALUES (1, 'a', 'd', 'e')")

    assert [(row.version, row.before is None, row.after is None) for row in waiting_rows(engine)] == [
        (2, False, True),
        (3, True, False),
    ]


def test_upsert_is_captured_as_an_update(engine: Engine) -> None:
    """INSERT … ON CONFLICT DO UPDATE shows the row before and after."""
    prepare(engine, rows=["(1, 'a', 'b', 'c')"])

    do(
        engine,
        "INSERT INTO resident VALUES (1, 'x', 'd', 'e') ON CONFLICT DO UPDATE SET full_name = excluded.full_name",
    )

    row = waiting_rows(engine)[0]
    assert (row.version, row.before, row.after) == (
        2,
        {"id_number": "a", "full_name": "b"},
        {"id_number": "a", "full_name": "d"},
    )


@pytest.mark.parametrize("conflict", ["IGNORE", "REPLACE", "FAIL", "ABORT", "ROLLBACK"])
def test_outer_conflict_rule_does_not_reach_the_counters(engine: Engine, conflict: str) -> None:
    """Whatever an application's statement says of conflicts, our own statements inside the trigger hold."""
    prepare(engine, rows=["(1, 'a', 'b', 'c')", "(2, 'd', 'e', 'f')"])

    for name in ("g", "h"):
        do(engine, f"UPDATE OR {conflict} resident SET full_name = '{name}'")
    do(engine, f"INSERT OR {conflict} INTO resident VALUES (3, 'i', 'j', 'k')")

    assert [(row.record_key, row.version) for row in waiting_rows(engine)] == [
        ("1", 2),
        ("1", 3),
        ("2", 2),
        ("2", 3),
        ("3", 1),
    ]


def test_change_of_case_is_a_change_under_any_collation(engine: Engine) -> None:
    """A collation for which X is x hides neither a changed value nor a changed key from capture."""
    source = citizen_source(key="code", columns={"name": "full_name"})
    resident = "code text COLLATE NOCASE PRIMARY KEY, full_name text COLLATE NOCASE"
    prepare(engine, resident=resident, sources=[source])

    do(engine, "INSERT INTO resident VALUES ('k', 'x')", "UPDATE resident SET full_name = 'X'")
    do(engine, "UPDATE resident SET code = 'K'")

    with writing(engine) as connection:
        old = outbox_of(engine, source).read_records(connection, ["k"], lock=True)
    assert [(record.version, record.image) for record in old] == [(3, None)]
    assert [(row.record_key, row.version, row.after) for row in waiting_rows(engine, source)] == [
        ("K", 1, {"full_name": "X"}),
        ("k", 1, {"full_name": "x"}),
        ("k", 2, {"full_name": "X"}),
        ("k", 3, None),
    ]


def test_change_of_storage_class_is_a_change(engine: Engine) -> None:
    """The number 1 and the number 1.0 are equal in SQL, and two different values to a department."""
    source = citizen_source(columns={"value": "value"})
    prepare(engine, resident="resident_id integer PRIMARY KEY, value", rows=["(1, 1)"], sources=[source])

    do(engine, "UPDATE resident SET value = 1.0")

    assert repr(waiting_rows(engine, source)[0].after) == "{'value': 1.0}"


def test_text_that_is_not_utf8_is_one_records_trouble(engine: Engine) -> None:
    """Bytes that are no UTF-8 reach the codec as what no codec takes, and the records beside them as they are."""
    prepare(engine)
    do(engine, "INSERT INTO resident VALUES (1, CAST(x'ff41' AS TEXT), 'a', NULL), (2, '王', 'b', NULL)")

    rows = waiting_rows(engine)
    with writing(engine) as connection:
        outbox_of(engine).add(connection, rows)
        chunk = outbox_of(engine).read_chunk(connection, None, 10)

    assert [record.image for record in chunk] == [row.after for row in rows]
    assert [row.after and row.after["id_number"] for row in rows] == ["\udcffA", "王"]
    assert len(waiting_rows(engine)) == 4


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
        found = outbox.read_records(connection, ["10", "9"], lock=True)
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

    assert [(row.record_key, row.version) for row in waiting_rows(engine)] == [("5", 1)]


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
    """SQLite rewrites a trigger when a column is renamed; the declaration must follow."""
    prepare(engine)
    do(engine, "ALTER TABLE resident RENAME COLUMN full_name TO name")

    steps = plan_install(engine, [citizen_source(columns={"id_number": "id_number", "name": "name"})])

    assert any("outbox" in step.sentence for step in steps)


def test_reading_writes_nothing(engine: Engine) -> None:
    """Reading takes no write lock, also of records without a counter, so a sweep does not hold up the department."""
    prepare(engine, rows=["(1, 'a', 'b', 'c')"])
    do(engine, "DELETE FROM tellonce_record_version")

    with writing(engine) as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")
        chunk = outbox_of(engine).read_chunk(connection, None, 5)
        records = outbox_of(engine).read_records(connection, ["1", "2"], lock=True)
        connection.exec_driver_sql("PRAGMA query_only = OFF")

    assert [(record.record_key, record.version) for record in chunk] == [("1", 1)]
    assert [(record.record_key, record.version) for record in records] == [("1", 1), ("2", 1)]
