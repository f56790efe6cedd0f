"""Social security registers every resident where they live, and knows who is married to whom."""

from tellonce import (
    Binding,
    Column,
    candidate,
    codes,
    current,
    from_15_digits,
    identifier,
    mirror,
    previous,
    text,
    yyyymmdd,
)

insured_person = Binding(
    view="citizen.residence",
    table="insured_person",
    match=[current("id_number"), previous("id_number"), candidate("id_number", from_15_digits)],
    columns={
        "id_number": Column("sfzhm", identifier(max_chars=18)),
        "name": Column("xm", text(max_chars=100)),
        "address": Column("jzdz", text(max_chars=300)),
        "district_code": Column("qhdm", text(max_chars=6)),
        "moved_on": Column("qrrq", yyyymmdd(null="")),
    },
    scope=mirror(),
    on_delete="keep",
)

spouses = Binding(
    view="marriage.status",
    table="spouse_register",
    match=[current("certificate_number")],
    columns={
        "certificate_number": Column("zsh", text(max_chars=40)),
        "spouse_a_id_number": "jf_sfzhm",
        "spouse_b_id_number": "yf_sfzhm",
        "registered_on": Column("djrq", yyyymmdd),
        "status": Column("hyzk", codes({"20": "married", "40": "divorced"})),
    },
    scope=mirror(),
    on_delete="delete",
)
