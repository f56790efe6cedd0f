"""The record key between its text, as our own tables have it, and the key columns of a department's table.

One key is one text: trigger, sweep, snapshot and claim make it by the same expression.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Text, and_, cast, func, or_

from tellonce.storage.postgres_catalog import CatalogColumn, quoted

__all__ = ["is_after", "is_any_of", "key_parts", "key_text_expression", "key_text_sql", "keys_per_statement", "text_of"]

# SQLite refuses an expression nested more than 1,000 deep, which a chain of ORs is.
_COMPOSITE_KEYS_PER_STATEMENT = 200


def key_parts(record_key: str, width: int) -> tuple[str, ...] | None:
    """Gives the text of each of the `width` key columns, or None where the key has not so many.

    It is the inverse of `record_key_of`.
    """
    if width == 1:
        return (record_key,)
    parts = record_key.split("/")
    return tuple(part.replace("%2F", "/").replace("%25", "%") for part in parts) if len(parts) == width else None


def text_of(row: str, column: CatalogColumn) -> str:
    """Gives the SQL that makes text of a column in PostgreSQL, by its type's own output and no cast of its owner's.

    What a CHAR column is filled up with does not count, as it does not in a comparison.
    """
    text = f"pg_catalog.format('%s', {row}.{quoted(column.name)})"
    return f"pg_catalog.rtrim({text}, ' ')" if column.type_name == "bpchar" else text


def key_text_sql(texts: Sequence[str]) -> str:
    """Gives the SQL that makes the record key's text from the texts of its columns, in either dialect."""
    if len(texts) == 1:
        return texts[0]
    return " || '/' || ".join(f"replace(replace({text}, '%', '%25'), '/', '%2F')" for text in texts)


def key_text_expression(columns: Sequence[ColumnElement[object]]) -> ColumnElement[str]:
    """Gives the expression that makes the record key's text from key columns in SQLite."""
    texts: list[ColumnElement[str]] = [cast(column, Text) for column in columns]
    if len(texts) == 1:
        return texts[0]
    parts = [func.replace(func.replace(text, "%", "%25"), "/", "%2F") for text in texts]
    joined: ColumnElement[str] = parts[0]
    for part in parts[1:]:
        joined = joined.concat("/").concat(part)
    return joined


def is_after(columns: Sequence[ColumnElement[object]], parts: Sequence[str]) -> ColumnElement[bool]:
    """Gives the condition that a row comes after a key in the key columns' own order.

    The text is compared with the bare columns, so that SQLite gives it the column's affinity and uses its index.
    """
    first, rest = columns[0], columns[1:]
    if not rest:
        return first > parts[0]
    return and_(first >= parts[0], or_(first > parts[0], is_after(rest, parts[1:])))


def is_any_of(columns: Sequence[ColumnElement[object]], keys: Sequence[Sequence[str]]) -> ColumnElement[bool]:
    """Gives the condition that a row has one of the keys; several columns take at most 200 keys at once."""
    if len(columns) == 1:
        return columns[0].in_([key[0] for key in keys])
    return or_(*(and_(*(column == part for column, part in zip(columns, key, strict=True))) for key in keys))


def keys_per_statement(width: int) -> int:
    """Gives how many keys `is_any_of` takes at once."""
    return 5_000 if width == 1 else _COMPOSITE_KEYS_PER_STATEMENT
