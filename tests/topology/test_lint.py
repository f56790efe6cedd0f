"""Each lint rule: what breaks it, where it is reported, and how it says to mend it."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tellonce.model.errors import ConfigurationError
from tellonce.topology import (
    RULES,
    Finding,
    Position,
    Severity,
    Topology,
    TopologySource,
    View,
    lint_topology,
    load_topology,
    parse_topology,
)

Edit = Callable[[str, str], str]
MarkedEdit = Callable[[str, str], tuple[str, str]]

_RECORD_TYPE = """
  {name}:
    authority: healthcare
    fields:
      number: {{sharing: unconditional}}
    views:
      {view}:
        fields: [number]
        major: 1
        partitions: 1
        buckets: 16
        subscriptions:
          provident-fund: {{basis: Law, purpose: Use, freshness_seconds: 60, on_divergence: flag}}
"""


def a_record_type(name: str, view: str = "number") -> str:
    """A valid record type with one view, to be appended to the example."""
    return _RECORD_TYPE.format(name=name, view=view)


def refusal_of(text: str) -> ConfigurationError:
    """The error with which this text is refused."""
    with pytest.raises(ConfigurationError) as caught:
        parse_topology(text)
    return caught.value


def the_warning(text: str) -> Finding:
    """The one warning that this text deserves."""
    (warning,) = parse_topology(text).warnings
    assert warning.severity is Severity.WARNING
    return warning


def with_view(topology: Topology, changes: Mapping[str, object]) -> Topology:
    """The topology with other values in citizen.identity, past the checks that a file goes through."""
    record_type = topology.record_type("citizen")
    view: View = record_type.views["identity"].model_copy(update=dict(changes))
    record_types = {
        **topology.record_types,
        "citizen": record_type.model_copy(update={"views": {**record_type.views, "identity": view}}),
    }
    return topology.model_copy(update={"record_types": record_types})


@pytest.mark.parametrize(
    ("rule", "old", "new", "part"),
    [
        ("TO101", "authority: civil-affairs", "authority: ‸civil-afairs", "mean civil-affairs?"),
        ("TO101", "authority: civil-affairs", "authority: ‸treasury", "add it under departments"),
        ("TO102", "  social-security:\n", "  ‸socal-security:\n", "did you mean social-security?"),
        ("TO103", "  social-security:\n", "  ‸public-security:\n", "other than the authority"),
        ("TO106", "provident-fund: {", "‸reconciler: {", "a role of tellonce"),
        ("TO106", "healthcare: {", "‸operator: {", "a role of tellonce"),
        ("TO106", "  marriage:\n", "  ‸tellonce:\n", "begins the control topics"),
        ("TO108", "freshness_seconds: 60", "freshness_seconds: ‸999999", "168 hours"),
        ("TO201", "basis: Social Insurance Law, article 57", "basis: ‸T.B.D.", "a legal basis, found a placeholder"),
        ("TO201", "basis: Social Insurance Law, article 57", "basis: ‸待补充", "a legal basis, found a placeholder"),
        ("TO202", "purpose: Keep insured persons' identity correct.", "purpose: ‸'-'", "a purpose"),
        ("TO203", "[id_number, address]", "[id_number, ‸phone]", "phone, which is not_shared"),
        ("TO203", "match_only: [former_id_numbers]", "match_only: [‸phone]", "phone, which is not_shared"),
        (
            "TO204",
            "address:\n        sharing: conditional\n        condition:",
            "‸address: {sharing: conditional} #",
            "add",
        ),
        ("TO204", "condition: Only where", "‸condition: '?' # Only where", "a placeholder"),
        (
            "TO205",
            "phone:\n        sharing: not_shared\n        bar:",
            "‸phone: {sharing: not_shared} #",
            "citing the law",
        ),
        ("TO206", "[id_number, address]", "[id_number, ‸adress]", "did you mean address?"),
        ("TO206", "[id_number, address]", "[id_number, ‸wage]", "add it under fields of citizen"),
        (
            "TO207",
            "conditional\n        condition:",
            "unconditional\n        ‸condition:",
            "class address as conditional",
        ),
        ("TO207", "not_shared\n        bar:", "unconditional\n        ‸bar:", "remove bar"),
        ("TO301", "match_only: [former_id_numbers]", "match_only: [former_id_numbers, ‸name]", "not both"),
        ("TO302", "[id_number, address]", "[address, ‸address]", "address again; remove one"),
        ("TO304", "buckets: 256", "buckets: ‸200", "found 200; write 128 or 256"),
    ],
)
def test_broken_rule_refuses_the_topology_at_its_place(
    marked: MarkedEdit, rule: str, old: str, new: str, part: str
) -> None:
    """A broken rule refuses the topology, at the line and column of what breaks it, and says what to do."""
    text, place = marked(old, new)

    lines = [line for line in str(refusal_of(text)).splitlines() if line.endswith(f"[{rule}]")]

    assert [line.partition(": expected")[0] for line in lines] == [f"topology.yaml:{place}"]
    assert part in lines[0]


@pytest.mark.parametrize(
    ("rule", "old", "new", "part"),
    [
        (
            "TO104",
            "\n  marriage:\n",
            "\n  ‸draft: {authority: healthcare, fields: {a: {sharing: unconditional}}}\n  marriage:\n",
            "a view",
        ),
        (
            "TO105",
            "\nrecord_types:",
            "  ‸archive: {title: City Archive, contact: reading room}\nrecord_types:",
            "neither",
        ),
        (
            "TO110",
            "\nrecord_types:",
            f"‸signing_keys: {{healthcare: [{'ab' * 32}]}}\nrecord_types:",
            "none of public-security, ",
        ),
        (
            "TO107",
            "\n  marriage:\n",
            "\n      ‸short: {fields: [name], major: 1, partitions: 1, buckets: 16}\n  marriage:\n",
            "subscribe",
        ),
    ],
)
def test_doubtful_topology_loads_with_a_warning(marked: MarkedEdit, rule: str, old: str, new: str, part: str) -> None:
    """What is lawful but pointless is a warning with its place, and the topology can be used."""
    text, place = marked(old, new)

    warning = the_warning(text)

    assert str(warning).startswith(f"topology.yaml:{place}: warning: expected ")
    assert (warning.rule, part in str(warning)) == (rule, True)


def test_views_with_the_same_fields_are_a_warning(edited: Edit) -> None:
    """A second view with the fields of another, in whatever order, sends the same data twice."""
    same = "fields: [status, birth_date, sex, name, id_number]"

    warning = the_warning(edited("fields: [id_number, address]", same))

    assert (warning.rule, "citizen.identity" in warning.fix) == ("TO303", True)


def test_views_that_differ_only_in_match_fields_are_no_twins(edited: Edit) -> None:
    """Views that find their rows by different fields are different views."""
    same = "fields: [id_number, name, sex, birth_date, status]\n        match_only: [address]\n"

    text = edited("fields: [id_number, address]\n        match_only: [former_id_numbers]\n", same)

    assert parse_topology(text).warnings == ()


def test_topic_name_longer_than_kafka_allows_is_refused(edited: Edit) -> None:
    """A record type and a view that are each short enough may still make too long a topic name together."""
    fits = a_record_type("a" * 120, "b" * 125)
    too_long = a_record_type("a" * 120, "b" * 126)

    assert parse_topology(edited("", "") + fits).warnings == ()
    assert "at most 249 characters, found 250" in str(refusal_of(edited("", "") + too_long))


def test_topic_names_that_kafka_takes_for_one_are_refused(edited: Edit) -> None:
    """Kafka's metrics do not tell a dot from an underscore, so it would refuse the second topic."""
    text = (
        edited("", "")
        + a_record_type("citizen_identity", "copy")
        + a_record_type("citizen", "x").replace("  citizen:", "  citizen_identity_x:")
    )
    collision = edited("", "") + a_record_type("lease_of", "flat") + a_record_type("lease", "of_flat")

    assert parse_topology(text).warnings == ()
    assert "lease.of_flat.v1 beside lease_of.flat.v1" in str(refusal_of(collision))


def test_topology_built_in_code_is_linted_like_a_file(example_path: Path) -> None:
    """The rules hold for models that never went through a file, whose findings then have no place but the start."""
    topology = with_view(load_topology(example_path), {"name": "citizen.Ämter", "buckets": 48})

    findings = lint_topology(topology, TopologySource("built"))

    assert {finding.rule for finding in findings} == {"TO304", "TO402"}
    assert {finding.position for finding in findings} == {Position(line=1, column=1)}


def test_every_rule_that_is_reported_is_documented() -> None:
    """The list of rules names each identifier in the code, and no other."""
    folder = Path(lint_topology.__code__.co_filename).parent
    used = {
        rule
        for path in folder.glob("*.py")
        for rule in re.findall(r'"(TO\d{3})"(?!:\s"[A-Z])', path.read_text(encoding="utf-8"))
    }

    assert used == set(RULES)
