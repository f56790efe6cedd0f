"""What the authorities hold, read with plain SQL."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from tellonce.demo.check.results import CheckError

__all__ = ["Cell", "Couple", "Person", "Row", "read_couples", "read_people", "read_rows"]

Cell = str | int | date | None
Row = Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Person:
    """A resident in the household register."""

    key: str
    number: str
    former: tuple[str, ...]
    name: str
    male: bool
    born: date
    dead: bool
    address: str
    district: str
    moved: date | None


@dataclass(frozen=True, slots=True)
class Couple:
    """A marriage in the registry."""

    key: str
    number: str
    """The certificate's."""
    first: str
    second: str
    since: date
    divorced: bool


def read_rows(url: str, department: str, query: str) -> list[Row]:
    """The rows of a query at one department's database, by column.

    Raises:
        CheckError: the database is not there or the query fails.
    """
    try:
        parsed = make_url(url)
        # SQLite would quietly make an empty database where there is none.
        if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
            msg = f"expected the database of {department} at {parsed.database}, found no such file"
            raise CheckError(msg)
        engine = create_engine(parsed)
        try:
            with engine.connect() as connection:
                return [dict(row) for row in connection.execute(text(query)).mappings()]
        finally:
            engine.dispose()
    except (DBAPIError, ArgumentError) as error:
        msg = f"expected the database of {department} to answer with its own tables, found that it does not; start it"
        raise CheckError(msg) from error


def _day(cell: Cell) -> date:
    return cell if isinstance(cell, date) else date.fromisoformat(str(cell))


def read_people(url: str) -> list[Person]:
    """The household register, each resident with the numbers held before, oldest first.

    Raises:
        CheckError: the database or its tables cannot be read.
    """
    former: dict[str, list[str]] = defaultdict(list)
    for row in read_rows(url, "public-security", "SELECT resident_id, id_number FROM id_history ORDER BY history_id"):
        former[str(row["resident_id"])].append(str(row["id_number"]))
    return [
        Person(
            key=str(row["resident_id"]),
            number=str(row["id_number"]),
            former=tuple(former[str(row["resident_id"])]),
            name=str(row["name"]),
            male=row["sex_code"] == "1",
            born=_day(row["birth_date"]),
            dead=row["death_flag"] == "1",
            address=str(row["address"]),
            district=str(row["district_code"]),
            moved=None if row["moved_on"] is None else _day(row["moved_on"]),
        )
        for row in read_rows(url, "public-security", "SELECT * FROM resident")
    ]


def read_couples(url: str) -> list[Couple]:
    """The marriage registry.

    Raises:
        CheckError: the database or its table cannot be read.
    """
    return [
        Couple(
            key=str(row["marriage_id"]),
            number=str(row["certificate_number"]),
            first=str(row["spouse_a_id_number"]),
            second=str(row["spouse_b_id_number"]),
            since=_day(row["registered_on"]),
            divorced=row["status"] == "离婚",
        )
        for row in read_rows(url, "civil-affairs", "SELECT * FROM marriage")
    ]
