"""The housing fund keeps the holders of its accounts identified; it never opens an account because a citizen exists.

Three in ten accounts still carry the 15-digit number with which they were opened.
"""

from tellonce import (
    Binding,
    Column,
    candidate,
    codes,
    current,
    existing,
    from_15_digits,
    identifier,
    previous,
    text,
    yyyymmdd,
)

account_holder = Binding(
    view="citizen.identity",
    table="fund_account",
    match=[current("id_number"), previous("id_number"), candidate("id_number", from_15_digits)],
    columns={
        "id_number": Column("gmsfhm", identifier(max_chars=18)),
        # Names of more than 30 bytes do not fit; the account keeps what it has, and the record stays listed.
        "name": Column("xm", text(max_bytes=30), else_keep=True),
        "birth_date": Column("csrq", yyyymmdd),
        "sex": Column("xb", codes({"1": "male", "2": "female"})),
        "life_status": Column("swbz", codes({"0": "alive", "1": "dead"})),
    },
    scope=existing(open="zhzt <> '9'"),
    on_delete="mark",
    mark={"zxbz": "1"},
)
