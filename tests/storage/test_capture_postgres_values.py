"""Exact values and keys of every type in PostgreSQL's capture: alike in trigger and reader, under any setting."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from sqlalchemy import Engine, text

from capturing import citizen_source, do, outbox_of, prepare, waiting_rows
from tellonce.model.errors import ConfigurationError
from tellonce.storage.capture import plan_install
from tellonce.storage.database import open_database, writing


@pytest.fixture
def engine(postgres_database: str) -> Iterator[Engine]:
    """An empty PostgreSQL database."""
    engine = open_database(postgres_database)
    yield engine
    engine.dispose()


VALUES = {
    "double precision": ("0.1::float8 + 0.2::float8", Decimal("0.30000000000000004")),
    "real": ("0.1", Decimal("0.1")),
    "numeric": ("12345678901234567890.12345678901234567890", Decimal("12345678901234567890.12345678901234567890")),
    "numeric(10, 2)": ("1.50", Decimal("1.50")),
    "bigint": ("9223372036854775807", 2**63 - 1),
    "boolean": ("true", True),
    "bytea": (r"'\x005cff'", r"\x005cff"),
    "char(5)": ("'ab'", "ab   "),
    "date": ("'1949-12-31'", "1949-12-31"),
    "timestamptz": ("'2024-05-01 08:00:00+08'", "2024-05-01T00:00:00+00:00"),
    "interval": ("'1 day 2 hours'", "P1DT2H"),
    "daterange": ("'[2024-01-02,2024-02-03)'", "[2024-01-02,2024-02-03)"),
    "uuid": ("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "text[]": ("ARRAY['甲', NULL]", "{甲,NULL}"),
    "json": ("""'{"a":  1.0}'""", '{"a":  1.0}'),
    "public.mood": ("'glad'", "glad"),
    "text": ("'𠮷\"\\\n%s'", '𠮷"\\\n%s'),
}


@pytest.mark.parametrize("declared", VALUES)
def test_value_is_captured_exactly_under_any_session_setting(engine: Engine, declared: str) -> None:
    """An image depends on the value alone: not on the session's settings, and alike in trigger and reader."""
    expression, expected = VALUES[declared]
    source = citizen_source(columns={"value": "value"})
    do(engine, "CREATE TYPE public.mood AS ENUM ('glad', 'sad')")
    prepare(engine, resident=f"resident_id integer PRIMARY KEY, value {declared}", sources=[source])

    do(
        engine,
        "SET LOCAL extra_float_digits = -15",
        "SET LOCAL bytea_output = 'escape'",
        "SET LOCAL TimeZone = 'Asia/Shanghai'",
        "SET LOCAL DateStyle = 'German'",
        "SET LOCAL IntervalStyle = 'sql_standard'",
        f"INSERT INTO resident VALUES (1, {expression})".replace(":", r"\:"),
    )

    row = waiting_rows(engine, source)[0]
    with writing(engine) as connection:
        outbox = outbox_of(engine, source)
        connection.execute(text("SET LOCAL extra_float_digits = -15"))
        read = outbox.read_chunk(connection, None, 1)[0]
        outbox.remove(connection, [row])
        outbox.add(connection, [row])
    assert row.after is not None
    assert (row.after["value"], type(row.after["value"])) == (expected, type(expected))
    assert repr(read.image) == repr(row.after) == repr(waiting_rows(engine, source)[0].after)


def test_json_column_beside_a_change_does_not_hinder(engine: Engine) -> None:
    """A mapped column of a type without equality is compared all the same."""
    source = citizen_source(columns={"value": "value"})
    prepare(engine, resident="resident_id integer PRIMARY KEY, value json, note text", sources=[source])

    do(engine, "INSERT INTO resident VALUES (1, '{}', 'a')", "UPDATE resident SET note = 'b'")
    do(engine, "UPDATE resident SET value = '[]'")

    assert [row.after for row in waiting_rows(engine, source)] == [{"value": "{}"}, {"value": "[]"}]


def test_wide_table_is_captured(engine: Engine) -> None:
    """More columns than one function call takes are captured all."""
    names = [f"c{at}" for at in range(120)]
    source = citizen_source(columns={name: name for name in names})
    columns = ", ".join(f"{name} integer" for name in names)
    prepare(engine, resident=f"resident_id integer PRIMARY KEY, {columns}", sources=[source])

    do(engine, f"INSERT INTO resident VALUES (0, {', '.join(str(at) for at in range(120))})")

    assert waiting_rows(engine, source)[0].after == {name: at for at, name in enumerate(names)}


@pytest.mark.parametrize("declared", ["bigint", "varchar(4)", "char(4)", "uuid", "numeric(18)", "public.key_domain"])
def test_keys_of_any_type_are_found_by_their_text(engine: Engine, declared: str) -> None:
    """A record key read as text finds its row again, and in the key's own order, whatever the column's type."""
    keys = ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]
    if declared != "uuid":
        keys = ["9", "10"] if declared in {"bigint", "numeric(18)"} else ["10", "9"]
    do(engine, "CREATE DOMAIN public.key_domain AS varchar(4) CHECK (length(value) > 0)")
    resident = f"resident_id {declared} PRIMARY KEY, id_number text, full_name text, note text"
    prepare(engine, resident=resident, rows=[f"('{key}', 'a', 'b', 'c')" for key in keys])
    outbox = outbox_of(engine)

    with writing(engine) as connection:
        chunk = outbox.read_chunk(connection, None, 5)
        after = outbox.read_chunk(connection, keys[0], 5)
        found = outbox.read_records(connection, keys, lock=True)

    assert [record.record_key for record in chunk] == keys
    assert after == chunk[1:]
    assert sorted(record.record_key for record in found) == sorted(keys)


@pytest.mark.parametrize("declared", ["numeric", "numeric(10,2)", "date", "double precision", "bytea"])
def test_key_whose_text_is_not_one_is_refused(engine: Engine, declared: str) -> None:
    """A key whose text depends on settings, or of which one value has several texts, is refused."""
    prepare(engine, resident=f"resident_id {declared} PRIMARY KEY, id_number text, full_name text", sources=[])

    with pytest.raises(ConfigurationError, match="expected the key column resident_id of resident to be of a type"):
        plan_install(engine, [citizen_source()])
