"""Healthcare recognises insured persons at admission; its patient index holds every resident."""

from tellonce import Binding, Column, candidate, codes, current, from_15_digits, identifier, mirror, previous, text

patient = Binding(
    view="citizen.identity",
    table="patient_index",
    match=[current("id_number"), previous("id_number"), candidate("id_number", from_15_digits)],
    columns={
        "id_number": Column("id_card_no", identifier(max_chars=18)),
        "name": Column("patient_name", text(max_chars=100)),
        "sex": Column("gender", codes({"M": "male", "F": "female"})),
        "birth_date": "dob",
        "life_status": Column("deceased", codes({"N": "alive", "Y": "dead"})),
    },
    scope=mirror(),
    # A medical history is never thrown away.
    on_delete="mark",
    mark={"voided": "Y"},
)
