"""A city of three residents, written out by hand: every department holds exactly what it ought to.

Wang is plain. Li died, and her name is too long for the fund. Zhao's 15-digit number is lost to the history and follows
from the one in force; his account at the fund is closed. Wang and Li were married and divorced.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from tellonce.demo.check import Ownership
from tellonce.demo.tables import Row

__all__ = ["LI_BEFORE", "OWNERSHIP", "ROWS", "WANG_BEFORE", "ZHAO_BEFORE"]

WANG, WANG_BEFORE = "110105195012311232", "110105501231123"
LI, LI_BEFORE, LI_NAME = "110105196001015686", "110105600101568", "阿卜杜热合曼·买买提依明"
ZHAO, ZHAO_BEFORE = "11010519700303341X", "110105700303341"
WANG_BORN, LI_BORN, ZHAO_BORN, WEDDING = date(1950, 12, 31), date(1960, 1, 1), date(1970, 3, 3), date(1990, 5, 6)


def rows(columns: str, *lines: Sequence[str | int | date | None]) -> list[Row]:
    """Rows written as lines below their columns' names."""
    return [dict(zip(columns.split(), line, strict=True)) for line in lines]


ROWS: Mapping[str, Mapping[str, Sequence[Row]]] = {
    "public-security": {
        "resident": rows(
            "resident_id id_number name sex_code birth_date death_flag address district_code moved_on",
            (1, WANG, "王一", "1", WANG_BORN, "0", "甲路1号", "990101", date(2020, 2, 3)),
            (2, LI, LI_NAME, "2", LI_BORN, "1", "乙路2号", "990102", None),
            (3, ZHAO, "赵三", "1", ZHAO_BORN, "0", "丙路3号", "990103", None),
        ),
        "id_history": rows(
            "resident_id id_number replaced_on", (1, WANG_BEFORE, date(2004, 1, 1)), (2, LI_BEFORE, date(2004, 1, 1))
        ),
        "marital_register": rows(
            "entry_id certificate husband_number wife_number since state", (1, "J1", WANG, LI, WEDDING, "D")
        ),
    },
    "civil-affairs": {
        "marriage": rows(
            "marriage_id certificate_number spouse_a_id_number spouse_b_id_number registered_on status",
            (9, "J1", WANG, LI, WEDDING, "离婚"),
        ),
        "party_file": rows(
            "file_no card_no party_name gender born living filed_on",
            ("P1", WANG, "王一", "男", WANG_BORN, 1, WEDDING),
            ("P2", LI, LI_NAME, "女", LI_BORN, 0, WEDDING),
        ),
    },
    "provident-fund": {
        "fund_account": rows(
            "zhbh gmsfhm xm csrq xb swbz zhzt khrq",
            ("A1", WANG, "王一", "19501231", "1", "0", "0", "20010101"),
            ("A2", LI, "阿卜杜热合曼", "19600101", "2", "1", "1", "20010101"),
            ("A3", ZHAO_BEFORE, "赵三儿", "19700303", "1", "0", "9", "20010101"),
        )
    },
    "social-security": {
        "insured_person": rows(
            "ryid sfzhm xm jzdz qhdm qrrq",
            (1, WANG, "王一", "甲路1号", "990101", "20200203"),
            (2, LI, LI_NAME, "乙路2号", "990102", ""),
            (3, ZHAO, "赵三", "丙路3号", "990103", ""),
            (7, "650121197501010014", "外人", "丁路4号", "990104", ""),
        ),
        "spouse_register": rows("zsh jf_sfzhm yf_sfzhm djrq hyzk", ("J1", WANG, LI, "19900506", "40")),
    },
    "healthcare": {
        "patient_index": rows(
            "pid id_card_no patient_name gender dob deceased",
            (1, WANG, "王一", "M", WANG_BORN, "N"),
            (2, LI, LI_NAME, "F", LI_BORN, "Y"),
            (3, ZHAO, "赵三", "M", ZHAO_BORN, "N"),
        )
    },
}


def owned(owners: Mapping[str, int], *, strangers: Sequence[str] = ()) -> Ownership:
    """Whose the rows of a department are, where none is undecidable."""
    return Ownership(owners=owners, undecidable=[], untouchable={}, strangers=strangers)


OWNERSHIP: Mapping[str, Ownership] = {
    "provident-fund": Ownership(
        owners={"A1": 1, "A2": 2, "A3": 3}, undecidable=[], untouchable={"A3": ZHAO_BEFORE}, strangers=[]
    ),
    "social-security": owned({"1": 1, "2": 2, "3": 3}, strangers=["7"]),
    "healthcare": owned({"1": 1, "2": 2, "3": 3}),
    "civil-affairs": owned({"P1": 1, "P2": 2}),
}
