"""Which changes of a published schema are refused, and what is said of each."""

import pytest

from avrocity import DATE, FIXED, INSTANT, SEX, SUBJECT, TEXTS, City, field, match_only, money, optional
from tellonce.avro.check import check_schemas
from tellonce.avro.compatibility import check_compatibility
from tellonce.avro.findings import Finding
from tellonce.avro.jsonvalue import Json, JsonObject

KEY = field("id_number")
MICROS: JsonObject = {"type": "long", "logicalType": "timestamp-micros"}
WITH_DEFAULT: JsonObject = {**SEX, "default": "male"}
THREE: JsonObject = {**SEX, "symbols": ["male", "female", "unknown"]}


def envelope(*fields: Json, name: str = "Identity", namespace: str = "tellonce.citizen") -> JsonObject:
    row: JsonObject = {"type": "record", "name": f"{name}Row", "namespace": namespace, "fields": list(fields)}
    return {
        "type": "record",
        "name": f"{name}Change",
        "namespace": namespace,
        "fields": [
            {"name": "before", "type": ["null", row], "default": None},
            {"name": "after", "type": ["null", f"{namespace}.{name}Row"], "default": None},
        ],
    }


def findings(*versions: JsonObject) -> tuple[Finding, ...]:
    return check_compatibility(SUBJECT, list(enumerate(versions, 1)))


@pytest.mark.parametrize(
    "newer",
    [
        envelope(KEY),
        envelope(KEY, optional("born", DATE)),
        envelope(KEY, field("status", default="")),
        envelope(optional("born", DATE), KEY),
        envelope(field("id_number", doc="18 digits")),
    ],
)
def test_allowed_changes_are_not_reported(newer: JsonObject) -> None:
    """A field with a default, another order and documentation break no reader."""
    assert findings(envelope(KEY), newer) == ()


def test_a_field_with_a_default_may_be_dropped() -> None:
    """What every reader can do without may go."""
    assert findings(envelope(KEY, optional("born", DATE)), envelope(KEY)) == ()


def test_an_enum_whose_unknown_symbols_have_a_default_may_grow() -> None:
    """A symbol that older readers can read as their default breaks none of them."""
    old = envelope(KEY, field("sex", WITH_DEFAULT))
    new = envelope(KEY, field("sex", {**WITH_DEFAULT, "symbols": ["male", "female", "unknown"]}))

    assert findings(old, new) == ()


@pytest.mark.parametrize(
    ("rule", "older", "newer"),
    [
        ("decimal-changed", field("x", money(10, 2)), field("x", money(10, 3))),
        ("decimal-changed", field("x", money(10, 2)), field("x", money(12, 2))),
        ("decimal-changed", field("x", money(10, 2)), field("x", "bytes")),
        ("decimal-changed", optional("x", money(10, 2)), optional("x", money(10, 3))),
        ("decimal-changed", field("x", money(10, 2)), field("x", {**money(10, 2), **FIXED})),
        ("type-changed", field("x", FIXED), field("x", "bytes")),
        ("fixed-changed", field("x", FIXED), field("x", {**FIXED, "size": 9})),
        ("fixed-changed", field("x", FIXED), field("x", {**FIXED, "name": "Other"})),
        ("time-unit-changed", field("x", INSTANT), field("x", MICROS)),
        ("logical-type-changed", field("x", DATE), field("x", "int")),
        ("logical-type-changed", field("x", "int"), field("x", DATE)),
        ("logical-type-changed", field("x", INSTANT), field("x", "long")),
        ("type-changed", field("x", DATE), field("x", INSTANT)),
        ("text-bytes-changed", field("x"), field("x", "bytes")),
        ("text-bytes-changed", optional("x", "bytes"), optional("x")),
        ("type-changed", field("x", "int"), field("x", "long")),
        ("type-changed", field("x", "long"), field("x")),
        ("type-changed", field("x"), field("x", TEXTS)),
        ("type-changed", field("x"), field("x", SEX)),
        ("null-changed", field("x"), field("x", ["null", "string"])),
        ("null-changed", field("x", ["null", "string"]), field("x")),
        ("default-changed", field("x", default="a"), field("x", default="b")),
        ("default-changed", field("x", "int", default=0), field("x", "int")),
        ("default-changed", field("x", "boolean", default=True), field("x", "boolean", default=1)),
        ("field-added", None, field("x")),
        ("field-added", None, field("x", ["null", "string"])),
        ("field-dropped", field("x"), None),
        ("field-renamed", optional("x"), optional("y", aliases=["x"])),
        ("alias-added", optional("x"), optional("x", aliases=["y"])),
        ("match-only-changed", field("x", TEXTS), match_only("x")),
        ("match-only-changed", match_only("x"), field("x", TEXTS)),
        ("enum-symbol-added", field("x", SEX), field("x", THREE)),
        ("enum-symbol-removed", field("x", THREE), field("x", SEX)),
        ("enum-default-changed", field("x", SEX), field("x", WITH_DEFAULT)),
        ("enum-renamed", field("x", SEX), field("x", {**SEX, "name": "Gender"})),
        ("enum-renamed", field("x", SEX), field("x", {**SEX, "namespace": "other"})),
    ],
)
def test_each_breaking_change_is_reported_by_its_rule(
    rule: str, older: JsonObject | None, newer: JsonObject | None
) -> None:
    """A change that loses, alters or renames a value for some reader is one finding, with its place and advice."""
    old = envelope(KEY, *([] if older is None else [older]))
    new = envelope(KEY, *([] if newer is None else [newer]))

    found = findings(old, new)

    name = (newer or older or {})["name"]
    assert [(one.rule, one.path, one.old_version, one.new_version) for one in found] == [(rule, f"row.{name}", 1, 2)]
    assert ";" in found[0].sentence


@pytest.mark.parametrize(
    ("rule", "newer"),
    [
        ("record-renamed", envelope(KEY, name="Person")),
        ("record-renamed", envelope(KEY, namespace="tellonce.person")),
    ],
)
def test_a_renamed_record_is_reported(rule: str, newer: JsonObject) -> None:
    """Names are what registries and generated code go by."""
    assert [(one.rule, one.path) for one in findings(envelope(KEY), newer)] == [(rule, None)]


def test_every_pair_of_versions_is_compared() -> None:
    """A field that left and came back with another type is compatible with its neighbour, yet not with the first."""
    versions = (envelope(KEY, optional("x")), envelope(KEY), envelope(KEY, optional("x", "long")))

    found = findings(*versions)

    assert [(one.rule, one.old_version, one.new_version) for one in found] == [("type-changed", 1, 3)]


def test_what_only_avro_sees_is_reported_in_its_words() -> None:
    """Where our rules are silent, Apache Avro's own check still has its say."""
    old = envelope(KEY, field("x", {"type": "array", "items": "string"}))
    new = envelope(KEY, field("x", {"type": "array", "items": "long"}))

    found = findings(old, new)

    assert {one.rule for one in found} == {"avro-incompatible"}
    assert len(found) == 2, "one for each way of reading"


def test_a_schema_that_avro_refuses_is_reported() -> None:
    """A schema that is none is a finding, not a traceback."""
    found = findings(envelope(KEY, optional("x")), envelope(KEY, optional("x"), optional("y", "unheard_of")))

    assert [one.rule for one in found] == ["not-avro"]


def test_a_finding_reads_as_one_line() -> None:
    """The line says which subject and versions, which field, what and how instead, and the rule."""
    (found,) = findings(envelope(KEY), envelope(KEY, field("x")))

    assert found.text == (
        "citizen.identity.v1-value v1 -> v2 row.x: the field is new and has no default for events written before; "
        "make it null by default [field-added]"
    )


def test_what_the_lock_wrote_has_no_findings(city: City) -> None:
    """The check of a folder agrees with what locking allowed."""
    city.publish([KEY, match_only()])
    city.publish([KEY, match_only(), optional("born", DATE)], version=2)

    names = [KEY["name"], f"{match_only()['name']}*", "born"]
    assert check_schemas(city.schemas, city.topology(identity=[str(name) for name in names])) == ()
