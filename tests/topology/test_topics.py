"""Topics and permissions that follow from a topology."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tellonce.topology import AclRule, TopicSpec, Topology, acls_of, load_topology, parse_topology, topics_of
from tellonce.topology.topics import (
    OPERATOR,
    RECONCILER,
    answers,
    attestations,
    divergences,
    evidence,
    group_of,
    heartbeats,
    inquiries,
    marks,
    orders,
    repairs,
)

Edit = Callable[[str, str], str]

DAY_MS = 86_400_000
DEPARTMENTS = {"public-security", "civil-affairs", "provident-fund", "social-security", "healthcare"}
SUBSCRIBERS = DEPARTMENTS - {"civil-affairs"}
PUBLISHERS = {"public-security", "civil-affairs"}


@pytest.fixture
def topology(example_path: Path) -> Topology:
    """The example, loaded."""
    return load_topology(example_path)


def the_topic(topology: Topology, name: str) -> TopicSpec:
    """The one topic with this name."""
    (spec,) = (spec for spec in topics_of(topology) if spec.name == name)
    return spec


def allowed(topology: Topology, principal: str) -> dict[str, set[str]]:
    """The topics whose messages this principal may read or write, or whose ends it may see."""
    granted: dict[str, set[str]] = {"READ": set(), "WRITE": set(), "DESCRIBE": set()}
    for rule in acls_of(topology):
        if rule.principal == principal and rule.resource_type == "topic" and rule.operation != "DESCRIBE_CONFIGS":
            granted[rule.operation].add(rule.name)
    return granted


def test_topics_are_the_views_and_the_control_topics(topology: Topology) -> None:
    """Each view is a topic, each subscriber attests, everybody who takes part answers, and nothing else exists."""
    names = [spec.name for spec in topics_of(topology)]

    assert names[:3] == ["citizen.identity.v1", "citizen.residence.v1", "marriage.status.v1"]
    assert set(names[3:]) == {
        *(marks(slug) for slug in PUBLISHERS),
        *(make(slug) for slug in SUBSCRIBERS for make in (attestations, repairs)),
        *(make(slug) for slug in DEPARTMENTS for make in (inquiries, answers)),
        *(orders(principal) for principal in (*SUBSCRIBERS, RECONCILER)),
        *(divergences(principal) for principal in (RECONCILER, OPERATOR)),
        evidence(RECONCILER),
        *(heartbeats(principal) for principal in (*DEPARTMENTS, RECONCILER)),
    }
    assert len(names) == len(set(names))


def test_control_topics_have_the_agreed_names() -> None:
    """The names are part of the contract between departments and never change."""
    kinds = (marks, attestations, inquiries, answers, orders, repairs, divergences, evidence, heartbeats)
    assert [make("healthcare") for make in kinds] == [f"tellonce.{make.__name__}.healthcare" for make in kinds]
    assert group_of("healthcare") == "tellonce.healthcare"


def test_view_topic_is_compacted_after_a_day_at_the_earliest(topology: Topology) -> None:
    """A view's topic keeps the newest event of each record, and every event for at least 24 hours."""
    spec = the_topic(topology, "citizen.identity.v1")

    assert (spec.partitions, spec.cleanup_policy, spec.configs["cleanup.policy"]) == (4, "compact", "compact")
    assert int(spec.configs["min.compaction.lag.ms"]) >= DAY_MS


def test_tombstones_outlive_the_longest_lag_of_the_view(topology: Topology) -> None:
    """A department that reads a stretch again within its longest lag still finds what was deleted in it."""
    spec = the_topic(topology, "citizen.residence.v1")

    assert int(spec.configs["delete.retention.ms"]) > 336 * 3_600_000


@pytest.mark.parametrize("name", [marks("public-security"), attestations("social-security"), orders("healthcare")])
def test_statements_outlive_the_longest_lag_of_any_subscription(edited: Edit, name: str) -> None:
    """Marks and attestations of one position can be compared for as long as any department may stay away."""
    text = edited("longest_lag_hours: 336", "longest_lag_hours: 2000")

    spec = the_topic(parse_topology(text).topology, name)

    assert spec.configs["cleanup.policy"] == "delete"
    assert int(spec.configs["retention.ms"]) > 2000 * 3_600_000


@pytest.mark.parametrize(
    ("name", "days"), [(inquiries("healthcare"), 7), (answers("healthcare"), 7), (evidence(RECONCILER), 800)]
)
def test_other_control_topics_are_kept_by_time(topology: Topology, name: str, days: int) -> None:
    """Questions and answers are kept a week, evidence for more than two years of assessment."""
    spec = the_topic(topology, name)

    assert (spec.cleanup_policy, int(spec.configs["retention.ms"])) == ("delete", days * DAY_MS)


def test_divergences_are_compacted(topology: Topology) -> None:
    """The newest state of each divergence is kept however old it is."""
    assert the_topic(topology, divergences(RECONCILER)).configs["cleanup.policy"] == "compact"


def test_heartbeats_are_compacted_soon(topology: Topology) -> None:
    """Whoever asks how things stand reads a few hundred messages of a department, however long it has run."""
    spec = the_topic(topology, heartbeats("healthcare"))

    assert spec.cleanup_policy == spec.configs["cleanup.policy"] == "compact"
    assert int(spec.configs["segment.ms"]) <= 10 * 60_000
    assert (spec.writers, set(spec.readers)) == (("healthcare",), {RECONCILER, OPERATOR})


def test_control_topics_have_one_partition(topology: Topology) -> None:
    """One partition keeps the statements of all departments about a stream in one order."""
    assert {spec.partitions for spec in topics_of(topology) if spec.name.startswith("tellonce.")} == {1}


def test_each_control_topic_has_one_writer(topology: Topology) -> None:
    """Who speaks on a topic is told by its name, whatever a message says of itself."""
    for spec in topics_of(topology):
        if spec.name.startswith("tellonce."):
            (writer,) = spec.writers
            _, kind, principal = spec.name.split(".")
            assert writer == (RECONCILER if kind in {"inquiries", "repairs"} else principal)


def test_only_the_authority_writes_a_view_and_only_subscribers_read_it(topology: Topology) -> None:
    """A view's topic is written by its authority alone, and read by its subscribers and the authority's relay."""
    spec = the_topic(topology, "citizen.residence.v1")

    assert spec.writers == ("public-security",)
    assert set(spec.readers) == {"public-security", "healthcare"}


def test_rights_of_a_department_that_only_subscribes(topology: Topology) -> None:
    """A subscriber reads its views and the inquiries, and writes only its own statements, orders and evidence."""
    assert allowed(topology, "social-security") == {
        "READ": {"citizen.identity.v1", inquiries("social-security"), repairs("social-security")},
        "WRITE": {make("social-security") for make in (attestations, answers, heartbeats, orders)},
        "DESCRIBE": set(),
    }


def test_rights_of_a_department_that_only_publishes(topology: Topology) -> None:
    """An authority writes its views, marks, answers and evidence, and reads orders, inquiries and its own views."""
    assert allowed(topology, "civil-affairs") == {
        "READ": {
            "marriage.status.v1",
            inquiries("civil-affairs"),
            *(orders(principal) for principal in (RECONCILER, "public-security", "provident-fund")),
        },
        "WRITE": {"marriage.status.v1", *(make("civil-affairs") for make in (marks, answers, heartbeats))},
        "DESCRIBE": set(),
    }


def test_rights_of_the_reconciler(topology: Topology) -> None:
    """The reconciler reads statements and answers, and no view, so that it never sees personal data."""
    assert allowed(topology, "reconciler") == {
        "READ": {
            *(divergences(RECONCILER), divergences(OPERATOR), evidence(RECONCILER)),
            *(marks(slug) for slug in PUBLISHERS),
            *(attestations(slug) for slug in SUBSCRIBERS),
            *(answers(slug) for slug in DEPARTMENTS),
            *(heartbeats(principal) for principal in (*DEPARTMENTS, RECONCILER)),
        },
        "WRITE": {
            *(make(RECONCILER) for make in (orders, divergences, evidence, heartbeats)),
            *(inquiries(slug) for slug in DEPARTMENTS),
            *(repairs(slug) for slug in SUBSCRIBERS),
        },
        "DESCRIBE": set(),
    }


def test_rights_of_operators(topology: Topology) -> None:
    """Operators read states and decide, and see of views no more than how far they have come."""
    assert allowed(topology, "operator") == {
        "READ": {
            *(divergences(RECONCILER), divergences(OPERATOR), evidence(RECONCILER)),
            *(marks(slug) for slug in PUBLISHERS),
            *(attestations(slug) for slug in SUBSCRIBERS),
            *(heartbeats(principal) for principal in (*DEPARTMENTS, RECONCILER)),
        },
        "WRITE": {divergences(OPERATOR)},
        "DESCRIBE": {"citizen.identity.v1", "citizen.residence.v1", "marriage.status.v1"},
    }


@pytest.mark.parametrize("principal", [*sorted(DEPARTMENTS), RECONCILER, OPERATOR])
def test_services_see_the_settings_of_their_own_topics(topology: Topology, principal: str) -> None:
    """A service compares what it reads and writes with the topology; operators run none, and nobody sees more."""
    seen = {
        rule.name
        for rule in acls_of(topology)
        if rule.principal == principal and rule.operation == "DESCRIBE_CONFIGS" and rule.resource_type == "topic"
    }
    own = allowed(topology, principal)

    assert seen == (set() if principal == OPERATOR else own["READ"] | own["WRITE"])


def test_each_principal_reads_in_its_own_group_only(topology: Topology) -> None:
    """No department can commit another's offsets or join its group."""
    groups = [rule for rule in acls_of(topology) if rule.resource_type == "group" and rule.operation != "DESCRIBE"]

    assert {(rule.principal, rule.name, rule.operation) for rule in groups} == {
        (principal, f"tellonce.{principal}", "READ") for principal in {*DEPARTMENTS, "reconciler", "operator"}
    }


def test_operators_see_the_lag_of_every_other_group(topology: Topology) -> None:
    """Lag tools, which operators run, may look at every group and change none."""
    seen = {rule.name for rule in acls_of(topology) if rule.resource_type == "group" and rule.operation == "DESCRIBE"}

    assert seen == {group_of(principal) for principal in {*DEPARTMENTS, "reconciler"}}


def test_department_that_takes_no_part_has_no_rights(edited: Edit) -> None:
    """A department without a view or a subscription gets no topic and no permission."""
    text = edited("\nrecord_types:", "  archive: {title: City Archive, contact: reading room}\n\nrecord_types:")
    topology = parse_topology(text).topology

    assert not [rule for rule in acls_of(topology) if "archive" in (rule.principal, rule.name.rpartition(".")[2])]
    assert not [spec for spec in topics_of(topology) if "archive" in spec.name]


def test_permissions_are_sorted_and_distinct(topology: Topology) -> None:
    """The same topology always gives the same list, so that a plan can be compared with the broker."""
    rules = acls_of(topology)

    assert list(rules) == sorted(set(rules))
    assert (
        AclRule(principal="healthcare", resource_type="topic", name=inquiries("healthcare"), operation="READ") in rules
    )


def test_nothing_written_to_a_topic_unpacks_beyond_its_limit(topology: Topology) -> None:
    """The broker unpacks what comes packed, and its limit holds for what readers get."""
    for spec in topics_of(topology):
        assert spec.configs.get("compression.type") == "uncompressed"
