"""What trials of column types are drawn from: codecs, fields' values, and what may stand in a table already."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation

import tellonce
from tellonce.avro.fields import Kind
from tellonce.declare import Codec
from tellonce.model.change import Value

__all__ = ["CODECS", "EXTRA_TYPES", "LITERALS", "ON_SQLITE", "SPELLED", "STORED", "VALUES", "says"]

CODECS: Mapping[str, Callable[[], Codec]] = {
    "text": tellonce.text,
    "text of 5": lambda: tellonce.text(max_chars=5),
    "padded": lambda: tellonce.text(max_chars=18, padded=True),
    "upper": lambda: tellonce.text(upper=True),
    "blank is null": lambda: tellonce.text(blank_is_null=True),
    "gbk": lambda: tellonce.text(charset="gbk", max_bytes=12),
    "identifier": tellonce.identifier,
    "codes": lambda: tellonce.codes({"1": "a", "2": "王芳", "true": "b"}),
    "codes of numbers": lambda: tellonce.codes({1: "a", 2: "王芳"}),
    "boolean": tellonce.boolean,
    "yes and no": lambda: tellonce.boolean(true="是", false="否"),
    "integer": tellonce.integer,
    "decimal": lambda: tellonce.decimal(10, 2),
    "iso date": tellonce.iso_date,
    "iso date as text": lambda: tellonce.iso_date(as_text=True),
    "yyyymmdd": tellonce.yyyymmdd,
    "yyyymmdd as a number": lambda: tellonce.yyyymmdd(as_integer=True),
    "instant": tellonce.instant,
    "instant as text": lambda: tellonce.instant("text"),
    "millis": lambda: tellonce.instant("millis"),
    "bytes": tellonce.bytes_,
}
VALUES: Mapping[Kind, Sequence[Value]] = {
    Kind.TEXT: (
        *("", " ", "a", "b", "A ", "王芳", "ß", "\U0001f600", "e\u0301", "110105194912310021", "0012", "1e5", "inf"),
        *("NULL", "%s", ":raw", "{1,2}", '{"b": 1, "a": 2}', "\\x00", "'; --", "true", "1970-01-01", "x" * 300),
        *("7d444840-9dc0-11d1-b245-5ffdce74fad2", "127.0.0.1", "[1,2)", "(1,2)", "\u2028", "1", "2"),
    ),
    Kind.INTEGER: (0, 1, -1, 7, 20240229, 2**15, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)),
    Kind.BOOLEAN: (True, False),
    Kind.DATE: (date(1, 1, 1), date(1949, 10, 1), date(1582, 10, 10), date(2024, 2, 29), date(9999, 12, 31)),
    Kind.INSTANT: tuple(datetime(y, 2, 28, 23, 59, 59, ms * 1000, UTC) for y in (1, 1901, 2024, 9999) for ms in (0, 7)),
    Kind.DECIMAL: (Decimal("0.00"), Decimal("-0.01"), Decimal("1.27"), Decimal("99999999.99"), Decimal("7.00")),
    Kind.BYTES: (b"", b"\x00\xff", b"a", b"\\x00", b"x" * 300),
}
LITERALS = (
    *("", " ", "0", "1", "-1", "7", "0012", "a", "b", "王芳", "true", "f", "NaN", "infinity", "-infinity", "1e300"),
    *("1970-01-01", "1949-10-01", "0044-03-15 BC", "10000-01-01", "12:00", "24:00:00", "12:00+08", "1 day", "P1Y"),
    *("1970-01-01 00:00:00.123456", "4714-11-24 00:00:00 BC", "110105194912310021", "11010519491231002X", "{}"),
    *("{1,2}", "{a}", "[1,2)", "empty", "{[1,2)}", "127.0.0.1", "10.0.0.0/8", "08:00:2b:01:02:03", "$1.00", "(1,2)"),
    *("08:00:2b:01:02:03:04:05", "7d444840-9dc0-11d1-b245-5ffdce74fad2", "((1,2),(3,4))", "<(1,2),3>", "{1,-1,0}"),
    *("[(0,0),(1,1)]", "<a>b</a>", '{"b": 1, "a": 2}', "null", "a & b", "'a':1", "16/B374D848", "pg_class", "101"),
    *("\\xdeadbeef", "1:1:", "(1,a)", "male", "now", "2147483648", "9223372036854775807", "123456789012345678901.5"),
)
EXTRA_TYPES = (
    "CREATE EXTENSION IF NOT EXISTS citext",
    "CREATE EXTENSION IF NOT EXISTS hstore",
    "CREATE TYPE sex AS ENUM ('a', 'male', '王芳')",
    "CREATE TYPE pair AS (n integer, t text)",
    "CREATE DOMAIN short AS varchar(3)",
    "CREATE DOMAIN shorter AS short CHECK (value <> 'b')",
    "CREATE DOMAIN money_of AS numeric(4,1) NOT NULL",
    "CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
)
SPELLED = (
    *("varchar(3)", "varchar(18)", "char(1)", "char(18)", "numeric(4,1)", "numeric(18)", "timestamp(0)", "bit(3)"),
    *("timestamp(0) with time zone", "bit varying(8)", "time(3)", "interval(0)", "integer[]", "text[][]", "short[]"),
    'text COLLATE "folded"',
)
ON_SQLITE = (
    *("", "INT", "INTEGER", "TINYINT", "VARCHAR(5)", "CHARACTER(18)", "TEXT", "CLOB", "BLOB", "REAL", "DOUBLE", "DATE"),
    *(
        "NUMERIC",
        "DECIMAL(10,2)",
        "BOOLEAN",
        "DATETIME",
        "STRING",
        '"my type"',
        "TEXT COLLATE NOCASE",
        "TEXT COLLATE RTRIM",
    ),
)
STORED = (
    *("NULL", "''", "' '", "'a'", "'王芳'", "0", "1", "-1", "1.5", "9e999", "'0012'", "'1'", "20240229", "'20240229'"),
    *("9223372036854775807", "x''", "x'ff00'", "CAST(x'ff' AS TEXT)", "CAST(x'6100' AS TEXT)", "'1949-10-01'", "1e19"),
    *("'110105194912310021'", "110105194912310021", "'1e5'", "'NaN'", "'true'"),
)


def says(codec: str, value: Value, held: str | None) -> bool:
    """Whether a column's text says a value under a codec of `CODECS`, as a person would read it."""
    if value is None or held is None:
        return value is None and (held is None or not held.strip())
    reads = next(reads for kinds, reads in _READ.items() if isinstance(value, kinds))
    return reads(codec, value, held)


def _says_text(codec: str, value: str, held: str) -> bool:
    if codec.startswith("codes"):
        return {"1": "a", "2": "王芳", "true": "b", "t": "b"}.get(held.strip().removesuffix(".0")) == value
    if codec in {"padded", "upper", "identifier"}:
        return held.strip().upper() == value.strip().upper()
    return held == value


def _says_boolean(_codec: str, value: bool, held: str) -> bool:
    return held.strip().lower().removesuffix(".0") in (("t", "true", "1", "是") if value else ("f", "false", "0", "否"))


def _says_number(_codec: str, value: int | Decimal, held: str) -> bool:
    try:
        # SQLite shows fewer digits of a float than it has.
        return Decimal(value) in (Decimal(held), Decimal(float(held)))
    except InvalidOperation:
        return False


def _says_instant(_codec: str, value: datetime, held: str) -> bool:
    millis = held.removesuffix(".0")
    if millis.lstrip("-").isdigit():
        return (value - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1) == int(millis)
    try:
        found = datetime.fromisoformat(held)
    except ValueError:
        return False
    return (found if found.tzinfo else found.replace(tzinfo=UTC)) == value


_READ: Mapping[type, Callable[..., bool]] = {
    bool: _says_boolean,
    str: _says_text,
    int: _says_number,
    Decimal: _says_number,
    datetime: _says_instant,
    date: lambda _codec, value, held: (
        held.strip().removesuffix(".0").replace("-", "").zfill(8)[:8]
        == f"{value.year:04}{value.month:02}{value.day:02}"
    ),
    bytes: lambda _codec, value, held: held == f"\\x{value.hex()}",
}
"""The first that a value is an instance of."""
