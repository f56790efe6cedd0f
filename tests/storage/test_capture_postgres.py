"""What is PostgreSQL's own about capture: rights, partitions, replica roles, TRUNCATE, exact values, concurrency."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError

from capturing import FORMER, citizen_source, do, noted, outbox_of, prepare, stored, waiting_rows
from tellonce.model.change import Origin
from tellonce.model.errors import ConfigurationError, RetryableError
from tellonce.storage.capture import install, plan_install, uninstall, verify, why_not_gone
from tellonce.storage.database import open_database, writing
from tellonce.storage.source_reading import UNREADABLE

PARTITIONED = "resident_id integer, id_number text, full_name text, note text, PRIMARY KEY (resident_id, note)"


@pytest.fixture
def engine(postgres_database: str) -> Iterator[Engine]:
    """An empty PostgreSQL database."""
    engine = open_database(postgres_database)
    yield engine
    engine.dispose()


@pytest.fixture
def role(engine: Engine) -> Iterator[str]:
    """A role of the test's own that may log in (its password is its name) and has no rights but on schema public."""
    name = f"role_{uuid4().hex}"
    do(engine, f"CREATE ROLE {name} LOGIN PASSWORD '{name}'", f"GRANT USAGE, CREATE ON SCHEMA public TO {name}")
    yield name
    do(engine, f"DROP OWNED BY {name} CASCADE", f"DROP ROLE {name}")


@pytest.fixture
def as_role(engine: Engine, role: str) -> Iterator[Engine]:
    """The same database, entered as that role."""
    entered = open_database(engine.url.set(username=role, password=role).render_as_string(hide_password=False))
    yield entered
    entered.dispose()


def prepare_partitioned(engine: Engine) -> None:
    """The register in two partitions, by district."""
    prepare(engine, resident=PARTITIONED, tail="PARTITION BY LIST (note)", sources=[])
    do(
        engine,
        "CREATE TABLE public.east PARTITION OF resident FOR VALUES IN ('e')",
        # Another order of columns, as a partition that was attached may have.
        "CREATE TABLE public.west (full_name text, note text NOT NULL, id_number text, resident_id integer NOT NULL)",
        "ALTER TABLE resident ATTACH PARTITION west FOR VALUES IN ('w')",
    )
    install(engine, [citizen_source()])


@pytest.mark.parametrize("table", ["resident", "east"])
def test_truncate_has_every_record_looked_at(engine: Engine, table: str) -> None:
    """TRUNCATE, which no row trigger sees, notes that all is to be swept, of one partition too, and is not refused."""
    prepare_partitioned(engine)
    do(engine, "INSERT INTO resident VALUES (1, 'a', 'b', 'e')")

    do(engine, f"TRUNCATE {table}")

    rows = [(row.record_key, row.origin) for row in waiting_rows(engine)]
    # Of the whole table it is noted for each partition, too.
    assert (rows[0], set(rows[1:])) == (("1", Origin.CAPTURE), {(None, Origin.SWEEP)})
    # It says of no record that its change is on the way.
    with writing(engine) as connection:
        assert outbox_of(engine).waiting_among(connection, ["1", "2"]) == {"1"}


def test_replica_role_is_captured(engine: Engine) -> None:
    """A session that plays a replica fires our triggers too, or a data load would pass unseen."""
    prepare(engine)

    do(engine, "SET LOCAL session_replication_role = replica", "INSERT INTO resident VALUES (1, 'a', 'b', 'c')")

    assert len(waiting_rows(engine)) == 1


def test_trigger_that_does_not_fire_always_is_found_and_set_right(engine: Engine) -> None:
    """A trigger that somebody set back to PostgreSQL's default is a finding; installing sets it right."""
    prepare(engine)
    do(engine, "ALTER TABLE resident ENABLE TRIGGER tellonce_capture_citizen_update")

    findings = verify(engine, [citizen_source()])
    install(engine, [citizen_source()])

    assert [finding.sentence for finding in findings] == [
        'the trigger tellonce_capture_citizen_update on "public"."resident" does not fire always, in every partition'
    ]
    assert verify(engine, [citizen_source()]) == ()


@pytest.mark.parametrize(
    ("alteration", "expected"),
    [
        ("ALTER FUNCTION tellonce.capture_citizen() RESET search_path", "other rights or settings"),
        ("ALTER FUNCTION tellonce.capture_citizen() SECURITY INVOKER", "other rights or settings"),
        ("GRANT EXECUTE ON FUNCTION tellonce.capture_citizen() TO PUBLIC", "other rights or settings"),
        (
            """CREATE OR REPLACE FUNCTION tellonce.truncate_citizen() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN RETURN NULL; END'""",
            "another body",
        ),
        ("COMMENT ON TABLE tellonce.outbox_citizen IS 'ours'", "not those noted before"),
        ("ALTER TABLE resident DISABLE TRIGGER tellonce_truncate_citizen", "does not fire always"),
        ("CREATE TRIGGER tellonce_old AFTER DELETE ON id_history EXECUTE FUNCTION tellonce.capture_citizen()", "still"),
    ],
)
def test_alteration_by_hand_is_found_and_set_right(engine: Engine, alteration: str, expected: str) -> None:
    """What was altered behind our back is one finding in words, and installing again sets right just that."""
    prepare(engine)
    do(engine, alteration)

    findings = verify(engine, [citizen_source()])
    steps = install(engine, [citizen_source()])

    assert len(findings) == len(steps) == 1
    assert expected in findings[0].sentence
    assert verify(engine, [citizen_source()]) == ()


def test_capture_without_an_outbox_does_not_fail_the_department(engine: Engine) -> None:
    """Where the outbox is gone, the department's statement succeeds, with a warning that quotes no value."""
    prepare(engine)
    do(engine, "INSERT INTO resident VALUES (1, 'secret-1', 'b', 'c')", "DROP TABLE tellonce.outbox_citizen")
    warnings: list[str] = []

    def listen(connection: object, _record: object) -> None:
        connection.add_notice_handler(lambda notice: warnings.append(str(notice.message_primary)))  # type: ignore[attr-defined]

    engine.dispose()
    event.listen(engine, "connect", listen)
    do(engine, "UPDATE resident SET id_number = 'secret-2'", "INSERT INTO resident VALUES (2, 'secret-3', 'b', 'c')")

    with writing(engine) as connection:
        rows = connection.execute(text("SELECT id_number FROM resident ORDER BY 1")).scalars().all()
    assert rows == ["secret-2", "secret-3"]
    assert len(warnings) == 2
    assert "could not capture a change of public.resident: its outbox is gone" in warnings[0]
    assert "secret" not in "".join(warnings)


def test_change_of_an_unknown_record_is_noted_as_such(engine: Engine) -> None:
    """Where the trigger cannot make the key, the department's statement succeeds, and it is known that one is lost."""
    prepare(engine, rows=["(1, 'a', 'b', 'c')"])
    do(engine, "ALTER TABLE resident RENAME COLUMN resident_id TO number")

    do(engine, "UPDATE resident SET full_name = 'd'", "INSERT INTO resident VALUES (2, 'e', 'f', 'g')")
    do(engine, "DELETE FROM resident WHERE number = 1")

    assert noted(engine) == [None, None, None]
    with writing(engine) as connection:
        assert outbox_of(engine).waiting_among(connection, ["1", "9"]) == {"1", "9"}


def test_captured_row_costs_no_transaction_id_and_no_update_of_ours(engine: Engine) -> None:
    """A transaction takes one id however many rows it changes, and no row of ours can conflict with another's."""
    prepare(engine, rows=[f"({key}, 'a', 'b', 'c')" for key in range(50)])

    with engine.begin() as connection:
        before = connection.execute(text("SELECT pg_current_xact_id()::text::bigint")).scalar_one()
        connection.execute(text("UPDATE resident SET full_name = 'd'"))
    with engine.begin() as connection:
        after = connection.execute(text("SELECT pg_current_xact_id()::text::bigint")).scalar_one()

    assert after - before == 1
    assert len(noted(engine)) == 50


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_capture_brings_no_conflict_that_was_not_there(engine: Engine, level: str) -> None:
    """Random schedules of two transactions end alike with our triggers and without, at every level."""
    prepare(engine, sources=[])
    schedules = [random_schedule(Random(seed)) for seed in range(40)]

    without = [outcomes(engine, level, schedule) for schedule in schedules]
    install(engine, [citizen_source()])
    beside = [outcomes(engine, level, schedule) for schedule in schedules]

    assert beside == without
    assert len({str(each) for each in without}) > 1
    assert noted(engine)


def random_schedule(random: Random) -> list[tuple[int, str]]:
    """Some statements of two sessions in turns; a row that the other may hold is left out rather than waited for."""
    found: list[tuple[int, str]] = []
    for _ in range(random.randrange(2, 7)):
        session, key = random.randrange(2), random.randrange(6)
        chosen = f"resident_id IN (SELECT resident_id FROM resident WHERE resident_id = {key} FOR UPDATE SKIP LOCKED)"
        # Odd keys are the first session's to insert, lest one waits for the other.
        inserted = 10 + 2 * random.randrange(3) + session
        statement = random.choice(
            [
                f"UPDATE resident SET full_name = '{random.randrange(9)}' WHERE {chosen}",
                f"DELETE FROM resident WHERE {chosen}",
                f"INSERT INTO resident VALUES ({inserted}, 'a', 'b', 'c') ON CONFLICT DO NOTHING",
                "SELECT count(*) FROM resident",
            ]
        )
        found.append((session, statement))
    return found


def outcomes(engine: Engine, level: str, schedule: list[tuple[int, str]]) -> list[str]:
    """What each statement and each commit ended with, and what the table then holds."""
    do(engine, "DELETE FROM resident")
    do(engine, *(f"INSERT INTO resident VALUES ({key}, 'a', 'b', 'c')" for key in range(6)))
    ended: list[str] = []

    def tried(what: Callable[[], object]) -> None:
        try:
            what()
            ended.append("done")
        except DBAPIError as error:
            ended.append(str(getattr(error.orig, "sqlstate", "")))

    with engine.connect() as first, engine.connect() as second:
        sessions = [each.execution_options(isolation_level=level) for each in (first, second)]
        for session, statement in schedule:
            tried(lambda session=session, statement=statement: sessions[session].execute(text(statement)))  # type: ignore[misc]
        for each in sessions:
            tried(each.commit)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT resident_id, full_name FROM resident ORDER BY 1")).all()
    return [*ended, str(rows)]


def test_role_without_any_right_on_our_schema_is_captured(engine: Engine, as_role: Engine, role: str) -> None:
    """An application's role needs no grant of ours, cannot read our tables, and cannot forge a change."""
    prepare(engine)
    do(engine, f"GRANT SELECT, INSERT, UPDATE, DELETE ON resident TO {role}")
    forge = "CREATE TRIGGER forge AFTER INSERT ON forged FOR EACH ROW EXECUTE FUNCTION tellonce.capture_citizen()"

    do(as_role, "INSERT INTO resident VALUES (1, 'a', 'b', 'c')", "UPDATE resident SET full_name = 'd'")

    assert noted(engine) == ["1", "1"]
    for forbidden in ("SELECT * FROM tellonce.outbox_citizen", forge):
        with pytest.raises(DBAPIError, match="permission denied"):
            do(as_role, "CREATE TABLE public.forged AS SELECT * FROM resident", forbidden)
    do(engine, "GRANT USAGE ON SCHEMA tellonce TO PUBLIC")
    with pytest.raises(DBAPIError, match="permission denied for function"):
        do(as_role, "CREATE TABLE public.forged AS SELECT * FROM resident", forge)


def test_functions_of_the_callers_search_path_are_not_called(engine: Engine) -> None:
    """What runs with our rights calls nothing that a department's role put into its own path."""
    prepare(engine)
    do(
        engine,
        "CREATE SCHEMA trap",
        "CREATE FUNCTION trap.format(text, VARIADIC anyarray) RETURNS text LANGUAGE sql AS $$SELECT 'trap'$$",
        "CREATE FUNCTION trap.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$SELECT 'epoch'::timestamptz$$",
    )

    do(engine, "SET LOCAL search_path = trap, public, pg_catalog", "INSERT INTO resident VALUES (1, 'a', 'b', 'c')")

    row = waiting_rows(engine)[0]
    assert row.record_key == "1"
    assert row.committed_at_ms > 0


def test_row_that_moves_between_partitions_is_one_record(engine: Engine) -> None:
    """PostgreSQL shows such a move as a delete and an insert; its record is noted, and is there when it is read."""
    prepare_partitioned(engine)
    do(engine, "INSERT INTO resident VALUES (1, 'a', 'b', 'e')")

    do(engine, "UPDATE resident SET note = 'w', full_name = 'c'")

    assert set(noted(engine)) == {"1"}
    assert stored(engine) == {"1": {"id_number": "a", "full_name": "c"}}


def test_new_partition_is_captured_and_its_truncate_is_a_finding(engine: Engine) -> None:
    """PostgreSQL gives a new partition the row triggers, that fire always; the one for TRUNCATE is ours to add."""
    prepare_partitioned(engine)
    do(engine, "CREATE TABLE public.north PARTITION OF resident FOR VALUES IN ('n')")

    findings = verify(engine, [citizen_source()])
    do(engine, "SET LOCAL session_replication_role = replica", "INSERT INTO resident VALUES (1, 'a', 'b', 'n')")
    install(engine, [citizen_source()])

    assert [finding.sentence for finding in findings] == [
        "resident or its partitions are not those noted before",
        'the trigger tellonce_truncate_citizen on "public"."north" is missing',
    ]
    assert len(waiting_rows(engine)) == 1
    assert verify(engine, [citizen_source()]) == ()


def test_partition_whose_trigger_is_off_is_found(engine: Engine) -> None:
    """A trigger that was disabled on one partition alone is a finding."""
    prepare_partitioned(engine)
    do(engine, "ALTER TABLE east DISABLE TRIGGER tellonce_capture_citizen")

    findings = verify(engine, [citizen_source()])

    assert ["does not fire always" in finding.sentence for finding in findings] == [True]


def test_key_that_stands_in_two_partitions_is_refused(engine: Engine) -> None:
    """A partitioned table cannot promise that the key alone is unique, so it is looked at when installing."""
    prepare_partitioned(engine)
    uninstall(engine, [citizen_source()])
    do(engine, "INSERT INTO resident VALUES (1, 'a', 'b', 'e'), (1, 'a', 'b', 'w')")

    with pytest.raises(ConfigurationError, match="found one in two partitions"):
        install(engine, [citizen_source()])


def test_keys_that_two_rows_swap_are_both_noted(engine: Engine) -> None:
    """Whatever order the events of one statement come in, each key is read with the row that has it now."""
    resident = (
        "resident_id integer PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, id_number text, full_name text, note text"
    )
    prepare(engine, resident=resident, rows=["(1, 'a', 'a', 'a')", "(2, 'b', 'b', 'b')"])

    do(engine, "UPDATE resident SET resident_id = 3 - resident_id")

    assert set(noted(engine)) == {"1", "2"}
    assert {key: image["full_name"] for key, image in stored(engine).items()} == {"1": "b", "2": "a"}


@pytest.mark.parametrize(
    ("preparation", "expected"),
    [
        (["ALTER TABLE resident DROP CONSTRAINT resident_pkey"], "expected a primary key or a unique index on exactly"),
        (
            [
                "ALTER TABLE resident DROP CONSTRAINT resident_pkey",
                "CREATE UNIQUE INDEX ON resident (resident_id) WHERE note = 'x'",
            ],
            "expected a primary key or a unique index on exactly",
        ),
        (
            [
                "ALTER TABLE resident DROP CONSTRAINT resident_pkey",
                "ALTER TABLE resident ALTER resident_id DROP NOT NULL",
                "CREATE UNIQUE INDEX ON resident (resident_id)",
            ],
            "NOT NULL",
        ),
        (["CREATE TABLE public.child () INHERITS (resident)"], "found tables that inherit"),
    ],
    ids=["no-key", "partial-key", "nullable", "inherited"],
)
def test_table_that_would_lose_changes_is_refused(engine: Engine, preparation: list[str], expected: str) -> None:
    """A table whose records cannot be told apart, or whose rows no trigger would see, is refused."""
    prepare(engine, sources=[])
    do(engine, *preparation)

    with pytest.raises(ConfigurationError, match=expected):
        plan_install(engine, [citizen_source()])


def test_table_in_our_own_schema_is_refused(engine: Engine) -> None:
    """A source among our own tables would go with `tellonce uninstall`."""
    prepare(engine, sources=[])
    do(engine, "ALTER TABLE resident SET SCHEMA tellonce")

    with pytest.raises(ConfigurationError, match="which is ours"):
        plan_install(engine, [citizen_source(table="tellonce.resident")])


def test_installer_without_rights_is_refused_plainly(engine: Engine, as_role: Engine, role: str) -> None:
    """Who does not own the table, or does not see all its rows, is told so before anything is made."""
    prepare(engine, sources=[])
    do(engine, f"GRANT SELECT ON resident TO {role}")

    with pytest.raises(ConfigurationError, match=f"expected {role} to own resident"):
        plan_install(as_role, [citizen_source()])
    do(engine, f"ALTER TABLE resident OWNER TO {role}", "ALTER TABLE resident ENABLE ROW LEVEL SECURITY")
    with pytest.raises(ConfigurationError, match=f"expected {role} to have the right CREATE on schema tellonce"):
        plan_install(as_role, [citizen_source()])
    do(engine, "ALTER TABLE resident FORCE ROW LEVEL SECURITY")
    with pytest.raises(ConfigurationError, match="found row security that hides some"):
        plan_install(as_role, [citizen_source()])


def test_owner_without_superuser_rights_can_install(engine: Engine, as_role: Engine, role: str) -> None:
    """Installing needs the table's ownership and the right to create in our schema, and no more."""
    prepare(engine, sources=[])
    owned = ("SCHEMA tellonce", "TABLE tellonce.published", "TABLE resident")
    do(engine, *(f"ALTER {thing} OWNER TO {role}" for thing in owned))

    install(as_role, [citizen_source()])
    do(engine, "INSERT INTO resident VALUES (1, 'a', 'b', 'c')")

    assert len(waiting_rows(as_role)) == 1
    assert verify(as_role, [citizen_source()]) == ()


def test_installations_at_the_same_time_end_in_one(engine: Engine) -> None:
    """Installers that run side by side wait for one another, and all succeed."""
    prepare(engine, sources=[])

    with ThreadPoolExecutor(4) as pool:
        steps = [done.result() for done in [pool.submit(install, engine, [citizen_source()]) for _ in range(4)]]

    assert sum(bool(some) for some in steps) == 1
    assert verify(engine, [citizen_source()]) == ()


def test_table_in_use_is_not_waited_for_without_end(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation behind a long transaction gives up, so that writers do not queue up behind it."""
    prepare(engine, sources=[])
    monkeypatch.setattr("tellonce.storage.capture_postgres._LOCK_TIMEOUT_MS", 50)

    with engine.connect() as busy:
        busy.execute(text("INSERT INTO resident VALUES (1, 'a', 'b', 'c')"))
        with pytest.raises(RetryableError, match="found it in use by a long transaction"):
            install(engine, [citizen_source()])
        busy.rollback()

    install(engine, [citizen_source()])


@pytest.mark.parametrize(
    ("alterations", "expected"),
    [
        (["ALTER TABLE resident DISABLE TRIGGER tellonce_capture_citizen"], "does not fire always"),
        (["ALTER TABLE east DISABLE TRIGGER tellonce_capture_citizen_update"], "in every partition"),
        (["DROP TRIGGER tellonce_capture_citizen ON resident"], "is missing"),
        (["ALTER TABLE resident DETACH PARTITION east"], "1 of its partitions are detached"),
        (["DROP TABLE east"], "1 of its partitions are detached"),
        (
            [
                "ALTER TABLE resident RENAME TO old",
                "CREATE TABLE public.resident (resident_id integer PRIMARY KEY, id_number text, full_name text)",
            ],
            "is another table",
        ),
        (["CREATE TABLE public.north PARTITION OF resident FOR VALUES IN ('n')"], None),
        (["ALTER TABLE resident DISABLE TRIGGER tellonce_truncate_citizen"], None),
        (["ALTER TABLE resident ADD COLUMN more text"], None),
    ],
)
def test_row_that_is_missing_is_called_gone_only_if_all_rows_are_seen(
    engine: Engine, alterations: list[str], expected: str | None
) -> None:
    """What hides rows or lets changes pass by is told before any record is called gone; what does neither is not."""
    prepare_partitioned(engine)
    source = citizen_source()
    with writing(engine) as connection:
        before = why_not_gone(connection, source)

    do(engine, *alterations)

    with writing(engine) as connection:
        why = why_not_gone(connection, source)
    assert before is None
    assert (why is None) == (expected is None)
    assert expected is None or expected in str(why)
    install(engine, [source])
    with writing(engine) as connection:
        assert why_not_gone(connection, source) is None


def test_row_security_hides_no_row_from_the_relay(engine: Engine, as_role: Engine, role: str) -> None:
    """Where a policy would hide rows, reading is refused with a sentence, so that none is called gone."""
    prepare(engine, rows=["(1, 'a', 'b', 'c')"])
    do(engine, f"GRANT USAGE ON SCHEMA tellonce TO {role}", f"GRANT ALL ON ALL TABLES IN SCHEMA tellonce TO {role}")
    do(engine, f"GRANT SELECT ON resident TO {role}")
    with writing(as_role) as connection:
        seen = outbox_of(engine).read_records(connection, ["1"])
    do(engine, "ALTER TABLE resident ENABLE ROW LEVEL SECURITY")

    with writing(as_role) as connection, pytest.raises(ConfigurationError, match="row security"):
        outbox_of(engine).read_records(connection, ["1"])
    with writing(as_role) as connection, pytest.raises(ConfigurationError, match="row security"):
        why_not_gone(connection, citizen_source())
    assert seen[0].image


def test_role_that_owns_nothing_finds_the_capture_sound(engine: Engine, as_role: Engine, role: str) -> None:
    """Looking needs no right to install: what the owner has installed is as it should be, histories too."""
    source = citizen_source(former=FORMER)
    prepare(engine, sources=[source])
    do(engine, f"GRANT USAGE ON SCHEMA tellonce TO {role}", f"GRANT ALL ON ALL TABLES IN SCHEMA tellonce TO {role}")
    do(engine, f"GRANT SELECT ON resident, id_history TO {role}")

    sound = verify(as_role, [source])
    with writing(as_role) as connection:
        why = why_not_gone(connection, source)
    do(engine, "DROP TRIGGER tellonce_watch0_citizen ON id_history")

    assert (sound, why) == ((), None)
    assert [finding.sentence for finding in verify(engine, [source])] == [
        'the trigger tellonce_watch0_citizen on "public"."id_history" is missing'
    ]


def test_value_that_the_database_cannot_give_hides_no_other_record(engine: Engine) -> None:
    """Bytes for which there is no character keep back their own record, read alone, by name and in a chunk."""
    name = f"gb_{uuid4().hex}"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        options = "ENCODING 'EUC_CN' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        connection.execute(text(f"CREATE DATABASE {name} {options}"))
    chinese = open_database(engine.url.set(database=name).render_as_string(hide_password=False))
    try:
        prepare(chinese, rows=[f"({key}, 'a', '王', 'c')" for key in range(9)])
        # A place of the character set that is empty.
        bad = "pg_catalog.convert_from('\\xa2a1'::bytea, 'EUC_CN')".replace(":", r"\:")
        do(chinese, f"UPDATE resident SET full_name = {bad} WHERE resident_id IN (3, 7)")

        with writing(chinese) as connection:
            chunk = outbox_of(chinese).read_chunk(connection, "1", 5)
            named = outbox_of(chinese).read_records(connection, ["7", "8", "3", "99"])
    finally:
        chinese.dispose()
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"DROP DATABASE {name}"))

    assert [record.record_key for record in chunk] == ["2", "3", "4", "5", "6"]
    assert [record.record_key for record in chunk if record.image is UNREADABLE] == ["3"]
    assert [(key, image is UNREADABLE, image is None) for key, image in named] == [
        ("7", True, False),
        ("8", False, False),
        ("3", True, False),
        ("99", False, True),
    ]
