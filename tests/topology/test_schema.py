"""The JSON schema that editors use."""

import json

from pydantic import JsonValue

from tellonce.topology import topology_json_schema


def definition(name: str) -> dict[str, JsonValue]:
    """One of the schema's definitions."""
    definitions = topology_json_schema()["$defs"]
    assert isinstance(definitions, dict)
    found = definitions[name]
    assert isinstance(found, dict)
    return found


def test_schema_is_json_and_names_its_draft() -> None:
    """Editors are told which draft the schema is written in."""
    schema = json.loads(json.dumps(topology_json_schema()))

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["city", "departments", "record_types"]


def test_schema_refuses_unknown_keys_everywhere() -> None:
    """An editor marks a misspelt key at every level, as loading would."""
    schema = topology_json_schema()
    definitions = schema["$defs"]
    assert isinstance(definitions, dict)

    assert schema["additionalProperties"] is False
    assert len(definitions) == 5
    assert all(isinstance(part, dict) and part["additionalProperties"] is False for part in definitions.values())


def test_schema_offers_only_what_a_person_writes() -> None:
    """Names that a thing takes from its key are not offered as keys, though the loaded model carries them."""
    properties = definition("SubscriptionForm")["properties"]
    assert isinstance(properties, dict)

    assert set(properties) == {
        "basis",
        "purpose",
        "freshness_seconds",
        "on_divergence",
        "repair_cap",
        "longest_lag_hours",
    }


def test_schema_describes_every_key() -> None:
    """An editor can show what each key means."""
    for name in ("DepartmentForm", "FieldSharing", "SubscriptionForm", "ViewForm", "RecordTypeForm"):
        properties = definition(name)["properties"]
        assert isinstance(properties, dict)
        assert all(isinstance(part, dict) and part.get("description") for part in properties.values()), name
