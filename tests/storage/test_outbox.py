"""The outbox as the relay uses it: claiming, removing, adding, collapsing, and reading the captured table."""

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import Connection, Engine

from capturing import FORMER, citizen_source, do, outbox_of, prepare, waiting_rows
from tellonce import Former, codes
from tellonce.declare import Raw
from tellonce.model.change import Origin
from tellonce.model.errors import ConfigurationError
from tellonce.storage.database import open_database, writing
from tellonce.storage.outbox import Outbox, OutboxRow, collapse
from tellonce.storage.outbox_table import image_from_json, image_to_json

IMAGE: dict[str, Raw] = {"id_number": "a", "full_name": "b"}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An empty database of each kind."""
    fixture = "sqlite_url" if request.param == "sqlite" else "postgres_database"
    engine = open_database(str(request.getfixturevalue(fixture)))
    yield engine
    engine.dispose()


def row(
    record_key: str = "1",
    version: int = 1,
    *,
    origin: Origin = Origin.CAPTURE,
    transaction_id: int | None = None,
    before: dict[str, Raw] | None = None,
    after: dict[str, Raw] | None = None,
    committed_at_ms: int = 1,
) -> OutboxRow:
    """An outbox row."""
    return OutboxRow(
        record_key=record_key,
        version=version,
        transaction_id=transaction_id,
        committed_at_ms=committed_at_ms,
        origin=origin,
        before=before,
        after=after,
    )


def add(engine: Engine, *rows: OutboxRow) -> None:
    """Add rows to the outbox, one after the other."""
    with writing(engine) as connection:
        for one in rows:
            outbox_of(engine).add(connection, [one])


def claim(engine: Engine, limit: int) -> list[tuple[str, int]]:
    """Key and version of what a claim gives."""
    with writing(engine) as connection:
        return [(row.record_key, row.version) for row in outbox_of(engine).claim(connection, limit)]


def test_oldest_rows_are_claimed_by_record_and_version(engine: Engine) -> None:
    """A claim takes the rows that have waited longest, and gives them per record by version."""
    prepare(engine)
    add(engine, row("b", 2), row("a", 1), row("b", 3), row("c", 1))

    assert claim(engine, 3) == [("a", 1), ("b", 2), ("b", 3)]


def test_every_lower_version_is_claimed_with_a_higher_one(engine: Engine) -> None:
    """A version is never claimed before a lower one of its record that waits, wherever that stands."""
    prepare(engine)
    add(engine, row("a", 3), row("b", 1), row("a", 1), row("a", 2, origin=Origin.SWEEP), row("a", 4))

    assert claim(engine, 1) == [("a", 1), ("a", 2), ("a", 3)]


def test_claim_of_nothing_takes_nothing(engine: Engine) -> None:
    """A limit of 0 is no limit left."""
    prepare(engine)
    add(engine, row("a"))

    assert claim(engine, 0) == []


def test_rows_of_one_version_are_claimed_in_the_order_of_adding(engine: Engine) -> None:
    """A repair at the present version comes after the change that made it."""
    prepare(engine)
    add(engine, row(), row(origin=Origin.REPAIR))

    with writing(engine) as connection:
        claimed = outbox_of(engine).claim(connection, 1)

    assert [one.origin for one in claimed] == [Origin.CAPTURE, Origin.REPAIR]


def test_removed_rows_are_gone_and_others_stay(engine: Engine) -> None:
    """Removing takes exactly the rows that were claimed, also with the caller's transaction."""
    prepare(engine)
    add(engine, row("a"), row("b"))

    with writing(engine) as connection:
        outbox = outbox_of(engine)
        outbox.remove(connection, outbox.claim(connection, 1))
        assert outbox.pending(connection)[0] == 1
        connection.rollback()
    with writing(engine) as connection:
        outbox.remove(connection, outbox.claim(connection, 1))

    assert claim(engine, 10) == [("b", 1)]


def test_added_row_is_claimed_as_it_was(engine: Engine) -> None:
    """Every field of a row goes through the outbox, but for the ids that the database gives."""
    prepare(engine)
    added = row(
        "王/1",
        7,
        origin=Origin.REPAIR,
        before={"id_number": None, "full_name": "\"'\\\n"},
        after=IMAGE,
        committed_at_ms=1_700_000_000_123,
    )
    add(engine, added, row("z"))

    empty, claimed = waiting_rows(engine)

    for name in ("record_key", "version", "origin", "before", "after", "committed_at_ms"):
        assert getattr(claimed, name) == getattr(added, name)
    assert (empty.before, empty.after) == (None, None)


def test_pending_counts_rows_and_gives_the_oldest_time(engine: Engine) -> None:
    """What waits is counted, and its age is that of the oldest change."""
    prepare(engine)
    with writing(engine) as connection:
        empty = outbox_of(engine).pending(connection)
    add(engine, row("a", committed_at_ms=20), row("b", committed_at_ms=10))

    with writing(engine) as connection:
        assert (empty, outbox_of(engine).pending(connection)) == ((0, None), (2, 10))


def test_chunks_cover_the_table_in_key_order(engine: Engine) -> None:
    """Reading on from the last key of each chunk meets every record once, numbers as numbers, with its version."""
    prepare(engine, rows=[f"({key}, 'a', 'b', 'c')" for key in (2, 10, 100, 9)])
    do(engine, "UPDATE resident SET full_name = 'd' WHERE resident_id = 9")
    outbox, chunks, after = outbox_of(engine), [], None

    with writing(engine) as connection:
        while chunk := outbox.read_chunk(connection, after, 2):
            chunks.append([(record.record_key, record.version) for record in chunk])
            after = chunk[-1].record_key
            assert all(record.image is not None for record in chunk)

    assert chunks == [[("2", 1), ("9", 2)], [("10", 1), ("100", 1)]]


@pytest.mark.parametrize("lock", [False, True])
def test_named_records_are_read_with_their_version_also_when_gone(engine: Engine, lock: bool) -> None:
    """A repair finds the present row and version, and the counter of a record whose row is gone."""
    prepare(engine, rows=["(1, 'a', 'b', 'c')", "(2, 'a', 'b', 'c')"])
    do(engine, "DELETE FROM resident WHERE resident_id = 2")

    with writing(engine) as connection:
        found = outbox_of(engine).read_records(connection, ["2", "1", "3", "1"], lock=lock)
        nothing = outbox_of(engine).read_records(connection, [], lock=lock)

    assert sorted(found) == [("1", 1, IMAGE), ("2", 2, None), ("3", 1, None)]
    assert nothing == []


def test_counters_are_raised_and_never_lowered(engine: Engine) -> None:
    """A sweep's version holds for the next change; one that came later is not undone."""
    prepare(engine, rows=["(1, 'a', 'b', 'c')", "(2, 'a', 'b', 'c')"])

    with writing(engine) as connection:
        outbox_of(engine).set_versions(connection, {"2": 5, "1": 2})
        outbox_of(engine).set_versions(connection, {"2": 3})
        outbox_of(engine).set_versions(connection, {})
    do(engine, "UPDATE resident SET full_name = 'd'")

    assert claim(engine, 10) == [("1", 3), ("2", 6)]


def test_former_values_come_in_their_order_without_repetition(engine: Engine) -> None:
    """Every record asked for has its list, in the declared order, without nulls, blanks and repetitions."""
    prepare(engine, sources=[citizen_source(former=FORMER)])
    history = ["(1, 7, 'b')", "(2, 7, 'a')", "(3, 8, NULL)", "(4, 7, 'b')", "(5, 9, 'other')", "(6, 8, '')"]
    do(engine, *(f"INSERT INTO id_history VALUES {one}" for one in history))

    with writing(engine) as connection:
        outbox = outbox_of(engine, citizen_source(former=FORMER))
        found = outbox.read_former(connection, ["7", "8", "10"])
        nothing = outbox.read_former(connection, [])

    assert found == {
        "7": {"former_id_numbers": ("b", "a")},
        "8": {"former_id_numbers": ()},
        "10": {"former_id_numbers": ()},
    }
    assert nothing == {}


def test_former_value_that_is_not_understood_is_left_out(engine: Engine) -> None:
    """One bad row of a history table hinders neither its record nor the others."""
    source = citizen_source(
        former={"f": Former(table="id_history", key="resident_id", column="id_number", codec=codes({"ok": "ok"}))}
    )
    prepare(engine, sources=[source])
    do(engine, "INSERT INTO id_history VALUES (1, 7, 'too long'), (2, 7, 'ok')")

    with writing(engine) as connection:
        found = outbox_of(engine, source).read_former(connection, ["7"])

    assert found == {"7": {"f": ("ok",)}}


def test_source_without_history_has_no_former_values(engine: Engine) -> None:
    """Without history tables every record has nothing, and nothing is asked of the database."""
    prepare(engine)

    with writing(engine) as connection:
        assert outbox_of(engine).read_former(connection, ["1"]) == {"1": {}}


CALLS: dict[str, Callable[[Outbox, Connection], object]] = {
    "claim": lambda outbox, connection: outbox.claim(connection, 1),
    "pending": lambda outbox, connection: outbox.pending(connection),
    "chunk": lambda outbox, connection: outbox.read_chunk(connection, None, 1),
    "add": lambda outbox, connection: outbox.add(connection, [row()]),
}


@pytest.mark.parametrize("call", CALLS)
def test_missing_installation_is_said_plainly(engine: Engine, call: str) -> None:
    """Where capture is not installed, the relay is told which command installs it."""
    prepare(engine, sources=[])
    if engine.dialect.name == "sqlite":
        do(engine, "DROP TABLE tellonce_record_version")

    with engine.begin() as connection, pytest.raises(ConfigurationError, match="run tellonce install"):
        CALLS[call](outbox_of(engine), connection)


def test_delete_and_create_of_one_transaction_collapse() -> None:
    """A record that went and came back within a transaction was updated."""
    rows = [row(version=4, transaction_id=9, before=IMAGE), row(version=5, transaction_id=9, after={"id_number": "x"})]

    (collapsed,) = collapse(rows)

    assert (collapsed.version, collapsed.before, collapsed.after) == (5, IMAGE, {"id_number": "x"})


@pytest.mark.parametrize(
    "rows",
    [
        [row(version=4, transaction_id=9, before=IMAGE), row(version=5, transaction_id=10, after=IMAGE)],
        [row("1", 4, before=IMAGE), row("2", 5, after=IMAGE)],
        [row(version=4, before=IMAGE), row(version=6, after=IMAGE)],
        [row(version=4, before=IMAGE), row(version=5, after=IMAGE, origin=Origin.REPAIR)],
        [row(version=4, after=IMAGE), row(version=5, before=IMAGE)],
        [row(version=4, before={}, after=IMAGE), row(version=5, before=IMAGE, after={})],
        [row(version=4, before={}, after=IMAGE), row(version=5, after={})],
    ],
    ids=["transactions", "records", "gap", "origins", "create-delete", "updates", "update-replace"],
)
def test_other_rows_do_not_collapse(rows: list[OutboxRow]) -> None:
    """Only a delete that a create of the same record follows at once, in one transaction, is made one change."""
    assert collapse(rows) == rows


def test_each_delete_and_create_of_a_chain_collapses() -> None:
    """A record that went and came back twice was updated twice, and no department sees it go."""
    rows = [
        row(version=1, before={"id_number": "first"}),
        row(version=2, after={"id_number": "between"}),
        row(version=3, before={"id_number": "between"}),
        row(version=4, after={"id_number": "last"}),
    ]

    collapsed = collapse(rows)

    assert [(one.version, one.before, one.after) for one in collapsed] == [
        (2, {"id_number": "first"}, {"id_number": "between"}),
        (4, {"id_number": "between"}, {"id_number": "last"}),
    ]


@pytest.mark.parametrize(
    ("value", "back"),
    [
        (Decimal("0.30000000000000004"), Decimal("0.30000000000000004")),
        (Decimal("1E+3"), Decimal("1E+3")),
        (Decimal("1.50"), Decimal("1.50")),
        (Decimal("NaN"), "NaN"),
        (float("inf"), "inf"),
        (0.1, Decimal("0.1")),
        (2**63 - 1, 2**63 - 1),
        (int("9" * 4_000), int("9" * 4_000)),
        (Decimal("9" * 5_000), Decimal("9" * 5_000)),
        (True, True),
        (None, None),
        ('王"\\\n\x7f', '王"\\\n\x7f'),
        (b"\x00\xff", "\\x00ff"),
        (date(1949, 12, 31), "1949-12-31"),
    ],
    ids=[f"value{at}" for at in range(14)],
)
def test_image_loses_nothing_in_json(value: Raw, back: Raw) -> None:
    """What goes into an image's JSON comes out to the last digit, in a form that the codecs know."""
    image = image_from_json(image_to_json({"it's": value}))

    assert image is not None
    assert (image["it's"], type(image["it's"])) == (back, type(back))
