"""The outbox of one record type as a table, and how a row's image stands in it.

PostgreSQL keeps an image as jsonb, whose numbers are exact decimals. SQLite keeps each column natively in a column
without a type: its own JSON functions turned 0.30000000000000004 into 0.3.
"""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import UserDefinedType

from tellonce.declare import Raw, Source
from tellonce.storage.database import OWN_SCHEMA

__all__ = ["image_from_json", "image_to_json", "mapped_columns", "outbox_table"]

# Python refuses to read a longer run of digits as an int; as a decimal it is the codec's to refuse, for one record.
_LONGEST_INT = 4_000


class _Untyped(UserDefinedType[Raw]):
    """A column without a type, in which SQLite keeps every value exactly as it was in the department's table."""

    cache_ok = True

    def get_col_spec(self, **_kw: object) -> str:
        """Gives the empty type."""
        return ""


def mapped_columns(source: Source) -> tuple[str, ...]:
    """Gives the columns that an image holds, each once, in declared order."""
    return tuple(dict.fromkeys(column.name for column in source.columns.values()))


def outbox_table(source: Source, dialect_name: str) -> Table:
    """Gives the outbox of a source's record type, with its index, as installed in a database of this dialect."""
    is_postgres = dialect_name == "postgresql"
    prefix = "" if is_postgres else f"{OWN_SCHEMA}_"
    name = f"{prefix}outbox_{source.record_type}"
    table = Table(
        name,
        MetaData(schema=OWN_SCHEMA if is_postgres else None),
        Column("outbox_id", BigInteger if is_postgres else Integer, primary_key=True, autoincrement=True),
        Column("record_key", Text, nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("transaction_id", BigInteger),
        Column("committed_at_ms", BigInteger, nullable=False),
        Column("origin", Text, nullable=False),
        *_image_columns(source, is_postgres=is_postgres),
        sqlite_autoincrement=True,
    )
    Index(f"{OWN_SCHEMA}_outbox_{source.record_type}_record", table.c.record_key, table.c.version)
    return table


def _image_columns(source: Source, *, is_postgres: bool) -> Sequence[SchemaItem]:
    if is_postgres:
        return [Column("before", JSONB), Column("after", JSONB)]
    names = mapped_columns(source)
    return [
        Column("has_before", Integer, nullable=False),
        *[Column(f"b_{name}", _Untyped()) for name in names],
        Column("has_after", Integer, nullable=False),
        *[Column(f"a_{name}", _Untyped()) for name in names],
    ]


def image_from_json(text: str | None) -> Mapping[str, Raw] | None:
    """Gives the image that PostgreSQL's capture wrote; a number with a fraction becomes an exact decimal."""
    if text is None:
        return None
    image: dict[str, Raw] = _DECODER.decode(text)
    return image


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _LONGEST_INT else Decimal(digits)


# Made once: json.loads with arguments makes one for every call, which takes longer than a short image.
_DECODER = json.JSONDecoder(parse_float=Decimal, parse_int=_whole)


def image_to_json(image: Mapping[str, Raw] | None) -> str | None:
    """Gives the JSON text of an image, in which no number loses a digit."""
    if image is None:
        return None
    return "{" + ",".join(f"{json.dumps(name)}:{_json(value)}" for name, value in image.items()) + "}"


def _json(value: Raw) -> str:
    if isinstance(value, Decimal) and value.is_finite():
        return str(value)
    if isinstance(value, Decimal | date) or (isinstance(value, float) and not math.isfinite(value)):
        return json.dumps(value.isoformat() if isinstance(value, date) else str(value))
    if isinstance(value, bytes):
        return json.dumps("\\x" + value.hex())
    return json.dumps(value, ensure_ascii=False)
