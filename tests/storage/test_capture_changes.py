"""What both databases capture of a department's transactions, and how capture is installed, checked and removed."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from capturing import FORMER, citizen_source, do, noted, outbox_of, prepare, stored, waiting_rows
from tellonce import Former, Source
from tellonce.model.change import Origin
from tellonce.model.errors import ConfigurationError
from tellonce.storage.capture import install, plan_install, plan_uninstall, uninstall, verify
from tellonce.storage.database import open_database, writing

LI = {"id_number": "11010519491231002X", "full_name": "李娜"}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An empty database of each kind."""
    fixture = "sqlite_url" if request.param == "sqlite" else "postgres_database"
    engine = open_database(str(request.getfixturevalue(fixture)))
    yield engine
    engine.dispose()


def insert_li(engine: Engine) -> None:
    """Bring a resident into the register."""
    do(engine, "INSERT INTO resident VALUES (1, :id_number, :full_name, 'n')", **LI)


def test_committed_changes_note_their_record_and_nothing_of_it(engine: Engine) -> None:
    """Every committed change of a row notes its record's key in the outbox, and no value of it is copied there."""
    prepare(engine)
    outbox = "tellonce.outbox_citizen" if engine.dialect.name == "postgresql" else "tellonce_outbox_citizen"

    insert_li(engine)
    do(engine, "UPDATE resident SET full_name = '李丽' WHERE resident_id = 1")
    do(engine, "DELETE FROM resident WHERE resident_id = 1")

    with engine.connect() as connection:
        written = str(connection.execute(text(f"SELECT * FROM {outbox}")).all())
    assert noted(engine) == ["1", "1", "1"]
    assert "李" not in written
    assert LI["id_number"] not in written


def test_rolled_back_change_is_not_noted(engine: Engine) -> None:
    """A change that was rolled back leaves nothing."""
    prepare(engine)

    with engine.connect() as connection:
        connection.execute(text("INSERT INTO resident VALUES (2, 'x', 'y', 'z')"))
        connection.rollback()
    insert_li(engine)

    assert noted(engine) == ["1"]


def test_change_of_any_column_is_noted(engine: Engine) -> None:
    """Which columns are published is not the trigger's to know; an update that changes nothing is spared at least."""
    prepare(engine, rows=["(1, 'x', 'y', 'z')"])

    do(engine, "UPDATE resident SET full_name = full_name")
    nothing = noted(engine)
    do(engine, "UPDATE resident SET note = 'other'")

    # SQLite could only compare columns by name, which would refuse that they are dropped.
    assert nothing == ([] if engine.dialect.name == "postgresql" else ["1"])
    assert noted(engine) == [*nothing, "1"]


def test_origin_and_time_of_a_captured_change_are_the_databases_own(engine: Engine) -> None:
    """A captured row says so, and carries the database's clock."""
    prepare(engine)

    insert_li(engine)

    row = waiting_rows(engine)[0]
    assert row.origin == Origin.CAPTURE
    assert row.committed_at_ms > 1_700_000_000_000


def test_changed_record_key_notes_both_records(engine: Engine) -> None:
    """A row whose key changes leaves its old record and becomes another one."""
    prepare(engine)
    insert_li(engine)

    do(engine, "UPDATE resident SET resident_id = 2, full_name = '李丽'")

    assert noted(engine) == ["1", "1", "2"]
    assert stored(engine) == {"2": {**LI, "full_name": "李丽"}}


def test_record_key_of_several_columns_is_joined_without_ambiguity(engine: Engine) -> None:
    """Keys of several columns are told apart also where their values contain the separator, and are found again."""
    source = citizen_source(key=("district", "number"), columns={"name": "full_name"})
    resident = "district text NOT NULL, number integer NOT NULL, full_name text, PRIMARY KEY (district, number)"
    prepare(engine, resident=resident, rows=["('a/1', 2, 'old')"], sources=[source])
    outbox = outbox_of(engine, source)

    do(engine, "INSERT INTO resident VALUES ('a', 12, 'x'), ('a%2F', 3, 'y')", "UPDATE resident SET full_name = 'z'")

    keys = ["a%252F/3", "a%2F1/2", "a/12"]
    with writing(engine) as connection:
        first = outbox.read_chunk(connection, None, 2)
        rest = outbox.read_chunk(connection, first[-1].record_key, 2)
        found = outbox.read_records(connection, [*keys, "a", "a/1/2", "b/1"])
    assert {row.record_key for row in waiting_rows(engine, source)} == set(keys)
    assert sorted(record.record_key for record in first + rest) == keys
    # What is no key of these columns is of no row.
    assert dict(found) == {key: {"full_name": "z"} if key in keys else None for key in [*keys, "a", "a/1/2", "b/1"]}


def test_change_of_a_history_notes_its_record(engine: Engine) -> None:
    """A row of a history table notes the record that it is of, whenever it is written, moved or removed."""
    source = citizen_source(former=FORMER)
    prepare(engine, rows=["(7, 'a', 'b', 'c')", "(8, 'a', 'b', 'c')"], sources=[source])

    do(engine, "INSERT INTO id_history VALUES (1, 7, 'x'), (2, NULL, 'y')")
    do(engine, "UPDATE id_history SET resident_id = 8 WHERE history_id = 1")
    do(engine, "UPDATE id_history SET id_number = 'z' WHERE history_id = 1", "DELETE FROM id_history")

    # What is of no record is of the record without a name, which there is not.
    assert [key for key in noted(engine, source) if key] == ["7", "7", "8", "8", "8"]
    assert verify(engine, [source]) == ()


def test_history_that_is_declared_no_more_is_watched_no_more(engine: Engine) -> None:
    """What another declaration had installed on a history table is a finding, and goes with the next installation."""
    prepare(engine, rows=["(7, 'a', 'b', 'c')"], sources=[citizen_source(former=FORMER)])

    findings = verify(engine, [citizen_source()])
    install(engine, [citizen_source()])
    do(engine, "INSERT INTO id_history VALUES (1, 7, 'x')")

    assert findings
    assert noted(engine) == []
    assert verify(engine, [citizen_source()]) == ()


def test_names_are_quoted(engine: Engine) -> None:
    """Tables and columns may be called by reserved words, in any case, with percent signs and apostrophes."""
    schema = "public." if engine.dialect.name == "postgresql" else ""
    source = citizen_source(
        table="Order", key="Select", columns={"a": "it's", "b": "100%", "c": "名字"}, record_type="odd_names"
    )
    prepare(engine, sources=[])
    do(
        engine,
        f"""CREATE TABLE {schema}"Order" ("Select" integer PRIMARY KEY, "it's" text, "100%" text, "名字" text)""",
    )

    install(engine, [source])
    do(engine, """INSERT INTO "Order" VALUES (1, 'a', 'b', 'c')""", """UPDATE "Order" SET "100%" = 'd'""")

    assert noted(engine, source) == ["1", "1"]
    assert stored(engine, source) == {"1": {"it's": "a", "100%": "d", "名字": "c"}}
    with writing(engine) as connection:
        (found,) = outbox_of(engine, source).read_records(connection, ["1"])
    assert found.image == stored(engine, source)["1"]
    assert verify(engine, [source]) == ()


def test_two_record_types_are_captured_apart(engine: Engine) -> None:
    """Each source has its own outbox, also where both name one table."""
    names = citizen_source(columns={"name": "full_name"}, record_type="names")
    prepare(engine, sources=[citizen_source(), names])

    insert_li(engine)
    do(engine, "UPDATE resident SET id_number = '1'")

    first = waiting_rows(engine)[:1]
    with writing(engine) as connection:
        outbox_of(engine).remove(connection, first)
    assert noted(engine) == ["1"]
    assert noted(engine, names) == ["1", "1"]


def test_second_install_changes_nothing(engine: Engine) -> None:
    """Installing again is planned as nothing, does nothing, and leaves no finding."""
    prepare(engine)
    insert_li(engine)

    assert plan_install(engine, [citizen_source()]) == ()
    assert install(engine, [citizen_source()]) == ()
    assert verify(engine, [citizen_source()]) == ()
    assert len(waiting_rows(engine)) == 1


def test_plan_can_be_read_before_anything_is_installed(engine: Engine) -> None:
    """The plan needs none of our tables, names every step in words and SQL, and changes nothing."""
    do(engine, "CREATE TABLE resident (resident_id integer PRIMARY KEY, id_number text, full_name text)")
    before = catalog(engine)

    steps = plan_install(engine, [citizen_source()])

    assert any("trigger" in step.sentence and "CREATE TRIGGER" in step.sql for step in steps)
    assert catalog(engine) == before


def test_install_without_our_tables_is_refused(engine: Engine) -> None:
    """Triggers are not made where nobody could publish what they note."""
    do(engine, "CREATE TABLE resident (resident_id integer PRIMARY KEY, id_number text, full_name text)")

    with pytest.raises(ConfigurationError, match="published"):
        install(engine, [citizen_source()])


def test_dropped_trigger_is_found_and_installed_again(engine: Engine) -> None:
    """A trigger that somebody dropped is a finding, and the next install makes just that trigger."""
    prepare(engine)
    postgres = engine.dialect.name == "postgresql"
    name = "tellonce_capture_citizen" if postgres else "tellonce_capture_citizen_delete"
    do(engine, f"DROP TRIGGER {name}" + (" ON resident" if postgres else ""))

    findings = verify(engine, [citizen_source()])
    install(engine, [citizen_source()])
    insert_li(engine)
    do(engine, "DELETE FROM resident")

    assert any(name in finding.sentence and "missing" in finding.sentence for finding in findings)
    assert noted(engine) == ["1", "1"]


def test_other_columns_need_no_other_installation(engine: Engine) -> None:
    """What waits holds no values, so a declaration of other columns is read at once, also of what waited before."""
    prepare(engine)
    insert_li(engine)
    wider = citizen_source(columns={"id_number": "id_number", "name": "full_name", "note": "note"})

    assert verify(engine, [wider]) == ()
    assert stored(engine, wider) == {"1": {**LI, "note": "n"}}


@pytest.mark.parametrize(
    "alteration",
    [
        "RENAME COLUMN full_name TO name",
        "DROP COLUMN full_name",
        "ADD COLUMN more integer",
        "ALTER COLUMN full_name TYPE varchar(50)",
        "ALTER COLUMN resident_id TYPE bigint",
    ],
)
def test_department_may_alter_its_table(engine: Engine, alteration: str) -> None:
    """Nothing of ours refuses an alteration of the captured table, and its rows are noted as before."""
    if engine.dialect.name == "sqlite" and "TYPE" in alteration:
        alteration = "ADD COLUMN other integer"
    prepare(engine, rows=["(1, 'x', 'y', 'z')"])

    do(engine, f"ALTER TABLE resident {alteration}")
    do(engine, "UPDATE resident SET id_number = 'a'", "DELETE FROM resident")

    assert noted(engine) == ["1", "1"]


def test_outbox_of_an_earlier_release_is_taken_over(engine: Engine) -> None:
    """Records that waited when the release before was replaced go on waiting, and what it installed besides goes."""
    prepare(engine)
    insert_li(engine)
    if engine.dialect.name == "postgresql":
        do(
            engine,
            "DROP TABLE tellonce.outbox_citizen",
            """CREATE TABLE tellonce.outbox_citizen (outbox_id bigserial PRIMARY KEY, record_key text NOT NULL,
            version bigint NOT NULL, transaction_id bigint, committed_at_ms bigint NOT NULL, origin text NOT NULL,
            before jsonb, after jsonb)""",
            """INSERT INTO tellonce.outbox_citizen (record_key, version, committed_at_ms, origin)
            VALUES ('1', 1, 5, 'capture')""",
            """CREATE FUNCTION tellonce.read_chunk_citizen(text, integer) RETURNS integer
            LANGUAGE sql AS 'SELECT 1'""",
        )
    else:
        do(
            engine,
            "DROP TABLE tellonce_outbox_citizen",
            """CREATE TABLE tellonce_outbox_citizen (outbox_id INTEGER PRIMARY KEY AUTOINCREMENT,
            record_key TEXT NOT NULL, version BIGINT NOT NULL, transaction_id BIGINT, committed_at_ms BIGINT NOT NULL,
            origin TEXT NOT NULL, has_before INTEGER NOT NULL, b_id_number, has_after INTEGER NOT NULL, a_id_number)""",
            """INSERT INTO tellonce_outbox_citizen (record_key, version, committed_at_ms, origin, has_before, has_after)
            VALUES ('1', 1, 5, 'capture', 0, 0)""",
            """CREATE TRIGGER tellonce_capture_citizen_rekey AFTER UPDATE ON resident BEGIN
            INSERT INTO tellonce_outbox_citizen (version) VALUES (1); END""",
        )

    findings = verify(engine, [citizen_source()])
    install(engine, [citizen_source()])
    do(engine, "UPDATE resident SET note = 'later'")

    assert any("other columns than this release" in finding.sentence for finding in findings)
    assert any("earlier release" in finding.sentence for finding in findings)
    assert [(row.record_key, row.committed_at_ms == 5) for row in waiting_rows(engine)] == [("1", True), ("1", False)]
    assert verify(engine, [citizen_source()]) == ()


def test_uninstall_leaves_the_catalog_as_it_was(engine: Engine) -> None:
    """Nothing of triggers, functions, tables and indexes is left, and the department's table is as it was."""
    prepare(engine, sources=[], rows=["(1, 'a', 'b', 'c')"])
    source = citizen_source(former={"f": Former(table="id_history", key="resident_id", column="id_number")})
    before = catalog(engine)

    install(engine, [source])
    do(engine, "UPDATE resident SET full_name = 'd'")
    installed = catalog(engine)
    planned = plan_uninstall(engine, [source])
    done = uninstall(engine, [source])

    assert installed != before
    assert planned == done
    assert catalog(engine) == before
    assert plan_uninstall(engine, [source]) == ()
    do(engine, "DELETE FROM resident")


def test_uninstall_works_after_the_table_is_gone(engine: Engine) -> None:
    """A department that dropped its table can still remove what is ours."""
    prepare(engine)
    do(engine, "DROP TABLE resident")

    uninstall(engine, [citizen_source()])

    assert plan_uninstall(engine, [citizen_source()]) == ()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (citizen_source(table="missing"), "expected the table missing"),
        (citizen_source(columns={"name": "xm"}), "expected the column xm in .*resident, found resident_id"),
        (citizen_source(key="nothing"), "expected the column nothing"),
        (citizen_source(key="id_number"), "key|NOT NULL"),
        (citizen_source(key="height"), "expected the key column height"),
        (citizen_source(table="resident_view"), "expected .* table"),
        (
            citizen_source(former={"f": Former(table="missing", key="resident_id", column="id_number")}),
            "expected the .*table missing",
        ),
        (
            citizen_source(former={"f": Former(table="id_history", key="resident_id", column="missing")}),
            "expected the column missing in .*id_history",
        ),
        (citizen_source(record_type="a" * 60), "at most"),
    ],
)
def test_table_that_cannot_be_captured_is_refused(engine: Engine, source: Source, expected: str) -> None:
    """What is wrong with a declaration is said in one sentence with its place, before anything is made."""
    prepare(engine, resident="resident_id integer PRIMARY KEY, id_number text, height real, full_name text", sources=[])
    schema = "public." if engine.dialect.name == "postgresql" else ""
    do(engine, f"CREATE VIEW {schema}resident_view AS SELECT * FROM resident")

    with pytest.raises(ConfigurationError, match=expected) as caught:
        plan_install(engine, [source])

    assert "capturing.py:" in str(caught.value)


def test_two_sources_of_one_record_type_are_refused(engine: Engine) -> None:
    """One record type is one table."""
    prepare(engine, sources=[])

    with pytest.raises(ConfigurationError, match="one source for each record type"):
        install(engine, [citizen_source(), citizen_source(table="other")])


def test_table_that_cannot_be_captured_any_more_is_a_finding(engine: Engine) -> None:
    """Checking goes on where a table was altered under the capture."""
    prepare(engine)
    do(engine, "DROP TABLE resident")

    findings = verify(engine, [citizen_source()])

    assert len(findings) == 1
    assert "expected the table resident" in findings[0].sentence


def catalog(engine: Engine) -> list[tuple[object, ...]]:
    """Everything that the database's catalog lists but its own internals."""
    if engine.dialect.name == "sqlite":
        # SQLite keeps its own table sqlite_sequence for ever once a table has counted its rows.
        query = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2"
    else:
        query = """
            SELECT 'class', c.relname, c.relkind::text, c.relnamespace::regnamespace::text, c.relhastriggers::text
            FROM pg_class c
            WHERE c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'tellonce'))
            UNION ALL SELECT 'proc', p.proname, '', p.pronamespace::regnamespace::text, '' FROM pg_proc p
            WHERE p.pronamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'tellonce'))
            UNION ALL SELECT 'trigger', tgname, tgenabled::text, tgrelid::regclass::text, '' FROM pg_trigger
            UNION ALL SELECT 'type', typname, '', '', '' FROM pg_type
            UNION ALL SELECT 'comment', description, '', '', '' FROM pg_description WHERE objoid >= 16384
            UNION ALL SELECT 'namespace', nspname, '', '', '' FROM pg_namespace WHERE nspname NOT LIKE 'pg_t%'
            ORDER BY 1, 2, 3, 4
        """
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(text(query))]
    # PostgreSQL never takes back the hint that a table once had triggers.
    return [row[:4] for row in rows]
