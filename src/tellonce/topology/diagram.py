"""Who feeds whom and on what basis, as a Mermaid flowchart and as text; both the same for the same topology."""

from collections.abc import Iterator

from tellonce.topology.model import Subscription, Topology, View

__all__ = ["to_mermaid", "to_text"]

_ENTITIES = str.maketrans({"#": "#35;", "&": "#amp;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "`": "#96;"})


def to_mermaid(topology: Topology) -> str:
    """A Mermaid flowchart from authorities through views to subscribers, the last arrow labelled with the basis."""
    active = [slug for slug in topology.departments if topology.published_by(slug) or topology.subscribed_by(slug)]
    # Numbers, since a name may be a word of Mermaid's own, such as "end".
    department_ids = {slug: f"d{number}" for number, slug in enumerate(active, start=1)}
    lines = ["flowchart LR"]
    for slug, node in department_ids.items():
        lines.append(f'    {node}["{_escaped(topology.departments[slug].title)}"]')
    for number, view in enumerate(topology.views(), start=1):
        node = f"v{number}"
        lines.append(f'    {node}(["{_escaped(view.topic)}"])')
        lines.append(f"    {department_ids[view.authority]} --> {node}")
        for slug, terms in view.subscriptions.items():
            lines.append(f'    {node} -->|"{_escaped(terms.basis)}"| {department_ids[slug]}')
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """`text` on one line, with what Mermaid or a browser would read as markup written as entities."""
    return _one_line(text).translate(_ENTITIES)


def to_text(topology: Topology) -> str:
    """The same as indented text: authorities, their views with topic and fields, and the terms of each subscription."""
    return "\n".join(_lines(topology)) + "\n"


def _lines(topology: Topology) -> Iterator[str]:
    yield _one_line(topology.city)
    for record_type in topology.record_types.values():
        yield ""
        yield f"{record_type.name}, from {record_type.authority}"
        for view in record_type.views.values():
            yield from _view_lines(view)


def _view_lines(view: View) -> Iterator[str]:
    yield f"  {view.name}: topic {view.topic}, partitions {view.partitions}"
    yield f"    fields: {', '.join(view.fields)}"
    if view.match_only:
        yield f"    only for matching: {', '.join(view.match_only)}"
    if not view.subscriptions:
        yield "    to nobody"
    for terms in view.subscriptions.values():
        yield from _subscription_lines(terms)


def _subscription_lines(terms: Subscription) -> Iterator[str]:
    yield f"    to {terms.department} within {terms.freshness_seconds} s, on divergence {terms.on_divergence}"
    yield f"      basis: {_one_line(terms.basis)}"
    yield f"      purpose: {_one_line(terms.purpose)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
