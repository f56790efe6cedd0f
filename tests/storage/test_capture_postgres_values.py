"""Exact values and keys of every type in PostgreSQL: keys alike in trigger and reader, under any setting."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import Engine

from capturing import citizen_source, do, noted, outbox_of, prepare, stored
from tellonce.model.errors import ConfigurationError
from tellonce.storage.capture import install, plan_install
from tellonce.storage.database import open_database, writing


@pytest.fixture
def engine(postgres_database: str) -> Iterator[Engine]:
    """An empty PostgreSQL database."""
    engine = open_database(postgres_database)
    yield engine
    engine.dispose()


VALUES = {
    "double precision": ("0.1::float8 + 0.2::float8", 0.30000000000000004),
    "real": ("0.1", 0.1),
    "numeric": ("12345678901234567890.12345678901234567890", Decimal("12345678901234567890.12345678901234567890")),
    "numeric(10, 2)": ("1.50", Decimal("1.50")),
    "bigint": ("9223372036854775807", 2**63 - 1),
    "boolean": ("true", True),
    "bytea": (r"'\x005cff'", b"\x00\x5c\xff"),
    "char(5)": ("'ab'", "ab"),
    "date": ("'1949-12-31'", date(1949, 12, 31)),
    "date beyond Python's": ("'infinity'", "infinity"),
    "timestamptz": ("'2024-05-01 08:00:00+08'", datetime(2024, 5, 1, tzinfo=UTC)),
    "interval": ("'1 day 2 hours'", "1 day 02:00:00"),
    "daterange": ("'[2024-01-02,2024-02-03)'", "[2024-01-02,2024-02-03)"),
    "uuid": ("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "text[]": ("ARRAY['甲', NULL]", "{甲,NULL}"),
    "json": ("""'{"a":  1.0}'""", '{"a":  1.0}'),
    "public.mood": ("'glad'", "glad"),
    "text": ("'𠮷\"\\\n%s'", '𠮷"\\\n%s'),
}


@pytest.mark.parametrize("declared", VALUES)
def test_value_is_read_exactly_under_any_setting(engine: Engine, declared: str) -> None:
    """What is read depends on the value alone, and not on what the department has set for its database."""
    expression, expected = VALUES[declared]
    source = citizen_source(columns={"value": "value"})
    do(engine, "CREATE TYPE public.mood AS ENUM ('glad', 'sad')")
    prepare(engine, resident=f"resident_id integer PRIMARY KEY, value {declared.partition(' beyond')[0]}", sources=[])
    settings = {
        "extra_float_digits": "-15",
        "bytea_output": "escape",
        "TimeZone": "Asia/Shanghai",
        "DateStyle": "German",
        "IntervalStyle": "sql_standard",
    }
    do(engine, *(f"ALTER DATABASE {engine.url.database} SET {name} = '{value}'" for name, value in settings.items()))
    do(engine, f"INSERT INTO resident VALUES (1, {expression})".replace(":", r"\:"))
    engine.dispose()
    install(engine, [source])

    with writing(engine) as connection:
        (named,) = outbox_of(engine, source).read_records(connection, ["1"])
    for image in (named.image, stored(engine, source)["1"]):
        assert image is not None
        assert (image["value"], type(image["value"])) == (expected, type(expected))


def test_column_without_equality_does_not_hinder(engine: Engine) -> None:
    """A column of a type that nothing compares is compared byte by byte."""
    source = citizen_source(columns={"value": "value"})
    prepare(engine, resident="resident_id integer PRIMARY KEY, value json, note text", sources=[source])

    do(engine, "INSERT INTO resident VALUES (1, '{}', 'a')", "UPDATE resident SET value = value")
    before = noted(engine, source)
    do(engine, "UPDATE resident SET value = '[]'")

    assert (before, noted(engine, source)) == (["1"], ["1", "1"])


def test_wide_table_is_captured(engine: Engine) -> None:
    """More columns than one function call takes are captured all."""
    names = [f"c{at}" for at in range(120)]
    source = citizen_source(columns={name: name for name in names})
    columns = ", ".join(f"{name} integer" for name in names)
    prepare(engine, resident=f"resident_id integer PRIMARY KEY, {columns}", sources=[source])

    do(engine, f"INSERT INTO resident VALUES (0, {', '.join(str(at) for at in range(120))})")

    assert stored(engine, source)["0"] == {name: at for at, name in enumerate(names)}


@pytest.mark.parametrize("declared", ["bigint", "varchar(4)", "char(4)", "uuid", "numeric(18)", "public.key_domain"])
def test_keys_of_any_type_are_found_by_their_text(engine: Engine, declared: str) -> None:
    """A record key is one text in trigger and reader, and finds its row again, in the key's own order."""
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
        found = outbox.read_records(connection, [*keys, "none-such-as-this"])

    assert [record.record_key for record in chunk] == keys
    assert after == chunk[1:]
    assert [record.record_key for record in found if record.image] == keys
    do(engine, "UPDATE resident SET full_name = 'x'")
    assert sorted(map(str, noted(engine))) == sorted(keys)


@pytest.mark.parametrize("declared", ["numeric", "numeric(10,2)", "date", "double precision", "bytea"])
def test_key_whose_text_is_not_one_is_refused(engine: Engine, declared: str) -> None:
    """A key whose text depends on settings, or of which one value has several texts, is refused."""
    prepare(engine, resident=f"resident_id {declared} PRIMARY KEY, id_number text, full_name text", sources=[])

    with pytest.raises(ConfigurationError, match="expected the key column resident_id of resident to be of a type"):
        plan_install(engine, [citizen_source()])
