"""The departments' tables in both stores."""

from collections.abc import Callable, Mapping

import pytest
from sqlalchemy import Engine, insert
from sqlalchemy.exc import DBAPIError

from tellonce.demo.generation import City
from tellonce.demo.tables import DEPARTMENTS, Row, tables_of


def insured(**columns: str) -> Row:
    """A row for the social security mirror with what an applier sets."""
    return {"sfzhm": "110105194912310021", "xm": "某", "jzdz": "路1号", "qhdm": "990101", "qrrq": ""} | columns


def account(**columns: str) -> Row:
    """A row for the housing fund."""
    row = {"zhbh": "GJJ1", "gmsfhm": "110105491231002", "xm": "某", "csrq": "19491231", "xb": "2", "khrq": "20010115"}
    return row | columns


def test_every_department_has_all_its_rows(
    city: City, filled: Mapping[str, Engine], rows_of: Callable[[Engine, str], list[dict[str, object]]]
) -> None:
    """Each store holds exactly the rows that were generated."""
    counted = {
        (department, table): len(rows_of(filled[department], table))
        for department in DEPARTMENTS
        for table in tables_of(department)
    }

    expected = {
        (department, table): len(city.rows[department][table])
        for department in DEPARTMENTS
        for table in tables_of(department)
    }
    assert counted == expected


def test_row_inserted_later_gets_a_number_of_its_own(
    filled: Mapping[str, Engine], rows_of: Callable[[Engine, str], list[dict[str, object]]]
) -> None:
    """A mirror inserts rows without their surrogate key and never meets a row that was filled in."""
    with filled["social-security"].begin() as connection:
        connection.execute(insert(tables_of("social-security")["insured_person"]).values(insured()))

    keys = [row["ryid"] for row in rows_of(filled["social-security"], "insured_person")]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("name", ["阿卜杜热合曼·买买提依明", "a" * 31])
def test_fund_refuses_a_name_above_thirty_bytes(opened: Mapping[str, Engine], city: City, name: str) -> None:
    """The column counts bytes, in either store, so what does not fit is refused and not cut."""
    city.create_databases(opened)
    table = tables_of("provident-fund")["fund_account"]

    with opened["provident-fund"].begin() as connection:
        connection.execute(insert(table).values(account(xm="十个字的名字刚好装得")))
    with pytest.raises(DBAPIError), opened["provident-fund"].begin() as connection:
        connection.execute(insert(table).values(account(zhbh="GJJ2", xm=name)))


def test_two_residents_cannot_hold_one_number(filled: Mapping[str, Engine], city: City) -> None:
    """The register's number is unique: a shared number lies in the past only."""
    first, second = city.rows["public-security"]["resident"][:2]
    table = tables_of("public-security")["resident"]

    with pytest.raises(DBAPIError), filled["public-security"].begin() as connection:
        connection.execute(
            table.update().where(table.c.resident_id == second["resident_id"]).values(id_number=first["id_number"])
        )
