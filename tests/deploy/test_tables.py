"""The tables that the containers' databases begin with are the demonstration city's."""

import re
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from tellonce.demo.tables import DEPARTMENTS, tables_of

FOLDER = Path(__file__).parents[2] / "deploy" / "postgres"


def script_of(department: str) -> str:
    """The statements that make a department's tables in PostgreSQL."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own
    statements: list[str] = []
    for table in tables_of(department).values():
        statements.append(str(CreateTable(table).compile(dialect=dialect)))
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        statements += [str(CreateIndex(index).compile(dialect=dialect)) for index in indexes]
    without_ends = [re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).strip() for text in statements]
    return "".join(f"{text};\n" for text in without_ends)


@pytest.mark.parametrize("department", DEPARTMENTS)
def test_script_makes_the_citys_tables(department: str) -> None:
    """A container's department has the same tables as the demonstration's."""
    assert (FOLDER / f"{department}.sql").read_text(encoding="utf-8") == script_of(department)
