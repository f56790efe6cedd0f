"""What a record type's schema file may say."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrocity import DATE, INSTANT, SEX, TEXTS, City, field, match_only, money, optional
from tellonce.avro.jsonvalue import Json, JsonObject
from tellonce.avro.recordschema import load_record_schemas
from tellonce.model.errors import ConfigurationError

HEAD = '"type": "record", "name": "Citizen", "namespace": "tellonce.citizen"'
DECIMAL = {"type": st.sampled_from(["bytes", "fixed"]), "logicalType": st.just("decimal"), "name": st.just("Sum")}
FIXED: Json = {"type": "fixed", "name": "Empty", "size": 0}


def test_every_allowed_type_is_read_with_its_kind(city: City) -> None:
    """Each allowed Avro type has one kind, and a union with null makes it nullable."""
    city.write(
        [
            field("text"),
            field("small", "int"),
            field("large", "long"),
            field("flag", "boolean"),
            field("raw", "bytes"),
            field("sex", SEX),
            optional("amount", money(12, 3)),
            field("day", DATE),
            field("moment", INSTANT),
            field("checksum", {"type": "fixed", "name": "Checksum", "size": 8}),
            optional("exact", {**money(9, 2), "type": "fixed", "name": "Exact", "size": 4}),
            optional("checksum_before", "Checksum"),
            field("names", TEXTS),
            match_only(),
        ]
    )

    fields = load_record_schemas(city.schemas, "citizen")[0].fields

    assert [(one.spec.name, one.spec.kind.value, one.spec.nullable, one.spec.match_only) for one in fields] == [
        ("text", "text", False, False),
        ("small", "integer", False, False),
        ("large", "integer", False, False),
        ("flag", "boolean", False, False),
        ("raw", "bytes", False, False),
        ("sex", "text", False, False),
        ("amount", "decimal", True, False),
        ("day", "date", False, False),
        ("moment", "instant", False, False),
        ("checksum", "bytes", False, False),
        ("exact", "decimal", True, False),
        ("checksum_before", "bytes", True, False),
        ("names", "text_list", False, False),
        ("former_id_numbers", "text_list", False, True),
    ]
    assert (fields[6].spec.precision, fields[6].spec.scale) == (12, 3)
    assert (fields[10].spec.precision, fields[10].spec.scale) == (9, 2)
    assert fields[5].spec.symbols == ("male", "female")


def test_versions_are_read_oldest_first(city: City) -> None:
    """Versions come in the order of their numbers."""
    city.write([field("id_number"), optional("name")], version=2)
    city.write([field("id_number")], version=1)

    assert [record.version for record in load_record_schemas(city.schemas, "citizen")] == [1, 2]


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("double", "use decimal"),
        ("float", "use decimal"),
        ("null", "drop the field"),
        ("tellonce.citizen.Citizen", "recursive"),
        ("Citizen", "recursive"),
        (["null", "Citizen"], "recursive"),
        ({"type": "array", "items": "Citizen"}, "array<string>"),
        ({"type": "record", "name": "Part", "fields": []}, "nested"),
        ({"type": "array", "items": "null"}, "zero width"),
        ({"type": "array", "items": FIXED}, "zero width"),
        ({"type": "array", "items": {"type": "record", "name": "Nothing", "fields": []}}, "zero width"),
        ({"type": "array", "items": "long"}, "array<string>"),
        ({"type": "map", "values": "string"}, "one field for each key"),
        (FIXED, "1 to 1024 bytes"),
        (["string", "null"], "null first"),
        (["null", "string", "int"], "null first"),
        (["null"], "null first"),
        (["null", "null"], "null first"),
        (["null", ["null", "string"]], "null first"),
        ({"type": "long", "logicalType": "timestamp-micros"}, "timestamp-millis"),
        ({"type": "string", "logicalType": "uuid"}, "without a logical type"),
        ({"type": "int", "logicalType": "time-millis"}, "use string"),
        ({"type": "string", "logicalType": "date"}, "date on string"),
        (money(0, 0), "precision of 1 to"),
        (money(5, 6), "scale must be less than or equal to"),
        ({"type": "bytes", "logicalType": "decimal"}, "precision of 1 to"),
        ({**money(5, 1), "scale": ""}, "scale up to it"),
        ({**money(5, 1), "precision": True}, "precision of 1 to"),
        (money(1001, 0), "precision of 1 to"),
        ({"type": "bytes", "logicalType": "decimal", "precision": "9"}, "must be a positive integer"),
        ({"type": "enum", "name": "Sex", "symbols": []}, "an enum with symbols"),
        ({"type": "enum", "name": "Sex", "symbols": "mf"}, "a list of names"),
        ({"type": "enum", "name": "Sex", "symbols": ["m", "m"]}, "must be unique"),
        ({"type": "enum", "name": "Sex", "symbols": ["1"]}, "must match the regular expression"),
        ({"type": "enum", "name": "Se x", "symbols": ["m"]}, "a type's name of letters"),
        ({"type": "enum", "symbols": ["m"]}, '"name" is a required field'),
        ({"type": "enum", "name": "Sex", "symbols": ["m"], "default": "f"}, "must be in symbols list"),
        ({"type": "fixed", "name": "Sum", "size": 1025}, "1 to 1024 bytes"),
        ({"type": "fixed", "name": "Sum", "size": "8"}, "1 to 1024 bytes"),
        ({"type": "fixed", "name": "Sum", "size": 12, "logicalType": "duration"}, "use long"),
        ({**money(5, 1), "type": "fixed", "name": "Sum", "size": 2}, "doesn't fit into array of length 2"),
        ("unheard_of", "the type tellonce.citizen.unheard_of, which nothing declares"),
        ({"type": "unheard_of"}, "a type that Avro does not have"),
        ({"logicalType": "date"}, "a part without 'type'"),
        (7, "no schema at all"),
    ],
)
def test_an_unshareable_type_is_refused_with_file_field_and_advice(city: City, declared: Json, said: str) -> None:
    """A type outside the list is refused before anything is published, saying where it stands and what to write."""
    file = city.write([field("id_number"), field("spare", declared)])
    line = next(number for number, text in enumerate(file.read_text().splitlines(), 1) if '"spare"' in text)

    with pytest.raises(ConfigurationError) as caught:
        load_record_schemas(city.schemas, "citizen")

    assert str(caught.value).startswith(f"{file}:{line}: field spare: ")
    assert said in str(caught.value)
    assert caught.value.facts == {"file": str(file), "field": "spare"}


NAMES = ["Citizen", "a.b", "record", "enum", "fixed", "array", "map", "decimal", "date", "null", "string", "bytes"]
PARTS = ["type", "name", "namespace", "fields", "symbols", "items", "size", "default", "logicalType", "precision"]
WORDS = st.sampled_from([*NAMES, *PARTS])
ANY_JSON: st.SearchStrategy[Json] = st.recursive(
    st.one_of(WORDS, st.none(), st.booleans(), st.integers(-2, 2000), st.just(10**400), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=6)),
    max_leaves=12,
)


@settings(max_examples=3 * settings().max_examples, deadline=None)
@given(
    st.one_of(
        ANY_JSON,
        st.fixed_dictionaries({"type": WORDS, "name": WORDS}, optional={"size": ANY_JSON, "symbols": ANY_JSON}),
        st.fixed_dictionaries({**DECIMAL, "precision": ANY_JSON}, optional={"scale": ANY_JSON, "size": ANY_JSON}),
    ),
    st.fixed_dictionaries({}, optional={"default": ANY_JSON, "aliases": ANY_JSON, "match_only": ANY_JSON}),
)
def test_any_json_as_a_field_is_read_or_refused_in_one_sentence(declared: Json, properties: JsonObject) -> None:
    """Whatever a file declares, a service starts by it or says which file and field to correct, and never dies."""
    with TemporaryDirectory() as folder:
        city = City(Path(folder))
        file = city.write([field("id_number"), field("spare", declared, **properties)])
        said = ""
        try:
            load_record_schemas(city.schemas, "citizen")
        except ConfigurationError as error:
            said = str(error)

    assert not said or said.startswith(f"{file}:")
    assert not said or ": field spare: expected " in said
    assert "\n" not in said


@pytest.mark.parametrize("declared", ["string", ["null", TEXTS], "int"])
def test_match_only_is_for_arrays_of_text_that_are_never_null(city: City, declared: Json) -> None:
    """A match-only field is a plain array of strings and nothing else."""
    city.write([field("id_number"), field("former", declared, match_only=True)])

    with pytest.raises(ConfigurationError, match="match_only field to be an array"):
        load_record_schemas(city.schemas, "citizen")


@pytest.mark.parametrize(
    ("declared", "default"),
    [
        ("string", 1),
        ("string", None),
        ("int", 2**31),
        ("int", True),
        ("boolean", 0),
        ("bytes", "汉"),
        (SEX, "other"),
        (DATE, 10**9),
        (money(3, 1), "\x7f\xff\xff"),
        (["null", "string"], "x"),
        (TEXTS, ["a", 1]),
        ({"type": "fixed", "name": "Sum", "size": 2}, "\x00"),
    ],
)
def test_a_default_of_another_type_is_refused(city: City, declared: Json, default: Json) -> None:
    """A default that its own type cannot hold would turn up as damage in old events."""
    city.write([field("id_number"), field("spare", declared, default=default)])

    with pytest.raises(ConfigurationError, match=r"field spare: expected .*default"):
        load_record_schemas(city.schemas, "citizen")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"type": "record",\n "name" 1}', ":2:9: expected JSON"),
        ('{"type": "record", "type": "record"}', "property type twice"),
        ("[" + "9" * 5000 + "]", "too many digits"),
        ("[]", "another kind of JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"type": "record", "name": "citizen", "namespace": "tellonce.citizen"}', '"name": "Citizen"'),
        ('{"type": "record", "name": "Citizen", "namespace": "other"}', '"namespace": "tellonce.citizen"'),
        ('{"type": "record", "name": "Citizen", "namespace": "tellonce.citizen"}', "at least one field"),
        (
            '{"type": "record", "name": "Citizen", "namespace": "tellonce.citizen", "fields": [1]}',
            "must be a dict, not int",
        ),
        ('{"type": ["record"]}', '"type": "record", found list'),
        (f'{{{HEAD}, "fields": [], "deep": {"[" * 40}{"]" * 40}}}', "at most 32 levels"),
        (f'{{{HEAD}, "fields": 1}}', "no schema at all"),
        (f'{{{HEAD}, "fields": [], "__fastavro_parsed": true}}', "found __fastavro_parsed; remove"),
        (f'{{{HEAD}, "fields": [], "doc": "{"x" * 1_000_000}"}}', "at most 1000000 bytes"),
    ],
)
def test_a_file_that_is_no_such_record_is_refused(city: City, text: str, said: str) -> None:
    """A malformed file gives one sentence that says where it is."""
    file = city.write_text(text)

    with pytest.raises(ConfigurationError) as caught:
        load_record_schemas(city.schemas, "citizen")

    assert str(caught.value).startswith(str(file))
    assert said in str(caught.value)


def test_a_field_twice_is_refused(city: City) -> None:
    """Two fields of one name would leave a reader's value to chance."""
    city.write([field("name"), field("name", "int")])

    with pytest.raises(ConfigurationError, match="field name: expected each field once"):
        load_record_schemas(city.schemas, "citizen")


def test_versions_without_a_gap_are_demanded(city: City) -> None:
    """A missing version is a published file that someone removed."""
    city.write([field("name")], version=1)
    city.write([field("name")], version=3)

    with pytest.raises(ConfigurationError, match=r"v002\.avsc"):
        load_record_schemas(city.schemas, "citizen")


@pytest.mark.parametrize("name", ["v1.avsc", "v0001.avsc", "first.avsc"])
def test_a_file_by_another_name_is_refused(city: City, name: str) -> None:
    """A schema that nobody reads because of its name would look published."""
    file = city.write([field("name")])
    (file.parent / name).write_text(json.dumps({}), encoding="utf-8")

    with pytest.raises(ConfigurationError, match=r"such as v001\.avsc"):
        load_record_schemas(city.schemas, "citizen")


def test_a_missing_schema_says_which_file_to_write(city: City) -> None:
    """A record type without a schema names the file that is expected."""
    with pytest.raises(ConfigurationError, match=r"citizen/v001\.avsc, found none; write it"):
        load_record_schemas(city.schemas, "citizen")
