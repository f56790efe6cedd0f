"""Names of tables and columns in declarations, and the place where a declaration stands."""

import inspect
import os
from collections.abc import Iterable
from pathlib import Path

from tellonce.model.errors import ConfigurationError

__all__ = ["check_name", "check_table", "column_names", "find_place", "split_table"]

_PACKAGE = str(Path(__file__).parent) + os.sep
_LONGEST = 128


def find_place() -> str:
    """Gives `file:line` of the nearest caller outside this package, which is the declaration a person wrote."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return "unknown place" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def check_name(name: object, what: str, place: str) -> str:
    """Gives `name` if a database may have a table or column called so.

    Raises:
        ConfigurationError: it is empty, too long, no text, or has blanks around it, quotes or control characters in it.
    """
    if not isinstance(name, str) or not name or name != name.strip():
        raise ConfigurationError(f"{place}: expected {what} to be a name without blanks around it, found {name!r}")
    if len(name) > _LONGEST or '"' in name or not name.isprintable():
        raise ConfigurationError(
            f"{place}: expected {what} to be a name of at most {_LONGEST} printable characters without quotes, "
            f"found {name!r}"
        )
    return name


def check_table(table: object, place: str) -> str:
    """Gives `table` if it reads as `table` or `schema.table`.

    Raises:
        ConfigurationError: it reads as neither.
    """
    name = check_name(table, "the table", place)
    parts = name.split(".")
    if len(parts) > 2:  # noqa: PLR2004 (schema and table)
        raise ConfigurationError(f"{place}: expected the table as table or schema.table, found {name!r}")
    for part in parts:
        check_name(part, "each part of the table's name", place)
    return name


def split_table(table: str) -> tuple[str | None, str]:
    """Gives the schema, or None where none is named, and the table of a declared table name."""
    schema, _, name = table.rpartition(".")
    return (schema or None, name)


def column_names(key: str | Iterable[str], what: str, place: str) -> tuple[str, ...]:
    """Gives one or several declared column names as a tuple.

    Raises:
        ConfigurationError: there is none, one is no name, or one stands twice.
    """
    names = (key,) if isinstance(key, str) else tuple(key)
    if not names:
        raise ConfigurationError(f"{place}: expected at least one column as {what}, found none")
    for name in names:
        check_name(name, what, place)
    if len(set(names)) != len(names):
        raise ConfigurationError(f"{place}: {what} names a column twice: {', '.join(names)}")
    return names
