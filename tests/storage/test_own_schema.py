"""Our own tables are what the migrations make, and leave nothing behind."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, inspect, text

from owntables import make_own_tables
from tellonce.model.errors import ConfigurationError
from tellonce.storage import own_schema
from tellonce.storage.database import OWN_SCHEMA, open_database, reading, writing
from tellonce.storage.own_schema import check_own_schema, create_own_schema, drop_own_schema
from tellonce.storage.progress import load_cursor
from tellonce.storage.tables import own_tables


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An empty database in either store."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_database"
    engine = open_database(request.getfixturevalue(name))
    yield engine
    engine.dispose()


def shape(engine: Engine) -> dict[str, dict[str, tuple[bool, bool]]]:
    """Each table's columns with whether they may be null and are in the key."""
    found = MetaData()
    schema = OWN_SCHEMA if engine.dialect.name == "postgresql" else None
    found.reflect(engine, schema=schema)
    return {
        table.name: {column.name: (bool(column.nullable), column.primary_key) for column in table.columns}
        for table in found.tables.values()
        if not table.name.endswith("migration")
    }


def test_migrations_make_the_declared_tables(engine: Engine) -> None:
    """What the code believes of our tables is what is there."""
    create_own_schema(engine)

    declared = own_tables(engine.dialect.name).metadata.sorted_tables
    expected = {t.name: {c.name: (bool(c.nullable), c.primary_key) for c in t.columns} for t in declared}
    assert shape(engine) == expected


def test_tables_of_the_tests_are_what_migrations_make(engine: Engine) -> None:
    """Whoever tests on `make_own_tables` tests on what an installation gives, as often as it is asked for them."""
    create_own_schema(engine)
    migrated = shape(engine), indexes(engine)

    for _ in range(2):
        drop_own_schema(engine)
        make_own_tables(engine)

        check_own_schema(engine, "fund")
        assert (shape(engine), indexes(engine)) == migrated


def indexes(engine: Engine) -> dict[str | None, set[str | None]]:
    """The names of each table's indexes."""
    found = inspect(engine)
    schema = OWN_SCHEMA if engine.dialect.name == "postgresql" else None
    return {name: {each["name"] for each in found.get_indexes(name, schema)} for name in found.get_table_names(schema)}


def test_installing_twice_is_installing_once(engine: Engine) -> None:
    """A second installation finds everything in place."""
    create_own_schema(engine)
    before = shape(engine)

    create_own_schema(engine)

    assert shape(engine) == before


def test_newest_revision_is_the_one_that_alembic_ends_at(engine: Engine) -> None:
    """What a service expects, which reads no migration, is where the installation ends."""
    with reading(engine) as connection:
        head = ScriptDirectory.from_config(own_schema._config(connection)).get_current_head()

    assert own_schema._newest_revision() == head


def test_services_need_no_alembic() -> None:
    """A service starts without the library that only an installation needs, and so a fifth sooner."""
    program = "import sys, tellonce.cli.wiring; print('alembic' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_missing_tables_are_named_with_the_command_that_makes_them(engine: Engine) -> None:
    """A service that starts before the installation says what to run."""
    with pytest.raises(ConfigurationError, match="tellonce install fund"):
        check_own_schema(engine, "fund")


def upgrade(engine: Engine, revision: str) -> None:
    """Bring our tables to a revision of the past."""
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {OWN_SCHEMA}"))
        command.upgrade(own_schema._config(connection), revision)


def test_tables_of_an_earlier_release_are_named_with_the_command_that_mends_them(engine: Engine) -> None:
    """A service of this release does not write into tables of another."""
    upgrade(engine, "0001")

    with pytest.raises(ConfigurationError, match="found them at 0001; run `tellonce install fund`"):
        check_own_schema(engine, "fund")


def test_tables_of_a_later_release_are_refused(engine: Engine) -> None:
    """Whoever goes back to an earlier release learns that the tables did not."""
    create_own_schema(engine)
    table = f"{OWN_SCHEMA}.migration" if engine.dialect.name == "postgresql" else f"{OWN_SCHEMA}_migration"
    with writing(engine) as connection:
        connection.execute(text(f"UPDATE {table} SET version_num = '9999'"))

    with pytest.raises(ConfigurationError, match="made by a newer release"):
        check_own_schema(engine, "fund")


def test_upgrade_keeps_what_earlier_tables_held(engine: Engine) -> None:
    """What the first release wrote is there after the upgrade, in tables that are like new ones."""
    upgrade(engine, "0001")
    prefix = f"{OWN_SCHEMA}." if engine.dialect.name == "postgresql" else f"{OWN_SCHEMA}_"
    with writing(engine) as connection:
        connection.execute(text(f"INSERT INTO {prefix}progress VALUES ('orders:0', '17', 1, NULL, 3)"))

    create_own_schema(engine)

    check_own_schema(engine, "fund")
    with reading(engine) as connection:
        assert load_cursor(connection, "orders:0") == "17"
    declared = own_tables(engine.dialect.name).metadata.sorted_tables
    assert shape(engine) == {t.name: {c.name: (bool(c.nullable), c.primary_key) for c in t.columns} for t in declared}


def test_nothing_is_left_behind(engine: Engine) -> None:
    """After the removal the database is as it was."""
    before = inspect(engine).get_table_names(), set(inspect(engine).get_schema_names())
    create_own_schema(engine)

    drop_own_schema(engine)

    inspector = inspect(engine)
    assert (inspector.get_table_names(), set(inspector.get_schema_names())) == before
