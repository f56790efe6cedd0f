"""What both databases capture of a department's transactions, and how capture is installed, checked and removed."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from capturing import citizen_source, do, outbox_of, prepare, waiting_rows
from tellonce import Former, Source
from tellonce.model.change import Origin
from tellonce.model.errors import ConfigurationError
from tellonce.storage.capture import install, plan_install, plan_uninstall, uninstall, verify
from tellonce.storage.database import open_database, writing
from tellonce.storage.outbox import OutboxRow

LI = {"id_number": "11010519491231002X", "full_name": "李娜"}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An empty database of each kind."""
    fixture = "sqlite_url" if request.param == "sqlite" else "postgres_database"
    engine = open_database(str(request.getfixturevalue(fixture)))
    yield engine
    engine.dispose()


def shown(rows: list[OutboxRow]) -> list[tuple[str, int, object, object]]:
    """Key, version and both images of outbox rows."""
    return [(row.record_key, row.version, row.before, row.after) for row in rows]


def insert_li(engine: Engine) -> None:
    """Bring a resident into the register."""
    do(engine, "INSERT INTO resident VALUES (1, :id_number, :full_name, 'n')", **LI)


def test_committed_changes_are_captured_with_both_images(engine: Engine) -> None:
    """Every committed change of a row is in the outbox, with the mapped columns before and after it."""
    prepare(engine)

    insert_li(engine)
    do(engine, "UPDATE resident SET full_name = '李丽' WHERE resident_id = 1")
    do(engine, "DELETE FROM resident WHERE resident_id = 1")

    renamed = {**LI, "full_name": "李丽"}
    assert shown(waiting_rows(engine)) == [("1", 1, None, LI), ("1", 2, LI, renamed), ("1", 3, renamed, None)]


def test_rolled_back_change_is_not_captured(engine: Engine) -> None:
    """A change that was rolled back leaves neither an outbox row nor a counter."""
    prepare(engine)

    with engine.connect() as connection:
        connection.execute(text("INSERT INTO resident VALUES (1, 'x', 'y', 'z')"))
        connection.rollback()
    insert_li(engine)

    assert shown(waiting_rows(engine)) == [("1", 1, None, LI)]


def test_change_of_an_unmapped_column_is_not_captured(engine: Engine) -> None:
    """An update that changes nothing that is declared writes nothing and takes no version."""
    prepare(engine, rows=["(1, 'x', 'y', 'z')"])

    do(engine, "UPDATE resident SET note = 'other'", "UPDATE resident SET full_name = full_name")

    assert waiting_rows(engine) == []


def test_origin_and_time_of_a_captured_change_are_the_databases_own(engine: Engine) -> None:
    """A captured row says so, and carries the database's clock; only PostgreSQL knows its transaction."""
    prepare(engine)

    insert_li(engine)

    row = waiting_rows(engine)[0]
    assert row.origin == Origin.CAPTURE
    assert row.committed_at_ms > 1_700_000_000_000
    assert (row.transaction_id is None) == (engine.dialect.name == "sqlite")


def test_record_from_before_capture_is_at_version_one(engine: Engine) -> None:
    """The first change of a record that was there before capture is its second version, so the first may be read."""
    prepare(engine, rows=["(1, 'a', 'b', 'c')", "(2, 'd', 'e', 'f')"])

    with writing(engine) as connection:
        chunk = outbox_of(engine).read_chunk(connection, None, 10)
    do(
        engine,
        "UPDATE resident SET full_name = 'g' WHERE resident_id = 1",
        "DELETE FROM resident WHERE resident_id = 2",
    )

    assert [(record.record_key, record.version) for record in chunk] == [("1", 1), ("2", 1)]
    assert [(row.record_key, row.version) for row in waiting_rows(engine)] == [("1", 2), ("2", 2)]


def test_deleted_record_keeps_its_counter(engine: Engine) -> None:
    """A record key that comes back goes on counting, so its new state is newer than the delete."""
    prepare(engine)

    insert_li(engine)
    do(engine, "DELETE FROM resident")
    insert_li(engine)

    assert [row.version for row in waiting_rows(engine)] == [1, 2, 3]


def test_changed_record_key_is_a_delete_and_a_create(engine: Engine) -> None:
    """A row whose key changes leaves its old record and becomes another one."""
    prepare(engine)
    insert_li(engine)

    do(engine, "UPDATE resident SET resident_id = 2, full_name = '李丽'")

    renamed = {**LI, "full_name": "李丽"}
    assert shown(waiting_rows(engine)) == [("1", 1, None, LI), ("1", 2, LI, None), ("2", 1, None, renamed)]


def test_departments_own_trigger_does_not_leave_an_older_image_last(engine: Engine) -> None:
    """Where a department's trigger changes rows again, the highest version has the row as it ended."""
    prepare(engine)
    body = "UPDATE resident SET note = 'seen', full_name = full_name || '!' WHERE note IS NULL;"
    if engine.dialect.name == "postgresql":
        do(
            engine,
            f"CREATE FUNCTION public.again() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body} RETURN NULL; END$$",
            "CREATE TRIGGER aaa AFTER INSERT ON resident FOR EACH ROW EXECUTE FUNCTION public.again()",
            "CREATE TRIGGER zzz AFTER INSERT ON resident FOR EACH ROW EXECUTE FUNCTION public.again()",
        )
    else:
        do(engine, f"CREATE TRIGGER aaa AFTER INSERT ON resident BEGIN {body} END")

    do(engine, "INSERT INTO resident VALUES (1, 'a', 'b', NULL), (2, 'c', 'd', NULL)")

    last = {row.record_key: row.after for row in waiting_rows(engine)}
    assert last == {"1": {"id_number": "a", "full_name": "b!"}, "2": {"id_number": "c", "full_name": "d!"}}


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
        found = outbox.read_records(connection, keys, lock=True)
    assert sorted({row.record_key for row in waiting_rows(engine, source)}) == keys
    assert sorted(record.record_key for record in first + rest) == keys
    assert {record.record_key: (record.version, record.image) for record in found} == dict.fromkeys(
        keys, (2, {"full_name": "z"})
    )


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

    last = waiting_rows(engine, source)[-1]
    assert (last.version, last.after) == (2, {"it's": "a", "100%": "d", "名字": "c"})
    assert verify(engine, [source]) == ()


def test_two_record_types_are_captured_apart(engine: Engine) -> None:
    """Each source has its own outbox and counters, also where both name one table."""
    names = citizen_source(columns={"name": "full_name"}, record_type="names")
    prepare(engine, sources=[citizen_source(), names])

    insert_li(engine)
    do(engine, "UPDATE resident SET id_number = '1'")

    assert [row.version for row in waiting_rows(engine)] == [1, 2]
    assert [row.version for row in waiting_rows(engine, names)] == [1]


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
    """Triggers are not made where the counters that they need are missing."""
    do(engine, "CREATE TABLE resident (resident_id integer PRIMARY KEY, id_number text, full_name text)")

    with pytest.raises(ConfigurationError, match="record_version"):
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
    assert [row.version for row in waiting_rows(engine)] == [1, 2]


def test_more_columns_are_captured_after_a_changed_declaration(engine: Engine) -> None:
    """A changed declaration is a finding, and after another install its columns are captured."""
    prepare(engine)
    wider = citizen_source(columns={"id_number": "id_number", "name": "full_name", "note": "note"})

    assert verify(engine, [wider]) != ()
    install(engine, [wider])
    insert_li(engine)

    assert waiting_rows(engine, wider)[0].after == {**LI, "note": "n"}
    assert verify(engine, [wider]) == ()


def test_new_columns_are_refused_while_older_rows_wait(engine: Engine) -> None:
    """A row captured without a column would be published as null in it, so the declaration waits for the relay."""
    prepare(engine)
    insert_li(engine)
    wider = citizen_source(columns={"id_number": "id_number", "name": "full_name", "note": "note"})

    with pytest.raises(ConfigurationError, match="let the relay publish them"):
        install(engine, [wider])


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
