"""The catalogue: what is locked, which ids it reads, and how old events become new ones."""

from datetime import date
from decimal import Decimal

import pytest

from avrocity import DATE, INSTANT, SEX, TEXTS, VIEW, City, event, field, match_only, money, optional
from tellonce.avro.catalogue import Catalogue
from tellonce.avro.errors import UndecodableMessage, UnknownSchemaError
from tellonce.avro.jsonvalue import Json
from tellonce.avro.lock import extend_lock
from tellonce.avro.values import EPOCH
from tellonce.model.change import Value
from tellonce.model.errors import ConfigurationError


def test_the_newest_schema_is_what_departments_see(city: City) -> None:
    """A view's schema is that of the newest locked version, with what a binding must map and a digest covers."""
    city.publish([field("name"), match_only(), field("id_number")])
    catalogue = city.publish([field("name"), match_only(), field("id_number"), optional("born", DATE)], version=2)

    schema = catalogue.view_schema(VIEW)

    assert (schema.view, schema.schema_id) == (VIEW, 2)
    assert [one.name for one in schema.fields] == ["name", "former_id_numbers", "id_number", "born"]
    assert schema.digest_fields == ("born", "id_number", "name")
    assert schema.field("born").kind == "date"
    with pytest.raises(ConfigurationError, match=r"found sex"):
        schema.field("sex")


def test_a_catalogue_that_differs_from_the_lock_is_not_loaded(city: City) -> None:
    """Every service refuses to start on schemas that are not what was published."""
    file = city.write([field("id_number")])
    city.lock(identity=["id_number"])
    city.write([field("id_number"), field("name")])

    with pytest.raises(ConfigurationError) as caught:
        Catalogue.load(city.schemas, city.topology(identity=["id_number"]))

    assert str(file) in str(caught.value)
    assert "add v002.avsc and run `tellonce schemas lock`" in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "default", "expected"),
    [
        ("string", "无", "无"),
        ("long", 5, 5),
        ("boolean", True, True),
        ("bytes", "\x00\xff", b"\x00\xff"),
        ({**SEX, "default": "male"}, "female", "female"),
        (money(), "\x04\xd2", Decimal("12.34")),
        (DATE, 1, date(1970, 1, 2)),
        (INSTANT, 0, EPOCH),
        (TEXTS, ["a", "b"], ("a", "b")),
        (["null", "string"], None, None),
    ],
)
def test_an_old_event_has_the_defaults_of_newer_fields(
    city: City, declared: Json, default: Json, expected: Value
) -> None:
    """A replay from the beginning gives every event in the fields of today."""
    old = city.publish([field("id_number")]).encode(VIEW, event({"id_number": "1"}, {"id_number": "2"}))
    catalogue = city.publish([field("spare", declared, default=default), field("id_number")], version=2)

    read = catalogue.decode(old, view=VIEW)

    assert read.after == {"spare": expected, "id_number": "1"}
    assert read.before == {"spare": expected, "id_number": "2"}
    assert list(read.after) == ["spare", "id_number"]
    assert catalogue.decode(old, view=VIEW, wanted=frozenset({"spare"})).after == {"spare": expected}


def test_an_old_event_loses_fields_that_were_dropped(city: City) -> None:
    """What a view no longer shares is not handed out from its past either."""
    first = city.publish([field("id_number"), optional("name"), field("sex", default="")])
    old = first.encode(VIEW, event({"id_number": "1", "name": "张伟", "sex": "m"}))

    read = city.publish([field("id_number"), field("sex", default="")], version=2).decode(old, view=VIEW)

    assert read.after == {"id_number": "1", "sex": "m"}


def test_an_old_symbol_that_is_gone_reads_as_the_enums_default(city: City) -> None:
    """Avro's rule for a symbol that the reader does not know."""
    grown: Json = {**SEX, "symbols": ["unknown", "male", "female"], "default": "unknown"}
    shrunk: Json = {**SEX, "symbols": ["female", "unknown"], "default": "unknown"}
    first = city.publish([field("sex", grown)])
    old = [first.encode(VIEW, event({"sex": sex})) for sex in ("male", "female")]

    catalogue = city.publish([field("sex", shrunk)], version=2)

    assert [(catalogue.decode(one, view=VIEW).after or {})["sex"] for one in old] == ["unknown", "female"]


def test_an_unknown_id_is_told_apart_from_damage(city: City) -> None:
    """An event of a schema that is not here yet says to update the schemas, not that the bytes are bad."""
    catalogue = city.publish([field("id_number")])
    message = catalogue.encode(VIEW, event({"id_number": "1"}))

    with pytest.raises(UnknownSchemaError, match="update schemas/") as caught:
        catalogue.decode(message[:1] + (99).to_bytes(4, "big") + message[5:], view=VIEW)

    assert caught.value.facts == {"view": VIEW, "schema_id": 99}


def test_another_views_message_is_refused(city: City) -> None:
    """A message of another view on this topic must not be read as if it were ours, even with the same fields."""
    city.write([field("id_number")])
    catalogue = city.catalogue(identity=["id_number"], residence=["id_number"])
    message = catalogue.encode("citizen.residence", event({"id_number": "1"}, view="citizen.residence"))

    with pytest.raises(UndecodableMessage, match=r"schema 2, which is citizen\.residence\.v1-value"):
        catalogue.decode(message, view=VIEW)


def test_a_message_of_an_older_major_version_is_refused(city: City) -> None:
    """A new major version is a new topic; nothing of the old one belongs there."""
    old = city.publish([field("id_number")]).encode(VIEW, event({"id_number": "1"}))

    catalogue = city.catalogue(major=2, identity=["id_number"])

    with pytest.raises(UndecodableMessage, match=r"citizen\.identity\.v1-value"):
        catalogue.decode(old, view=VIEW)


def test_reading_narrowed_and_whole_do_not_mix(city: City) -> None:
    """Each combination of wanted fields and sides has its own compiled reader."""
    catalogue = city.publish([field("id_number"), field("name")])
    message = catalogue.encode(VIEW, event({"id_number": "1", "name": "x"}, {"id_number": "0", "name": "y"}))

    reads = [
        catalogue.decode(message, view=VIEW, wanted=wanted, with_before=with_before)
        for wanted in (None, frozenset({"name"}))
        for with_before in (True, False)
    ]

    assert [(one.before, one.after) for one in reads] == [
        ({"id_number": "0", "name": "y"}, {"id_number": "1", "name": "x"}),
        (None, {"id_number": "1", "name": "x"}),
        ({"name": "y"}, {"name": "x"}),
        (None, {"name": "x"}),
    ]


def test_a_view_without_a_published_schema_is_refused(city: City) -> None:
    """A topology with a view that was never locked cannot start a service."""
    city.write([field("id_number")])
    city.lock(identity=["id_number"])

    with pytest.raises(ConfigurationError, match=r"citizen\.residence\.v1-value: .*run `tellonce schemas lock`"):
        Catalogue.load(city.schemas, city.topology(identity=["id_number"], residence=["id_number"]))


def test_unknown_views_and_fields_are_named(city: City) -> None:
    """A misspelt view or field is said in words, with those that exist."""
    catalogue = city.publish([field("id_number")])
    message = catalogue.encode(VIEW, event({"id_number": "1"}))

    with pytest.raises(ConfigurationError, match=r"expected a view .*citizen\.identity.*, found citizen\.other"):
        catalogue.view_schema("citizen.other")
    with pytest.raises(ConfigurationError, match=r"citizen\.other"):
        catalogue.encode("citizen.other", event())
    with pytest.raises(ConfigurationError, match=r"\(id_number\), found name"):
        catalogue.decode(message, view=VIEW, wanted=frozenset({"name"}))


def test_locking_after_loading_changes_nothing_for_the_loaded(city: City) -> None:
    """A service keeps the schemas it started with until it is started again."""
    catalogue = city.publish([field("id_number")])
    city.write([field("id_number"), optional("name")], version=2)

    extend_lock(city.schemas, city.topology(identity=["id_number", "name"]))

    assert catalogue.view_schema(VIEW).schema_id == 1
