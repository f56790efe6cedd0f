"""Public security keeps the marital status in the household register, as civil affairs publishes it."""

from tellonce import Binding, Column, codes, current, mirror

marital_register = Binding(
    view="marriage.status",
    table="marital_register",
    match=[current("certificate_number")],
    columns={
        "certificate_number": "certificate",
        "spouse_a_id_number": "husband_number",
        "spouse_b_id_number": "wife_number",
        "registered_on": "since",
        "status": Column("state", codes({"M": "married", "D": "divorced"})),
    },
    scope=mirror(),
    on_delete="mark",
    mark={"withdrawn": "1"},
)
