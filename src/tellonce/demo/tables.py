"""The five departments' tables, one definition for PostgreSQL and SQLite, and how they are made and filled.

They differ as the tables of grown systems do: pinyin initials, dates as eight digits, codes for words, a name column of
30 bytes, columns that no other department has any business with.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Engine,
    Identity,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    insert,
    text,
)

__all__ = ["DEPARTMENTS", "FUND_NAME_BYTES", "Row", "create_and_fill", "tables_of"]

Row = Mapping[str, str | int | date | None]
"""One row by column."""

FUND_NAME_BYTES = 30
"""What the housing fund's name column holds, as an old database in a two-byte character set left it."""

# SQLite counts rows by itself only in a column that is declared INTEGER.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")
_NOW = text("CURRENT_TIMESTAMP")
# Far above the numbers that are filled in, so that a row inserted later never meets one of them.
_FIRST_OWN_NUMBER = 7_000_001


def _key(name: str) -> Column[int]:
    return Column(name, _NUMBER, Identity(start=_FIRST_OWN_NUMBER), primary_key=True)


def _public_security() -> MetaData:
    metadata = MetaData()
    Table(
        "resident",
        metadata,
        Column("resident_id", _NUMBER, primary_key=True, autoincrement=False),
        Column("id_number", String(18), nullable=False, unique=True),
        Column("name", String(150), nullable=False),
        Column("sex_code", String(1), nullable=False),
        Column("birth_date", Date, nullable=False),
        Column("death_flag", String(1), nullable=False, server_default="0"),
        Column("address", Text, nullable=False),
        Column("district_code", String(6), nullable=False),
        Column("moved_on", Date),
        Column("phone", String(20)),
        Column("updated_at", DateTime, nullable=False, server_default=_NOW),
    )
    Table(
        "id_history",
        metadata,
        _key("history_id"),
        Column("resident_id", _NUMBER, nullable=False, index=True),
        Column("id_number", String(18), nullable=False),
        Column("replaced_on", Date, nullable=False),
    )
    Table(
        "marital_register",
        metadata,
        _key("entry_id"),
        Column("certificate", String(40), nullable=False, unique=True),
        Column("husband_number", String(18), nullable=False),
        Column("wife_number", String(18), nullable=False),
        Column("since", Date, nullable=False),
        Column("state", String(1), nullable=False),
        Column("withdrawn", String(1), nullable=False, server_default="0"),
    )
    return metadata


def _civil_affairs() -> MetaData:
    metadata = MetaData()
    Table(
        "marriage",
        metadata,
        Column("marriage_id", _NUMBER, primary_key=True, autoincrement=False),
        Column("certificate_number", String(40), nullable=False, unique=True),
        Column("spouse_a_id_number", String(18), nullable=False),
        Column("spouse_b_id_number", String(18), nullable=False),
        Column("registered_on", Date, nullable=False),
        Column("status", String(2), nullable=False),
        Column("registrar", String(20), nullable=False, server_default="window 1"),
    )
    Table(
        "party_file",
        metadata,
        Column("file_no", String(20), primary_key=True),
        Column("card_no", String(18), nullable=False, index=True),
        Column("party_name", String(100), nullable=False),
        Column("gender", String(1), nullable=False),
        Column("born", Date, nullable=False),
        Column("living", SmallInteger, nullable=False, server_default="1"),
        Column("filed_on", Date, nullable=False),
    )
    return metadata


def _provident_fund() -> MetaData:
    metadata = MetaData()
    Table(
        "fund_account",
        metadata,
        Column("zhbh", String(20), primary_key=True),
        Column("gmsfhm", String(18), nullable=False, index=True),
        Column("xm", String(FUND_NAME_BYTES), nullable=False),
        Column("csrq", String(8), nullable=False),
        Column("xb", String(1), nullable=False),
        Column("swbz", String(1), nullable=False, server_default="0"),
        Column("zhzt", String(1), nullable=False, server_default="0"),
        Column("zxbz", String(1), nullable=False, server_default="0"),
        Column("dwmc", String(80)),
        Column("zhye_fen", _NUMBER, nullable=False, server_default="0"),
        Column("khrq", String(8), nullable=False),
        Column("gxsj", DateTime, nullable=False, server_default=_NOW),
        CheckConstraint(f"octet_length(xm) <= {FUND_NAME_BYTES}", name="xm_bytes").ddl_if(dialect="postgresql"),
        CheckConstraint(f"length(CAST(xm AS BLOB)) <= {FUND_NAME_BYTES}", name="xm_bytes").ddl_if(dialect="sqlite"),
    )
    return metadata


def _social_security() -> MetaData:
    metadata = MetaData()
    Table(
        "insured_person",
        metadata,
        _key("ryid"),
        Column("sfzhm", String(18), nullable=False, unique=True),
        Column("xm", String(100), nullable=False),
        Column("jzdz", String(300), nullable=False),
        Column("qhdm", String(6), nullable=False),
        # Empty for who never moved: the column was never allowed to be null.
        Column("qrrq", String(8), nullable=False, server_default=""),
        Column("cbzt", String(1), nullable=False, server_default="0"),
        Column("jfys", Integer, nullable=False, server_default="0"),
        Column("gxsj", DateTime, nullable=False, server_default=_NOW),
    )
    Table(
        "spouse_register",
        metadata,
        Column("zsh", String(40), primary_key=True),
        Column("jf_sfzhm", String(18), nullable=False),
        Column("yf_sfzhm", String(18), nullable=False),
        Column("djrq", String(8), nullable=False),
        Column("hyzk", String(2), nullable=False),
        Column("bz", Text),
    )
    return metadata


def _healthcare() -> MetaData:
    metadata = MetaData()
    Table(
        "patient_index",
        metadata,
        _key("pid"),
        Column("id_card_no", String(18), nullable=False, index=True),
        Column("patient_name", String(100), nullable=False),
        Column("gender", String(1), nullable=False),
        Column("dob", Date, nullable=False),
        Column("deceased", String(1), nullable=False, server_default="N"),
        Column("voided", String(1), nullable=False, server_default="N"),
        Column("blood_group", String(3)),
        Column("allergy_note", Text),
        Column("last_visit", Date),
    )
    return metadata


_METADATA: Mapping[str, MetaData] = {
    "public-security": _public_security(),
    "civil-affairs": _civil_affairs(),
    "provident-fund": _provident_fund(),
    "social-security": _social_security(),
    "healthcare": _healthcare(),
}

DEPARTMENTS: tuple[str, ...] = tuple(_METADATA)
"""Slugs of the city's departments; each has its own database."""


def tables_of(department: str) -> Mapping[str, Table]:
    """The tables of one department by name."""
    return dict(_METADATA[department].tables)


def create_and_fill(engine: Engine, department: str, rows: Mapping[str, Sequence[Row]]) -> None:
    """Make the department's tables in an empty database and fill them, in one transaction."""
    with engine.begin() as connection:
        _METADATA[department].create_all(connection)
        for name, table in tables_of(department).items():
            if filling := rows.get(name):
                connection.execute(insert(table), list(filling))
