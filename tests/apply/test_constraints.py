"""Constraints that wait for the end of a transaction: what they refuse is one record's trouble, known in time."""

from collections.abc import Generator, Sequence
from typing import Any

import pytest
from sqlalchemy import Engine

from apply.bench import Shape
from apply.sql_bench import SqlBench
from contract.forms import id_number
from tellonce.apply.batch import Offered
from tellonce.model.divergence import Reason

A, B = id_number(1), id_number(2)

ON_POSTGRES = {
    "reference": (
        [
            "CREATE TABLE known (name text PRIMARY KEY)",
            "INSERT INTO known VALUES ('Wang'), ('Li')",
            "ALTER TABLE patient ADD FOREIGN KEY (name) REFERENCES known DEFERRABLE INITIALLY DEFERRED",
        ],
        Reason.MISSING_REFERENCE,
    ),
    "unique": (
        [
            "INSERT INTO patient (number, name, born) VALUES ('somebody', 'Nobody', '19700101')",
            "CREATE UNIQUE INDEX who ON patient (name) WHERE name = 'Nobody'",
        ],
        Reason.COLLISION,
    ),
    "trigger": (
        [
            """CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.name = 'Nobody' THEN RAISE EXCEPTION 'no'; END IF; RETURN NULL; END $$""",
            """CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON patient DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION late()""",
        ],
        Reason.REFUSED_BY_TABLE,
    ),
}


def given(bench: SqlBench, *statements: str) -> None:
    """Let the department run statements of its own."""
    with bench.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.mark.postgres
@pytest.mark.parametrize("kind", ON_POSTGRES)
@pytest.mark.parametrize("others", [0, 20])
def test_what_waits_on_postgres_is_one_records_trouble(postgres_engine: Engine, kind: str, others: int) -> None:
    """Alone, and among others, which are applied."""
    statements, reason = ON_POSTGRES[kind]
    bench = SqlBench(Shape(), postgres_engine)
    given(bench, "DROP TABLE IF EXISTS known CASCADE", "DROP FUNCTION IF EXISTS late CASCADE")
    numbers = [A, *(id_number(serial) for serial in range(10, 10 + others))]
    for number in numbers:
        bench.row(number)
    bench.apply(*(bench.event(serial, number) for serial, number in enumerate(numbers)))
    given(bench, *statements)

    names = ["Nobody", *("Li" for _ in range(others))]
    bench.apply(*(bench.event(serial, numbers[serial], name) for serial, name in enumerate(names)))

    assert bench.reason(0) is reason
    assert [bench.reason(serial) for serial in range(1, 1 + others)] == [None] * others
    assert sorted(str(row["name"]) for row in bench.held() if row["number"] in numbers) == sorted(["Wang", *names[1:]])


def assert_one_is_left_out(bench: SqlBench, bad: Sequence[Offered], names: list[str]) -> None:
    """The bad event's record waits for what it refers to; the good one of the same batch is applied."""
    bench.apply(*bad, bench.event(2, B, "Li"))

    assert (bench.reason(1), bench.reason(2)) == (Reason.MISSING_REFERENCE, None)
    assert sorted(str(row["name"]) for row in bench.held()) == names


@pytest.fixture
def bench(sqlite_engine: Engine) -> Generator[SqlBench]:
    """Two files on SQLite, whose names are somewhere else, and one whose name is nowhere since long ago."""
    bench = SqlBench(Shape(), sqlite_engine)
    driver: Any = sqlite_engine.raw_connection()
    driver.executescript(
        """
        PRAGMA foreign_keys=OFF;
        DROP TABLE IF EXISTS known; DROP TABLE IF EXISTS visit; DROP TABLE patient;
        CREATE TABLE known (name TEXT PRIMARY KEY);
        INSERT INTO known VALUES ('Wang'), ('Li');
        CREATE TABLE patient (pid INTEGER PRIMARY KEY, number TEXT, name TEXT REFERENCES known
            DEFERRABLE INITIALLY DEFERRED, born TEXT, street TEXT,
            state TEXT NOT NULL DEFAULT 'open', note TEXT NOT NULL DEFAULT '');
        CREATE TABLE visit (pid INTEGER REFERENCES patient DEFERRABLE INITIALLY DEFERRED);
        INSERT INTO patient (pid, number, name) VALUES (77, 'long ago', 'Nowhere');
        PRAGMA foreign_keys=ON;
        """
    )
    driver.close()
    for number in (A, B):
        bench.row(number)
    bench.apply(bench.event(1, A), bench.event(2, B))
    yield bench
    # The next test's bench drops its table, which it may not while a row refers to it.
    driver = sqlite_engine.raw_connection()
    driver.executescript("PRAGMA foreign_keys=OFF; DROP TABLE visit; DROP TABLE patient; PRAGMA foreign_keys=ON;")
    driver.close()


def test_reference_that_waits_on_sqlite_is_one_records_trouble(bench: SqlBench) -> None:
    """SQLite itself would speak at the commit, of the whole batch."""
    assert_one_is_left_out(bench, [bench.event(1, A, "Nobody")], ["Li", "Nowhere", "Wang"])


def test_row_that_another_refers_to_is_not_deleted(bench: SqlBench) -> None:
    """The same where the department's rows refer to the record's."""
    given(bench, f"INSERT INTO visit SELECT pid FROM patient WHERE number = '{A}'")

    assert_one_is_left_out(bench, [bench.delete(1)], ["Li", "Nowhere", "Wang"])
