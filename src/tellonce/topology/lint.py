"""Rules that look across a topology: who owns what, who may see it, and whether Kafka can carry it."""

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from tellonce.topology.findings import Finding
from tellonce.topology.model import Topology, View
from tellonce.topology.rules import Report, is_placeholder
from tellonce.topology.shape import near_miss
from tellonce.topology.sharing import check_sharing
from tellonce.topology.source import TopologySource
from tellonce.topology.topics import CONTROL_PREFIX, OPERATOR, RECONCILER, topics_of

__all__ = ["RULES", "lint_topology"]

RULES: Mapping[str, str] = MappingProxyType(
    {
        "TO001": "The file can be read and is UTF-8 text of at most 1 MB.",
        "TO002": "The file is one YAML 1.2 document.",
        "TO003": "A mapping has each key once.",
        "TO004": "No anchors, aliases or tags.",
        "TO005": "Keys are names.",
        "TO010": "Only known keys.",
        "TO011": "Every required key.",
        "TO012": "Every value has the right kind and size.",
        "TO101": "A record type's authority is a department of the topology.",
        "TO102": "A subscriber is a department of the topology.",
        "TO103": "The authority does not subscribe to its own view.",
        "TO104": "A record type has a view (warning).",
        "TO105": "A department publishes or subscribes (warning).",
        "TO106": "No department or record type takes a name that tellonce itself uses.",
        "TO107": "A view has a subscription (warning).",
        "TO108": "Freshness is shorter than the longest lag allowed.",
        "TO109": "A signing key is a department's, the reconciler's or the operators', and one's alone.",
        "TO110": "Either nobody signs, or everybody who speaks does (warning).",
        "TO201": "A subscription cites a legal basis.",
        "TO202": "A subscription states a purpose.",
        "TO203": "No view lists a field that is not shared.",
        "TO204": "A conditionally shared field states its condition.",
        "TO205": "A field that is not shared cites the law that bars it.",
        "TO206": "Every field of a view has a sharing class.",
        "TO207": "A field states no condition or bar that its sharing class does not use.",
        "TO301": "No field is both held and only for matching.",
        "TO302": "A view lists each field once.",
        "TO303": "No two views of a record type have the same fields (warning).",
        "TO304": "Buckets are a power of two.",
        "TO401": "A topic's name has at most 249 characters.",
        "TO402": "A topic's name has only letters, digits, dot, underscore and hyphen.",
        "TO403": "No two topics differ only in dots and underscores.",
    }
)
"""What each finding's rule demands, in one sentence."""

_MOST_TOPIC_CHARACTERS = 249
_LEGAL_TOPIC = re.compile(r"[A-Za-z0-9._-]+")


def lint_topology(topology: Topology, source: TopologySource) -> tuple[Finding, ...]:
    """What is wrong or doubtful across this topology, in file order; `source` knows where its parts are written."""
    report = Report(source)
    for check in _CHECKS:
        check(topology, report)
    return tuple(sorted(report.findings, key=lambda finding: (finding.position, finding.rule)))


def _check_departments(topology: Topology, report: Report) -> None:
    for slug in topology.departments:
        location = ("departments", slug)
        if slug in {RECONCILER, OPERATOR}:
            found = f"{slug}, a role of tellonce"
            report.error("TO106", report.key(location), "a department's slug", found, "rename it")
        elif not topology.published_by(slug) and not topology.subscribed_by(slug):
            expected = f"{slug} to publish or subscribe to a view"
            report.warning("TO105", report.key(location), expected, "neither", "give it a subscription or remove it")


def _check_signing_keys(topology: Topology, report: Report) -> None:
    owners: dict[str, str] = {}
    for principal, keys in topology.signing_keys.items():
        location = ("signing_keys", principal)
        if principal not in topology.departments and principal not in {RECONCILER, OPERATOR}:
            report.error("TO109", report.key(location), *_unknown_department(topology, principal))
        for number, key in enumerate(keys):
            if key in owners:
                found = f"a key that {owners[key]} has, too"
                fix = "make one with `tellonce keys sign`: whoever shares a key can speak for the other"
                report.error("TO109", report.value((*location, number)), "a key of its own", found, fix)
            owners[key] = principal
    active = [slug for slug in topology.departments if topology.published_by(slug) or topology.subscribed_by(slug)]
    unsigned = [name for name in (*active, RECONCILER, OPERATOR) if name not in topology.signing_keys]
    if topology.signing_keys and unsigned:
        names = ", ".join(unsigned)
        fix = (
            f"add what `tellonce keys sign {' '.join(unsigned)}` prints: until then whoever can write there is believed"
        )
        report.warning("TO110", report.key(("signing_keys",)), "a key of everybody who speaks", f"none of {names}", fix)


def _check_authorities(topology: Topology, report: Report) -> None:
    for record_type in topology.record_types.values():
        location = ("record_types", record_type.name)
        if record_type.name == CONTROL_PREFIX:
            found = f"{CONTROL_PREFIX}, which begins the control topics"
            report.error("TO106", report.key(location), "a record type's name", found, "rename it")
        if record_type.authority not in topology.departments:
            place = report.value((*location, "authority"))
            report.error("TO101", place, *_unknown_department(topology, record_type.authority))
        if not record_type.views:
            expected = f"{record_type.name} to have a view"
            report.warning("TO104", report.key(location), expected, "none", "add one, or remove the record type")


def _check_subscriptions(topology: Topology, report: Report) -> None:
    for view, location in _located_views(topology):
        if not view.subscriptions:
            fix = "subscribe a department, or remove the view: what nobody receives needs no topic"
            report.warning("TO107", report.key(location), f"{view.name} to have a subscription", "none", fix)
        for slug, terms in view.subscriptions.items():
            own = (*location, "subscriptions", slug)
            if slug not in topology.departments:
                report.error("TO102", report.key(own), *_unknown_department(topology, slug))
            if slug == view.authority:
                fix = "remove the subscription: the authority's own table is what the view is made from"
                report.error("TO103", report.key(own), "a subscriber other than the authority", slug, fix)
            if is_placeholder(terms.basis):
                fix = "cite the law, regulation or agreement with its article"
                report.error("TO201", report.value((*own, "basis")), "a legal basis", "a placeholder", fix)
            if is_placeholder(terms.purpose):
                fix = "say what the department does with the data"
                report.error("TO202", report.value((*own, "purpose")), "a purpose", "a placeholder", fix)
            if terms.freshness_seconds > terms.longest_lag_hours * 3600:
                place = report.value((*own, "freshness_seconds"))
                expected = f"at most the longest lag allowed, {terms.longest_lag_hours} hours"
                fix = "lower freshness_seconds or raise longest_lag_hours"
                report.error("TO108", place, expected, f"{terms.freshness_seconds} seconds", fix)


def _check_buckets(topology: Topology, report: Report) -> None:
    for view, location in _located_views(topology):
        if view.buckets & (view.buckets - 1):
            lower = 1 << (view.buckets.bit_length() - 1)
            place = report.value((*location, "buckets"))
            report.error("TO304", place, "a power of two", f"{view.buckets}", f"write {lower} or {lower * 2}")


def _check_topics(topology: Topology, report: Report) -> None:
    places = {view.topic: report.key(location) for view, location in _located_views(topology)}
    first_by_metric: dict[str, str] = {}
    for spec in topics_of(topology):
        place = places.get(spec.name, report.key(()))
        if len(spec.name) > _MOST_TOPIC_CHARACTERS:
            expected = f"a topic name of at most {_MOST_TOPIC_CHARACTERS} characters"
            report.error("TO401", place, expected, f"{len(spec.name)}", "shorten the record type's or the view's name")
        if not _LEGAL_TOPIC.fullmatch(spec.name):
            expected = "a topic name of letters, digits, dots, underscores and hyphens"
            report.error("TO402", place, expected, repr(spec.name), "rename the record type or the view")
        # Kafka's metrics write a dot as an underscore, and the broker refuses the second of two names that become one.
        metric = spec.name.replace(".", "_")
        first = first_by_metric.setdefault(metric, spec.name)
        if first != spec.name:
            expected = "topic names that differ in more than dots and underscores"
            report.error("TO403", place, expected, f"{spec.name} beside {first}", "rename one record type or view")


def _located_views(topology: Topology) -> Iterator[tuple[View, tuple[str, ...]]]:
    for view in topology.views():
        yield view, ("record_types", view.record_type, "views", view.short_name)


def _unknown_department(topology: Topology, slug: str) -> tuple[str, str, str]:
    near = near_miss(slug, list(topology.departments))
    fix = f"did you mean {near}?" if near else "add it under departments"
    return "a department of the topology", slug, fix


_CHECKS: tuple[Callable[[Topology, Report], None], ...] = (
    _check_departments,
    _check_authorities,
    _check_subscriptions,
    _check_signing_keys,
    check_sharing,
    _check_buckets,
    _check_topics,
)
