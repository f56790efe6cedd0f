"""When two ways to write a schema are the same schema."""

import pytest

from avrocity import DATE, SEX, field, money, optional
from tellonce.avro.identity import schema_identity
from tellonce.avro.jsonvalue import Json, JsonObject


def record(*fields: Json, **properties: Json) -> JsonObject:
    return {"type": "record", "name": "Citizen", "namespace": "tellonce.citizen", "fields": list(fields), **properties}


BASE = record(field("name"), field("sex", SEX), optional("sum", money()), optional("born", DATE))


@pytest.mark.parametrize(
    "same",
    [
        record(field("name", doc="x"), field("sex", SEX), optional("sum", money()), optional("born", DATE), doc="y"),
        record(
            field("name", {"type": "string"}),
            field("sex", {**SEX, "namespace": "tellonce.citizen", "doc": "as registered"}),
            optional("sum", money()),
            optional("born", DATE),
        ),
        {**record(*BASE["fields"]), "name": "tellonce.citizen.Citizen", "namespace": "ignored"},  # type: ignore[misc]
        dict(reversed(BASE.items())),
    ],
)
def test_spelling_and_documentation_do_not_matter(same: JsonObject) -> None:
    """Documentation may be mended for ever, and JSON may be laid out as one likes."""
    assert schema_identity(same) == schema_identity(BASE)


@pytest.mark.parametrize(
    "other",
    [
        record(field("name"), field("sex", SEX), optional("sum", money(10, 3)), optional("born", DATE)),
        record(field("name"), field("sex", SEX), optional("sum", money(11, 2)), optional("born", DATE)),
        record(field("name"), field("sex", SEX), optional("sum", money()), optional("born", "int")),
        record(field("name", default=""), field("sex", SEX), optional("sum", money()), optional("born", DATE)),
        record(field("name", aliases=["n"]), field("sex", SEX), optional("sum", money()), optional("born", DATE)),
        record(field("name", match_only=True), field("sex", SEX), optional("sum", money()), optional("born", DATE)),
        record(
            field("name"), field("sex", {**SEX, "default": "male"}), optional("sum", money()), optional("born", DATE)
        ),
        record(field("name"), field("sex", SEX), optional("born", DATE), optional("sum", money())),
        record(field("name"), field("sex", SEX), optional("sum", money()), field("born", ["null", DATE])),
        {**BASE, "namespace": "tellonce.person"},
    ],
)
def test_whatever_changes_a_readers_result_matters(other: JsonObject) -> None:
    """Logical types, defaults, aliases, our own properties, names and order are part of a schema's identity."""
    assert schema_identity(other) != schema_identity(BASE)


def test_a_default_that_looks_like_documentation_is_kept() -> None:
    """Only a schema's own documentation is left out, not data that bears the same name."""
    one = record(field("extra", {"type": "map", "values": "string"}, default={"doc": "a"}))
    other = record(field("extra", {"type": "map", "values": "string"}, default={"doc": "b"}))

    assert schema_identity(one) != schema_identity(other)


def test_the_form_never_changes() -> None:
    """Locks already committed hold this hash; a change of the canonical form would refuse every one of them."""
    expected = "14ca7d71ef2ce1353c939e69d68fa270019b0fc71a3f6503697bf19dfdd88d80"

    assert schema_identity(BASE) == expected
