"""A small city, and its five databases on SQLite or PostgreSQL."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from tellonce.demo.generation import City, build_city
from tellonce.demo.tables import DEPARTMENTS
from tellonce.storage.database import open_database
from tellonce.testing.postgres_server import PostgresServer

Databases = Mapping[str, str]


@pytest.fixture(scope="session")
def city() -> City:
    """Six hundred residents: enough for two shared numbers and every fault; tests only read it."""
    return build_city(7, 600)


@pytest.fixture
def sqlite_databases(tmp_path: Path) -> Databases:
    """The addresses of five SQLite files that are not there yet."""
    return {department: f"sqlite:///{tmp_path / department}.sqlite" for department in DEPARTMENTS}


@pytest.fixture
def postgres_databases(postgres: PostgresServer) -> Iterator[Databases]:
    """The addresses of five empty PostgreSQL databases."""
    names = {department: f"demo_{uuid4().hex}" for department in DEPARTMENTS}
    yield {department: postgres.create_database(name) for department, name in names.items()}
    for name in names.values():
        postgres.drop_database(name)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def databases(request: pytest.FixtureRequest) -> Databases:
    """The addresses of five empty databases, once in each store."""
    found: Databases = request.getfixturevalue(f"{request.param}_databases")
    return found


@pytest.fixture
def opened(databases: Databases) -> Iterator[Mapping[str, Engine]]:
    """The five databases, open and empty."""
    engines = {department: open_database(url) for department, url in databases.items()}
    yield engines
    for engine in engines.values():
        engine.dispose()


@pytest.fixture
def filled(city: City, opened: Mapping[str, Engine]) -> Mapping[str, Engine]:
    """The five databases with the small city in them."""
    city.create_databases(opened)
    return opened


@pytest.fixture
def filled_sqlite(city: City, sqlite_databases: Databases) -> Iterator[Mapping[str, Engine]]:
    """The five databases with the small city in them, on SQLite only, for tests that are not about the store."""
    engines = {department: open_database(url) for department, url in sqlite_databases.items()}
    city.create_databases(engines)
    yield engines
    for engine in engines.values():
        engine.dispose()


RowsOf = Callable[[Engine, str], list[dict[str, object]]]


@pytest.fixture
def rows_of() -> RowsOf:
    """A function that reads all rows of a table as they are."""

    def read(engine: Engine, table: str) -> list[dict[str, object]]:
        with engine.connect() as connection:
            return [dict(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}").mappings()]

    return read
