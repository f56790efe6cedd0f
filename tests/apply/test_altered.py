"""A department alters its table, its rights and its triggers while a view is applied: nothing ends, and all goes on."""

import json
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from sqlalchemy import Engine, make_url

from apply.bench import Bench, Shape
from apply.sql_bench import SqlBench
from contract.forms import id_number
from owntables import make_own_tables
from tellonce.model.divergence import Reason
from tellonce.model.errors import RetryableError
from tellonce.storage.database import open_database
from tellonce.storage.stores import subscriber_store
from tellonce.testing.postgres_server import PostgresServer

A, B = id_number(1), id_number(2)


@pytest.fixture(scope="module")
def postgres_engine(postgres: PostgresServer) -> Iterator[Engine]:
    """A PostgreSQL database with our own tables, for all of these tests in turn."""
    engine = open_database(postgres.create_database(f"altered_{uuid4().hex}"))
    make_own_tables(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def bench(postgres_engine: Engine) -> SqlBench:
    """A department with one open file, which is linked."""
    return opened(SqlBench(Shape(), postgres_engine))


@pytest.fixture
def sqlite_bench(sqlite_url: str) -> Iterator[SqlBench]:
    """The same on SQLite."""
    engine = open_database(sqlite_url)
    make_own_tables(engine)
    yield opened(SqlBench(Shape(), engine))
    engine.dispose()


def opened(bench: SqlBench) -> SqlBench:
    """With one file that is linked."""
    bench.row(A)
    bench.apply(bench.event(1, A))
    return bench


def alter(bench: SqlBench, *statements: str) -> None:
    """Let the department run statements of its own."""
    with bench.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def names(bench: Bench) -> list[object]:
    """The names in the department's rows."""
    return [row["name"] for row in bench.held()]


UNNOTICED = [
    ["ALTER TABLE patient ADD COLUMN remark text DEFAULT 'x'"],
    ["ALTER TABLE patient ADD COLUMN spare text", "ALTER TABLE patient DROP COLUMN spare"],
    ["CREATE UNIQUE INDEX later ON patient (number)"],
    ["ALTER TABLE patient RENAME TO patient_old", "ALTER TABLE patient_old RENAME TO patient"],
]
ON_POSTGRES = [
    ["ALTER TABLE patient ALTER COLUMN name TYPE varchar(40)"],
    ["ALTER TABLE patient ALTER COLUMN pid TYPE integer"],
    ["ALTER TABLE patient ALTER COLUMN born TYPE date USING born::date"],
    ["ALTER TABLE patient ALTER COLUMN number TYPE char(18)"],
    [
        "ALTER TABLE patient RENAME TO patient_old",
        "CREATE TABLE patient (LIKE patient_old INCLUDING ALL)",
        "INSERT INTO patient OVERRIDING SYSTEM VALUE SELECT * FROM patient_old",
        "DROP TABLE patient_old",
    ],
]


@pytest.mark.postgres
@pytest.mark.parametrize("statements", UNNOTICED + ON_POSTGRES, ids=lambda statements: str(statements[0]))
def test_table_that_still_fits_is_written(bench: SqlBench, statements: list[str]) -> None:
    """Whatever became of the table, where the binding still fits, the next event is applied."""
    if "date" in statements[0]:
        # The form binds yyyymmdd: what PostgreSQL makes of a date reads otherwise.
        alter(bench, *statements)
        with pytest.raises(RetryableError, match="column born"):
            bench.apply(bench.event(1, A, "Li"))
        return
    alter(bench, *statements)

    bench.apply(bench.event(1, A, "Li"))

    assert names(bench) == ["Li"]
    assert bench.reason(1) is None


@pytest.mark.parametrize("statements", UNNOTICED, ids=lambda statements: str(statements[0]))
def test_sqlite_table_that_still_fits_is_written(sqlite_bench: SqlBench, statements: list[str]) -> None:
    """The same on SQLite."""
    alter(sqlite_bench, *statements)

    sqlite_bench.apply(sqlite_bench.event(1, A, "Li"))

    assert names(sqlite_bench) == ["Li"]


BACK_AGAIN = {
    "column": (
        ["ALTER TABLE patient RENAME COLUMN name TO full_name"],
        ["ALTER TABLE patient RENAME COLUMN full_name TO name"],
        "column name",
    ),
    "table": (
        ["ALTER TABLE patient RENAME TO elsewhere"],
        ["ALTER TABLE elsewhere RENAME TO patient"],
        "table patient",
    ),
}


def assert_waits(bench: SqlBench, alter_it: Callable[[], None], mend_it: Callable[[], None], says: str) -> None:
    """Nothing is written while the table does not fit, the sentence says why, and all goes on once it is mended."""
    alter_it()
    for work in (lambda: bench.apply(bench.event(1, A, "Li")), bench.sweep):
        with pytest.raises(RetryableError, match=says):
            work()
    mend_it()

    bench.apply(bench.event(1, A, "Li"))
    bench.sweep()

    assert names(bench) == ["Li"]


@pytest.mark.postgres
@pytest.mark.parametrize("there_and_back", BACK_AGAIN.values(), ids=BACK_AGAIN.keys())
def test_table_that_no_longer_fits_is_waited_for(
    bench: SqlBench, there_and_back: tuple[list[str], list[str], str]
) -> None:
    """A column or table that is gone pauses the service with a sentence; nothing is lost."""
    there, back, says = there_and_back

    assert_waits(bench, lambda: alter(bench, *there), lambda: alter(bench, *back), says)


@pytest.mark.parametrize("there_and_back", BACK_AGAIN.values(), ids=BACK_AGAIN.keys())
def test_sqlite_table_that_no_longer_fits_is_waited_for(
    sqlite_bench: SqlBench, there_and_back: tuple[list[str], list[str], str]
) -> None:
    """The same on SQLite."""
    there, back, says = there_and_back

    assert_waits(sqlite_bench, lambda: alter(sqlite_bench, *there), lambda: alter(sqlite_bench, *back), says)


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("take", "give", "says"),
    [
        ("REVOKE UPDATE ON patient FROM {}", "GRANT UPDATE ON patient TO {}", "UPDATE"),
        ("REVOKE SELECT ON patient FROM {}", "GRANT SELECT ON patient TO {}", "SELECT"),
        (
            "REVOKE UPDATE ON patient FROM {0}; GRANT UPDATE (number) ON patient TO {0}",
            "GRANT UPDATE ON patient TO {}",
            "UPDATE",
        ),
        (
            "ALTER TABLE patient ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE patient DISABLE ROW LEVEL SECURITY",
            "BYPASSRLS",
        ),
        ("ALTER ROLE {} NOBYPASSRLS", "ALTER ROLE {} BYPASSRLS", "BYPASSRLS"),
    ],
)
def test_right_that_is_taken_away_is_waited_for(bench: SqlBench, take: str, give: str, says: str) -> None:
    """A right that is gone is infrastructure: it parks no record and ends no service."""
    role = f"service_{uuid4().hex}"
    alter(
        bench,
        f"CREATE ROLE {role} LOGIN PASSWORD 'service'",
        f"GRANT USAGE ON SCHEMA tellonce TO {role}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA tellonce TO {role}",
        f"GRANT SELECT, UPDATE, DELETE ON patient TO {role}",
        f"GRANT INSERT ON written TO {role}",
        *([f"ALTER ROLE {role} BYPASSRLS", "ALTER TABLE patient ENABLE ROW LEVEL SECURITY"] if "ROLE" in take else []),
    )
    url = make_url(bench.engine.url).set(username=role, password="service")
    service = open_database(url.render_as_string(hide_password=False))
    bench.store = subscriber_store(service, bench.view, 1)
    bench.apply(bench.event(1, A))

    alter(bench, take.format(role))
    for _ in range(2):
        with pytest.raises(RetryableError):
            bench.apply(bench.event(1, A, "Li"))
    with pytest.raises(RetryableError, match=says):
        bench.apply(bench.event(1, A, "Li"))
    assert bench.reason(1) is None
    alter(bench, give.format(role))
    bench.apply(bench.event(1, A, "Li"))

    service.dispose()
    assert names(bench) == ["Li"]


@pytest.mark.postgres
def test_trigger_that_fails_for_one_row_parks_its_record_alone(bench: SqlBench) -> None:
    """A trigger whose own statement is wrong speaks of a column that is not there; the table itself is as it was."""
    bench.row(B, "Zhang", note="broken")
    bench.apply(bench.event(2, B, "Zhang"))
    alter(
        bench,
        "CREATE OR REPLACE FUNCTION breaks() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.note = 'broken' THEN PERFORM nowhere FROM patient; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER breaks BEFORE UPDATE ON patient FOR EACH ROW EXECUTE FUNCTION breaks()",
    )

    bench.apply(bench.event(1, A, "Li"), bench.event(2, B, "Chen"))

    assert sorted(map(str, names(bench))) == ["Li", "Zhang"]
    assert bench.reason(2) is Reason.REFUSED_BY_TABLE
    assert bench.reason(1) is None


@pytest.mark.postgres
def test_lock_of_a_statement_that_alters_is_not_waited_for_long(bench: SqlBench) -> None:
    """While ALTER TABLE holds the table, the service yields and comes back."""
    with bench.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE patient ADD COLUMN remark text")
        for work in (lambda: bench.apply(bench.event(1, A, "Li")), bench.sweep):
            with pytest.raises(RetryableError, match="another session holds it"):
                work()
        connection.commit()

    bench.apply(bench.event(1, A, "Li"))

    assert names(bench) == ["Li"]


@pytest.mark.postgres
def test_predicate_that_fails_on_a_row_is_waited_for(postgres_engine: Engine) -> None:
    """A row on which the department's own predicate fails ends no service, and is named by its SQLSTATE."""
    bench = SqlBench(Shape(), postgres_engine)
    object.__setattr__(bench.view.binding.scope, "open", "patient.note::integer < 9")
    bench.store = subscriber_store(postgres_engine, bench.view, 1)
    key = bench.row(A, note="none")

    with pytest.raises(RetryableError, match="22P02"):
        bench.apply(bench.event(1, A, "Li"))
    bench.change(key, note="1")
    bench.apply(bench.event(1, A, "Li"))

    assert names(bench) == ["Li"]
    assert json.loads(key)
