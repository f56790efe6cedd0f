"""Writers, a relay and a sweep side by side on a real PostgreSQL: nothing is lost, goes backward or is accused."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Event

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from capturing import citizen_source, do, noted, outbox_of, prepare, stored
from tellonce.storage.database import open_database, reading, writing

SOURCE = citizen_source(columns={"value": "value"})
CHANGE = text("UPDATE resident SET value = value + 1 WHERE resident_id = :key")
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
KEYS = 12


@pytest.fixture
def engine(postgres_database: str) -> Iterator[Engine]:
    """The register with its capture, and a ledger of what a relay has told."""
    engine = open_database(postgres_database)
    rows = [f"({key}, 0)" for key in range(KEYS)]
    prepare(engine, resident="resident_id integer PRIMARY KEY, value integer", rows=rows, sources=[SOURCE])
    do(engine, "CREATE TABLE public.told (record_key text PRIMARY KEY, value integer)")
    do(engine, "INSERT INTO told SELECT resident_id::text, value FROM resident")
    yield engine
    engine.dispose()


def relay(connection: Connection, engine: Engine, limit: int = 3) -> int:
    """Claim, then read, then tell: what a relay does in one transaction."""
    outbox = outbox_of(engine, SOURCE)
    rows = outbox.claim(connection, limit)
    keys = [row.record_key for row in rows if row.record_key is not None]
    for key, image in outbox.read_records(connection, keys):
        values = {"key": key, "value": image and image["value"]}
        before = connection.execute(text("SELECT value FROM told WHERE record_key = :key"), values).scalar()
        # A value only grows while its row lives, and a row that comes back begins above what it was.
        assert image is None or before is None or int(str(image["value"])) >= before
        connection.execute(
            text("INSERT INTO told VALUES (:key, :value) ON CONFLICT (record_key) DO UPDATE SET value = :value"), values
        )
    outbox.remove(connection, rows)
    return len(rows)


def differing(connection: Connection, engine: Engine) -> list[str]:
    """The records that a sweep would accuse, all read in one state of the database."""
    outbox = outbox_of(engine, SOURCE)
    rows = connection.execute(text("SELECT record_key, value FROM told WHERE value IS NOT NULL"))
    told = {str(key): value for key, value in rows}
    there = {key: image["value"] for key, image in outbox.read_chunk(connection, None, 1_000) if image}
    found = [key for key in told.keys() | there.keys() if told.get(key) != there.get(key)]
    waiting = outbox.waiting_among(connection, found)
    return [key for key in found if key not in waiting]


def transaction(connection: Connection, random: Random) -> None:
    """Some changes, with savepoints and rollbacks."""
    for _ in range(random.randrange(1, 5)):
        savepoint = connection.begin_nested() if random.random() < 0.5 else None
        key = random.randrange(KEYS)
        statement = random.choice(
            [
                "UPDATE resident SET value = value + 1 WHERE resident_id = :key",
                "UPDATE resident SET value = value + 1 WHERE resident_id IN (:key, :key + 1)",
                "DELETE FROM resident WHERE resident_id = :key",
                "INSERT INTO resident VALUES (:key, nextval('value_seq')) ON CONFLICT DO NOTHING",
                "UPDATE resident SET resident_id = :key + 100, value = nextval('value_seq') WHERE resident_id = :key",
                "UPDATE resident SET resident_id = :key, value = nextval('value_seq') WHERE resident_id = :key + 100",
            ]
        )
        connection.execute(text(statement), {"key": key})
        if savepoint is not None:
            savepoint.rollback() if random.random() < 0.3 else savepoint.commit()


def write(engine: Engine, seed: int, count: int) -> int:
    """Run random transactions at random levels, and give how many committed."""
    random, committed = Random(seed), 0
    for _ in range(count):
        with engine.connect() as connection:
            session = connection.execution_options(isolation_level=random.choice(LEVELS))
            try:
                transaction(session, random)
                if random.random() < 0.8:
                    session.commit()
                    committed += 1
                else:
                    session.rollback()
            except DBAPIError:
                session.rollback()
    return committed


def test_random_writers_lose_nothing(engine: Engine) -> None:
    """Whatever four writers do at any level, a relay tells the newest state of each record, and no sweep errs."""
    do(engine, "CREATE SEQUENCE public.value_seq START 1000000 INCREMENT 1000")
    stop, accused = Event(), list[list[str]]()

    def relay_on() -> None:
        while not stop.is_set():
            with writing(engine) as connection:
                relay(connection, engine)

    def sweep_on() -> None:
        while not stop.is_set():
            with reading(engine) as connection:
                accused.append(differing(connection, engine))

    with ThreadPoolExecutor(6) as pool:
        beside = [pool.submit(relay_on), pool.submit(sweep_on)]
        written = list(pool.map(lambda seed: write(engine, seed, 60), range(4)))
        stop.set()
        for each in beside:
            each.result(timeout=30)
    while True:
        with writing(engine) as connection:
            if not relay(connection, engine):
                break

    assert sum(written) > 60
    assert [some for some in accused if some] == []
    with reading(engine) as connection:
        told = connection.execute(text("SELECT record_key, value FROM told WHERE value IS NOT NULL")).all()
    assert {str(key): value for key, value in told} == {
        key: image["value"] for key, image in stored(engine, SOURCE).items()
    }


class Watermark:
    """A reader that remembers the highest id that it has seen, as published recipes do."""

    def __init__(self) -> None:
        self.last_id = 0

    def __call__(self, engine: Engine) -> list[str]:
        with writing(engine) as connection:
            rows = [row for row in outbox_of(engine, SOURCE).claim(connection, 100) if row.outbox_id > self.last_id]
        self.last_id = max((row.outbox_id for row in rows), default=self.last_id)
        return [str(row.record_key) for row in rows]


def by_claim(engine: Engine) -> list[str]:
    """What the relay claims, and removes."""
    with writing(engine) as connection:
        outbox = outbox_of(engine, SOURCE)
        rows = outbox.claim(connection, 100)
        outbox.remove(connection, rows)
    return [str(row.record_key) for row in rows]


@pytest.mark.parametrize(("make", "loses"), [(Watermark, True), (lambda: by_claim, False)], ids=["watermark", "claim"])
def test_lower_id_that_commits_later_is_still_there(
    engine: Engine, make: Callable[[], Callable[[Engine], list[str]]], loses: bool
) -> None:
    """A changes R, B changes S and commits; a read; then A commits: a watermark has passed R by."""
    read = make()
    with engine.connect() as a, engine.connect() as b:
        a.execute(CHANGE, {"key": 1})
        b.execute(CHANGE, {"key": 2})
        b.commit()
        seen = read(engine)
        a.commit()
    seen += read(engine)

    assert ("1" not in seen) == loses
    assert "2" in seen


def test_change_between_claim_and_read_is_claimed_again(engine: Engine) -> None:
    """What is read is at least as new as what was claimed, and what came in between is noted again."""
    do(engine, str(CHANGE), key=1)
    outbox = outbox_of(engine, SOURCE)

    with writing(engine) as connection:
        rows = outbox.claim(connection, 10)
        do(engine, str(CHANGE), key=1)
        (read,) = outbox.read_records(connection, ["1"])
        outbox.remove(connection, rows)

    assert read.image == {"value": 2}
    assert noted(engine, SOURCE) == ["1"]


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_default_of_the_department_does_not_make_what_is_read_older(engine: Engine, level: str) -> None:
    """A database whose transactions see one state by default shows the relay what came after its claim all the same."""
    do(engine, f"ALTER DATABASE {engine.url.database} SET default_transaction_isolation = '{level}'")
    engine.dispose()
    do(engine, str(CHANGE), key=1)

    with writing(engine) as connection:
        outbox_of(engine, SOURCE).claim(connection, 10)
        do(engine, str(CHANGE), key=1)
        (read,) = outbox_of(engine, SOURCE).read_records(connection, ["1"])

    assert read.image == {"value": 2}
