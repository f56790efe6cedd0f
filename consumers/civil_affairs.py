"""Civil affairs keeps the parties of registered marriages identified; it has a file only for who married here."""

from tellonce import Binding, Column, candidate, codes, current, existing, from_15_digits, identifier, previous, text

party = Binding(
    view="citizen.identity",
    table="party_file",
    match=[current("id_number"), previous("id_number"), candidate("id_number", from_15_digits)],
    columns={
        "id_number": Column("card_no", identifier(max_chars=18)),
        "name": Column("party_name", text(max_chars=100)),
        "sex": Column("gender", codes({"男": "male", "女": "female"})),
        "birth_date": "born",
        "life_status": Column("living", codes({1: "alive", 0: "dead"})),
    },
    scope=existing(),
    on_delete="keep",
)
