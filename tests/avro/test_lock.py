"""What the lock promises: an id stands for one schema, for ever."""

import json
from pathlib import Path

import pytest

from avrocity import SUBJECT, City, field, match_only, optional
from tellonce.avro.check import check_schemas
from tellonce.avro.lock import LOCK_FILE, check_lock, extend_lock, load_lock
from tellonce.model.errors import ConfigurationError


def lock_file(city: City) -> Path:
    return city.schemas / LOCK_FILE


def rewrite(city: City, **changes: object) -> None:
    lock = json.loads(lock_file(city).read_text(encoding="utf-8"))
    lock_file(city).write_text(json.dumps({**lock, **changes}), encoding="utf-8")


def test_ids_count_from_one_and_only_new_schemas_get_one(city: City) -> None:
    """A version that changes one view gives an id to that view alone; what was published stays as it is."""
    city.write([field("id_number"), field("name")])
    first = city.lock(identity=["id_number"], naming=["id_number", "name"])
    city.write([field("id_number"), field("name"), optional("born")], version=2)

    second = city.lock(identity=["id_number"], naming=["id_number", "name", "born"])

    assert [(entry.id, entry.subject, entry.version) for entry in (*first, *second)] == [
        (1, "citizen.identity.v1-value", 1),
        (2, "citizen.naming.v1-value", 1),
        (3, "citizen.naming.v1-value", 2),
    ]
    assert load_lock(city.schemas).entries == (*first, *second)


def test_locking_twice_changes_no_byte(city: City) -> None:
    """The lock is a function of what was published, so that a diff shows a publication and nothing else."""
    city.write([field("id_number")])
    city.lock(identity=["id_number"])
    before = lock_file(city).read_bytes()

    assert city.lock(identity=["id_number"]) == ()
    assert lock_file(city).read_bytes() == before


def test_equal_folders_give_equal_locks(tmp_path: Path) -> None:
    """The lock holds no time, no path and no order of chance."""
    cities = [City(tmp_path / name) for name in ("one", "other")]
    for city in cities:
        city.write([field("id_number", doc="姓名"), match_only(), optional("name")])
        city.lock(identity=["id_number", "former_id_numbers*"], naming=["name"])

    assert lock_file(cities[0]).read_bytes() == lock_file(cities[1]).read_bytes()


def test_an_id_is_not_given_again_after_its_view_is_gone(city: City) -> None:
    """Events of a view that left the topology still lie in topics and archives under their id."""
    city.write([field("id_number"), field("name")])
    city.lock(identity=["id_number"])
    city.lock(naming=["name"])

    entries = load_lock(city.schemas).entries

    assert [(entry.view, entry.id) for entry in entries] == [("citizen.identity", 1), ("citizen.naming", 2)]


def test_an_edited_published_schema_is_refused_with_the_way_out(city: City) -> None:
    """A published file stays as it is; the finding says to add the next version and to lock it."""
    file = city.write([field("id_number")])
    city.lock(identity=["id_number"])
    city.write([field("id_number"), optional("born")])

    findings = check_lock(city.schemas, city.topology(identity=["id_number"]))

    assert [(finding.rule, finding.subject) for finding in findings] == [("schema-edited", str(file))]
    assert "add v002.avsc and run `tellonce schemas lock`" in findings[0].sentence
    with pytest.raises(ConfigurationError, match=r"add v002\.avsc and run `tellonce schemas lock`"):
        city.lock(identity=["id_number"])


def test_an_edited_older_version_is_refused_too(city: City) -> None:
    """Not only the newest version is published."""
    city.write([field("id_number")])
    city.lock(identity=["id_number"])
    city.write([field("id_number"), optional("born")], version=2)
    city.lock(identity=["id_number"])
    file = city.write([field("id_number"), field("name")], version=1)

    findings = check_lock(city.schemas, city.topology(identity=["id_number"]))

    assert [(finding.rule, finding.subject) for finding in findings] == [("schema-edited", str(file))]
    assert "add v003.avsc" in findings[0].sentence


def test_documentation_of_a_published_schema_may_change(city: City) -> None:
    """Documentation is no part of a schema's identity."""
    city.write([field("id_number")])
    city.lock(identity=["id_number"])
    city.write([field("id_number", doc="eighteen digits")])

    assert check_lock(city.schemas, city.topology(identity=["id_number"])) == ()


def test_a_views_published_fields_do_not_change_without_a_new_version(city: City) -> None:
    """A change of the topology alone must not change the bytes under a published version."""
    city.write([field("id_number"), optional("born")])
    city.lock(identity=["id_number"])
    topology = city.topology(identity=["id_number", "born"])

    findings = check_lock(city.schemas, topology)

    assert [(finding.rule, finding.subject) for finding in findings] == [("view-edited", SUBJECT)]
    assert "add v002.avsc and run `tellonce schemas lock`" in findings[0].sentence
    city.write([field("id_number"), optional("born")], version=2)
    assert [entry.id for entry in extend_lock(city.schemas, topology)] == [2]


def test_what_is_new_waits_to_be_locked(city: City) -> None:
    """A schema that is not in the lock is no mistake, but nothing may be published by it yet."""
    file = city.write([field("id_number")])

    findings = check_lock(city.schemas, city.topology(identity=["id_number"]))

    assert [(finding.rule, finding.subject) for finding in findings] == [
        ("not-locked", str(file)),
        ("not-locked", SUBJECT),
    ]


def test_a_removed_version_is_found(city: City) -> None:
    """The file of a published version is part of what was agreed."""
    city.write([field("id_number")])
    second = city.write([field("id_number"), optional("born")], version=2)
    city.lock(identity=["id_number"])
    second.unlink()

    findings = check_lock(city.schemas, city.topology(identity=["id_number"]))

    assert [(finding.rule, finding.subject) for finding in findings] == [("schema-removed", str(second))]


def test_a_new_major_version_begins_a_subject_of_its_own(city: City) -> None:
    """A break with the past is a new topic, whose history is not held against it."""
    city.write([field("id_number"), field("name")])
    city.lock(identity=["id_number", "name"])
    city.write([field("id_number", "long")], version=2)

    added = city.lock(major=2, identity=["id_number"])

    assert [(entry.id, entry.subject) for entry in added] == [(2, "citizen.identity.v2-value")]


def test_an_incompatible_version_is_not_locked(city: City) -> None:
    """What older readers could not read never gets an id, and the lock stays as it was."""
    city.write([field("id_number")])
    city.lock(identity=["id_number"])
    before = lock_file(city).read_bytes()
    city.write([field("id_number"), field("name")], version=2)

    with pytest.raises(ConfigurationError, match=r"v1 -> v2 row\.name: .* \[field-added\]"):
        city.lock(identity=["id_number", "name"])

    assert lock_file(city).read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"next_id": 1}, "never given twice"),
        ({"format": 2}, "format"),
        ({"unknown": 1}, "unknown"),
        ({"next_id": "2"}, "next_id"),
    ],
)
def test_a_lock_that_contradicts_itself_is_refused(city: City, changes: dict[str, object], said: str) -> None:
    """A hand-edited lock stops every service rather than give an id a second meaning."""
    city.write([field("id_number")])
    city.lock(identity=["id_number"])
    rewrite(city, **changes)

    with pytest.raises(ConfigurationError, match=said):
        load_lock(city.schemas)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"id_number"', '"id_numbers"', "found an edited one"),
        ('"id": 1,', '"id": 0,', "greater than or equal to 1"),
        ('"id": 2,', '"id": 1,', "never given twice"),
        ('"version": 2,', '"version": 1,', "once, found one twice"),
        ('"format": 1,', "<<<<<<< HEAD", "merge conflict"),
    ],
)
def test_an_edited_lock_is_refused(city: City, old: str, new: str, said: str) -> None:
    """Each part of the lock is checked against the others before an id of it is trusted."""
    city.write([field("id_number")])
    city.lock(identity=["id_number"])
    city.write([field("id_number"), optional("born")], version=2)
    city.lock(identity=["id_number", "born"])
    text = lock_file(city).read_text(encoding="utf-8")
    lock_file(city).write_text(text.replace(old, new), encoding="utf-8")

    with pytest.raises(ConfigurationError, match=said) as caught:
        load_lock(city.schemas)

    assert str(caught.value).startswith(str(lock_file(city)))


def test_a_missing_lock_says_how_to_make_one(city: City) -> None:
    """The first command that a new city needs is in the message."""
    city.write([field("id_number")])

    with pytest.raises(ConfigurationError, match="run `tellonce schemas lock`"):
        load_lock(city.schemas)


def test_the_whole_check_is_silent_on_a_locked_city(city: City) -> None:
    """`tellonce schemas check` has nothing to say of what was locked."""
    city.write([field("id_number"), match_only()])
    city.lock(identity=["id_number", "former_id_numbers*"])

    assert check_schemas(city.schemas, city.topology(identity=["id_number", "former_id_numbers*"])) == ()


def test_the_whole_check_judges_what_is_not_locked_yet(city: City) -> None:
    """A version that would break readers is refused before it is published, not after."""
    city.write([field("id_number")])
    city.lock(identity=["id_number"])
    city.write([field("id_number", "long")], version=2)

    rules = {finding.rule for finding in check_schemas(city.schemas, city.topology(identity=["id_number"]))}

    assert rules == {"not-locked", "type-changed"}


def test_the_whole_check_reports_unreadable_files_as_findings(city: City) -> None:
    """A broken file, a broken view and a broken lock are each named, and none hides another."""
    city.write([field("id_number")])
    lock_file(city).write_text("{", encoding="utf-8")

    views = check_schemas(city.schemas, city.topology(identity=["id_number"], naming=["name"]))
    city.write([field("id_number", "float")])
    files = check_schemas(city.schemas, city.topology(identity=["id_number"]))

    assert [finding.rule for finding in views] == ["lock-unusable", "view-unusable"]
    assert [finding.rule for finding in files] == ["lock-unusable", "schema-unusable"]
