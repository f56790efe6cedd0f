"""Public security is the authority for citizens: the household register and its history of ID numbers."""

from tellonce import Column, Former, Source, codes

citizen = Source(
    record_type="citizen",
    table="resident",
    key="resident_id",
    columns={
        "id_number": "id_number",
        "name": "name",
        "sex": Column("sex_code", codes({"1": "male", "2": "female"})),
        "birth_date": "birth_date",
        "life_status": Column("death_flag", codes({"0": "alive", "1": "dead"})),
        "address": "address",
        "district_code": "district_code",
        "moved_on": "moved_on",
    },
    former={
        "former_id_numbers": Former(table="id_history", key="resident_id", column="id_number", order_by="history_id"),
    },
)
