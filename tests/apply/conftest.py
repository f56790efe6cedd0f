"""Benches on every store: in memory, on SQLite, and on PostgreSQL."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from apply.bench import Bench, MakeBench, MemoryBench, Shape
from apply.sql_bench import SqlBench
from tellonce.storage.database import open_database
from tellonce.storage.own_schema import create_own_schema
from tellonce.testing.postgres_server import PostgresServer


@pytest.fixture(scope="module")
def sqlite_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A SQLite file with our own tables, for all of these tests in turn."""
    engine = open_database(f"sqlite:///{tmp_path_factory.mktemp('laws') / 'department.sqlite'}")
    create_own_schema(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def postgres_engine(postgres: PostgresServer) -> Iterator[Engine]:
    """A PostgreSQL database with our own tables, for all of these tests in turn."""
    engine = open_database(postgres.create_database(f"laws_{uuid4().hex}"))
    create_own_schema(engine)
    yield engine
    engine.dispose()


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def bench_of(request: pytest.FixtureRequest) -> MakeBench:
    """Makes a bench on each store."""
    if request.param == "memory":
        return MemoryBench
    engine: Engine = request.getfixturevalue(f"{request.param}_engine")
    return lambda shape: SqlBench(shape, engine)


@pytest.fixture
def bench(bench_of: MakeBench) -> Bench:
    """A department that holds files of some people."""
    return bench_of(Shape())
