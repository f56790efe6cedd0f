"""The wire schema of a view, as derived from its record type and the topology."""

import fastavro
import pytest

from avrocity import DATE, SEX, City, field, match_only, optional
from tellonce.avro.derive import derive_envelope, row_fields
from tellonce.avro.fieldshape import Refused
from tellonce.avro.jsonvalue import JsonObject
from tellonce.avro.recordschema import load_record_schemas
from tellonce.model.errors import ConfigurationError

WIRE: JsonObject = {
    "type": "record",
    "name": "MaritalStatusChange",
    "namespace": "tellonce.citizen",
    "fields": [
        {
            "name": "before",
            "type": [
                "null",
                {
                    "type": "record",
                    "name": "MaritalStatusRow",
                    "namespace": "tellonce.citizen",
                    "fields": [
                        {"name": "id_number", "type": "string"},
                        {
                            "name": "former_id_numbers",
                            "type": {"type": "array", "items": "string"},
                            "match_only": True,
                        },
                        {"name": "born", "type": ["null", {"type": "int", "logicalType": "date"}], "default": None},
                    ],
                },
            ],
            "default": None,
        },
        {"name": "after", "type": ["null", "tellonce.citizen.MaritalStatusRow"], "default": None},
        {
            "name": "source",
            "type": {
                "type": "record",
                "name": "Source",
                "namespace": "tellonce.citizen",
                "fields": [
                    {"name": "department", "type": "string"},
                    {"name": "record_type", "type": "string"},
                    {"name": "view", "type": "string"},
                    {"name": "record_key", "type": "string"},
                    {"name": "epoch", "type": "long"},
                    {"name": "version", "type": "long"},
                    {"name": "sequence", "type": "long"},
                    {"name": "origin", "type": "string"},
                    {"name": "ts_ms", "type": "long"},
                ],
            },
        },
        {"name": "op", "type": "string"},
        {"name": "ts_ms", "type": "long"},
    ],
}


def derived(city: City, short: str = "identity", *names: str) -> JsonObject:
    topology = city.topology(1, **{short: names})
    return derive_envelope(load_record_schemas(city.schemas, "citizen")[-1], topology.view(f"citizen.{short}"))


def test_the_envelope_is_the_one_of_the_wire_format(city: City) -> None:
    """The wire format is for ever: Debezium's names in this order, the view's fields in the order of the file."""
    city.write([field("id_number", doc="18 digits"), match_only(), field("phone"), optional("born", DATE)])

    assert derived(city, "marital_status", "born", "former_id_numbers*", "id_number") == WIRE


def test_reordering_the_topology_changes_nothing(city: City) -> None:
    """Lawyers may reorder a view's fields without changing a byte."""
    city.write([field("id_number"), field("name"), match_only()])

    one = derived(city, "identity", "id_number", "name", "former_id_numbers*")
    other = derived(city, "identity", "former_id_numbers*", "name", "id_number")

    assert one == other


@pytest.mark.parametrize("names", [("sex", "born_as"), ("born_as", "sex"), ("born_as",), ("sex",)])
def test_an_enum_is_spelled_out_where_the_view_first_meets_it(city: City, names: tuple[str, ...]) -> None:
    """A view that leaves out the field that declares an enum is still a whole schema to any Avro reader."""
    city.write([field("id_number"), field("sex", SEX), optional("born_as", "Sex")])

    envelope = derived(city, "identity", *names)

    fastavro.parse_schema(envelope)
    assert all(one.spec.symbols == ("male", "female") for one in row_fields(envelope))


def test_fields_read_back_are_those_declared(city: City) -> None:
    """The lock's copy of a schema says of each field what the file said."""
    city.write([field("id_number"), field("sex", SEX), match_only(), optional("born", DATE)])
    declared = load_record_schemas(city.schemas, "citizen")[0].fields

    assert row_fields(derived(city, "identity", "id_number", "sex", "former_id_numbers*", "born")) == declared


def test_a_view_of_an_unknown_field_says_which_was_meant(city: City) -> None:
    """A field that the schema lacks is refused with the file, the field and the nearest name."""
    file = city.write([field("id_number"), field("name")])

    with pytest.raises(
        ConfigurationError, match=r"names a field that the schema does not declare; did you mean id_number"
    ) as caught:
        derived(city, "identity", "id_numbr")

    assert caught.value.facts == {"file": str(file), "field": "id_numbr", "view": "citizen.identity"}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("former_id_numbers",), "list it under match_only"),
        (("id_number", "name*"), "expected a match_only field, found an ordinary one"),
    ],
)
def test_schema_and_topology_must_agree_on_match_only(city: City, names: tuple[str, ...], said: str) -> None:
    """A field that only finds rows is marked so in both, or digests would differ between departments."""
    city.write([field("id_number"), field("name"), match_only()])

    with pytest.raises(ConfigurationError, match=said):
        derived(city, "identity", *names)


def test_an_enum_may_not_take_a_name_of_the_envelope(city: City) -> None:
    """Two definitions of one Avro name make a schema that no reader takes."""
    city.write([field("id_number"), field("sex", {**SEX, "name": "Source"})])

    with pytest.raises(ConfigurationError, match="which the envelope uses"):
        derived(city, "identity", "id_number", "sex")


def test_another_envelope_is_refused(city: City) -> None:
    """The codec is compiled for one envelope; a schema with another must not get an id."""
    city.write([field("id_number")])
    envelope = derived(city, "identity", "id_number")
    fields = envelope["fields"]
    assert isinstance(fields, list)

    with pytest.raises(Refused, match="another envelope"):
        row_fields({**envelope, "fields": fields[:-1]})
    with pytest.raises(Refused, match="begins with before"):
        row_fields({**envelope, "fields": fields[1:]})
