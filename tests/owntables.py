"""Our own tables in a test's database: migrated once in each process, and made by the same statements from then on.

Whether the migrations are right is the matter of tests/storage/test_own_schema.py; a city of the contract suite needs
three databases, and Alembic takes longer for them than the databases do.
"""

import re
from functools import cache
from typing import Any

from sqlalchemy import Engine, event

from tellonce.storage.database import writing
from tellonce.storage.own_schema import create_own_schema

__all__ = ["make_own_tables"]

_ASKS = re.compile(r"\s*(SELECT|PRAGMA|SHOW|BEGIN)\b", re.IGNORECASE)


@cache
def _statements(_dialect: str) -> list[tuple[str, Any]]:
    """What the migrations executed, with its parameters; empty until they have been run on this kind of database."""
    return []


def make_own_tables(engine: Engine) -> None:
    """Do in an empty database what `create_own_schema` does."""
    known = _statements(engine.dialect.name)
    if known:
        with writing(engine) as connection:
            for statement, parameters in known:
                connection.exec_driver_sql(statement, parameters or None)
        return
    made: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, _context: object, _many: object) -> None:
        if not _ASKS.match(statement):
            made.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        create_own_schema(engine)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    known.extend(made)
