"""What is said of a database that is in trouble quotes no row, whoever speaks and whenever."""

import pytest

from tellonce.model.errors import RetryableError
from tellonce.storage.database import open_database, writing

SPEAKS_AT_COMMIT = (
    "CREATE TABLE person (name text)",
    """CREATE FUNCTION speak() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION USING MESSAGE = 'no ' || NEW.name, ERRCODE = '40001'; END $$""",
    (
        "CREATE CONSTRAINT TRIGGER speak AFTER INSERT ON person DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION speak()"
    ),
)


def test_trouble_at_a_commit_quotes_no_row(postgres_database: str) -> None:
    """A deferred trigger speaks when no statement runs; its code is shown, and not its words."""
    engine = open_database(postgres_database)
    with engine.begin() as connection:
        for statement in SPEAKS_AT_COMMIT:
            connection.exec_driver_sql(statement)

    with pytest.raises(RetryableError, match="found 40001") as caught, writing(engine) as connection:
        connection.exec_driver_sql("INSERT INTO person VALUES ('Wang Fang')")

    engine.dispose()
    assert "Wang" not in str(caught.value)


def test_trouble_of_connecting_is_told_in_the_servers_words() -> None:
    """Whoever cannot reach the server is told why."""
    engine = open_database("postgresql://127.0.0.1:1/nowhere")

    with pytest.raises(RetryableError, match="Connection refused"), writing(engine):
        pass
