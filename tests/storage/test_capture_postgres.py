"""What is PostgreSQL's own about capture: rights, partitions, replica roles, TRUNCATE, exact values, concurrency."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError

from capturing import citizen_source, do, prepare, waiting_rows
from tellonce.model.errors import ConfigurationError, RetryableError
from tellonce.storage.capture import install, plan_install, uninstall, verify
from tellonce.storage.database import open_database, writing
from tellonce.storage.outbox import collapse

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
def test_truncate_is_refused_with_one_sentence(engine: Engine, table: str) -> None:
    """TRUNCATE, which no row trigger sees, is refused, of one partition too."""
    prepare_partitioned(engine)
    do(engine, "INSERT INTO resident VALUES (1, 'a', 'b', 'e')")

    with pytest.raises(DBAPIError, match=rf"public.{table} is captured by tellonce and may not be truncated"):
        do(engine, f"TRUNCATE {table}")

    uninstall(engine, [citizen_source()])
    do(engine, f"TRUNCATE {table}")


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
            """CREATE OR REPLACE FUNCTION tellonce.refuse_truncate_citizen() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN RETURN NULL; END'""",
            "another body",
        ),
        ("DROP INDEX tellonce.tellonce_outbox_citizen_record", "is missing"),
        ("DROP FUNCTION tellonce.read_chunk_citizen(text, integer)", "is missing"),
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


def test_capture_that_fails_does_not_fail_the_department(engine: Engine) -> None:
    """Where the outbox cannot be written, the department's statement succeeds, with a warning that quotes no value."""
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
        versions = connection.execute(text("SELECT record_key, version FROM tellonce.record_version")).all()
    assert rows == ["secret-2", "secret-3"]
    assert len(warnings) == 2
    assert "could not capture a change of public.resident (SQLSTATE 42P01)" in warnings[0]
    assert "secret" not in "".join(warnings)
    # The counter stays, which is how the sweep knows that nothing was captured.
    assert [tuple(row) for row in versions] == [("1", 1)]


def test_role_without_any_right_on_our_schema_is_captured(engine: Engine, as_role: Engine, role: str) -> None:
    """An application's role needs no grant of ours, cannot read our tables, and cannot forge a change."""
    prepare(engine)
    do(engine, f"GRANT SELECT, INSERT, UPDATE, DELETE ON resident TO {role}")
    forge = "CREATE TRIGGER forge AFTER INSERT ON forged FOR EACH ROW EXECUTE FUNCTION tellonce.capture_citizen()"

    do(as_role, "INSERT INTO resident VALUES (1, 'a', 'b', 'c')", "UPDATE resident SET full_name = 'd'")

    assert [row.version for row in waiting_rows(engine)] == [1, 2]
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
        "CREATE FUNCTION trap.jsonb_build_object(VARIADIC anyarray) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb'",
        "CREATE FUNCTION trap.txid_current() RETURNS bigint LANGUAGE sql AS 'SELECT -1::bigint'",
    )

    do(engine, "SET LOCAL search_path = trap, public, pg_catalog", "INSERT INTO resident VALUES (1, 'a', 'b', 'c')")

    row = waiting_rows(engine)[0]
    assert row.after == {"id_number": "a", "full_name": "b"}
    assert (row.transaction_id or 0) > 0


def test_row_that_moves_between_partitions_is_one_update(engine: Engine) -> None:
    """PostgreSQL shows such a move as a delete and an insert; a department sees the update that it is."""
    prepare_partitioned(engine)
    do(engine, "INSERT INTO resident VALUES (1, 'a', 'b', 'e')")

    do(engine, "UPDATE resident SET note = 'w', full_name = 'c'", "DELETE FROM resident")

    rows = collapse(waiting_rows(engine))
    b, c = {"id_number": "a", "full_name": "b"}, {"id_number": "a", "full_name": "c"}
    assert [(row.before, row.after) for row in rows] == [(None, b), (b, c), (c, None)]
    assert [row.version for row in rows] == [1, 3, 4]


def test_row_deleted_and_inserted_in_one_transaction_is_one_update(engine: Engine) -> None:
    """An application that saves by delete and insert does not make its record vanish for others."""
    prepare(engine)
    do(engine, "INSERT INTO resident VALUES (1, 'a', 'b', 'c')")

    do(engine, "DELETE FROM resident", "INSERT INTO resident VALUES (1, 'a', 'd', 'c')")
    do(engine, "DELETE FROM resident")
    do(engine, "INSERT INTO resident VALUES (1, 'a', 'e', 'c')")

    assert [(row.version, row.after and row.after["full_name"]) for row in collapse(waiting_rows(engine))] == [
        (1, "b"),
        (3, "d"),
        (4, None),
        (5, "e"),
    ]


def test_new_partition_is_captured_and_its_truncate_is_a_finding(engine: Engine) -> None:
    """PostgreSQL gives a new partition the row triggers, that fire always; the one for TRUNCATE is ours to add."""
    prepare_partitioned(engine)
    do(engine, "CREATE TABLE public.north PARTITION OF resident FOR VALUES IN ('n')")

    findings = verify(engine, [citizen_source()])
    do(engine, "SET LOCAL session_replication_role = replica", "INSERT INTO resident VALUES (1, 'a', 'b', 'n')")
    install(engine, [citizen_source()])

    assert [finding.sentence for finding in findings] == [
        'the trigger tellonce_truncate_citizen on "public"."north" is missing'
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


def test_keys_that_two_rows_swap_end_with_each_others_images(engine: Engine) -> None:
    """Whatever order the events of one statement come in, the highest version of a key has its row."""
    resident = (
        "resident_id integer PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, id_number text, full_name text, note text"
    )
    prepare(engine, resident=resident, rows=["(1, 'a', 'a', 'a')", "(2, 'b', 'b', 'b')"])

    do(engine, "UPDATE resident SET resident_id = 3 - resident_id")

    last = {row.record_key: row.after and row.after["full_name"] for row in waiting_rows(engine)}
    assert last == {"1": "b", "2": "a"}


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
    owned = ("SCHEMA tellonce", "TABLE tellonce.record_version", "TABLE resident")
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


def test_versions_are_dense_and_in_the_order_of_the_changes_under_concurrency(engine: Engine) -> None:
    """Writers that compete for records give each change its own version, in the order in which they took the rows."""
    source = citizen_source(columns={"value": "value"})
    rows = [f"({key}, 0)" for key in range(3)]
    prepare(engine, resident="resident_id integer PRIMARY KEY, value integer", rows=rows, sources=[source])

    def work(worker: int) -> None:
        for turn in range(20):
            first, second = sorted({(worker + turn) % 3, (worker + turn + 1) % 3})
            statement = "UPDATE resident SET value = value + 1 WHERE resident_id = :key"
            with engine.connect() as connection:
                for key in (first, second):
                    connection.execute(text(statement), {"key": key})
                connection.rollback() if turn % 5 == worker else connection.commit()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))

    captured = waiting_rows(engine, source)
    for key in ("0", "1", "2"):
        # The value counts the changes, as the version does from 2 on.
        found = [(row.version, row.after and row.after["value"]) for row in captured if row.record_key == key]
        assert found == [(at + 1, at) for at in range(1, len(found) + 1)]
    assert len(captured) == 4 * 20 * 2 - 4 * 4 * 2
