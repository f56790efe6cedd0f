"""Civil affairs is the authority for marriages: the marriage registry."""

from tellonce import Column, Source, codes

marriage = Source(
    record_type="marriage",
    table="marriage",
    key="marriage_id",
    columns={
        "certificate_number": "certificate_number",
        "spouse_a_id_number": "spouse_a_id_number",
        "spouse_b_id_number": "spouse_b_id_number",
        "registered_on": "registered_on",
        "status": Column("status", codes({"结婚": "married", "离婚": "divorced"})),
    },
)
