"""Rules on fields: what may be in a view at all, and how a view lists it."""

from collections.abc import Iterator

from tellonce.topology.model import FieldSharing, RecordType, Topology, View
from tellonce.topology.rules import Report, is_placeholder
from tellonce.topology.shape import near_miss
from tellonce.topology.source import Location

__all__ = ["check_sharing"]


def check_sharing(topology: Topology, report: Report) -> None:
    """Adds every finding about sharing classes and about the fields that views list."""
    for record_type in topology.record_types.values():
        location = ("record_types", record_type.name)
        for name, sharing in record_type.fields.items():
            _check_class(sharing, (*location, "fields", name), report)
        for view in record_type.views.values():
            _check_view(record_type, view, (*location, "views", view.short_name), report)
        _check_twins(record_type, location, report)


def _check_class(sharing: FieldSharing, location: Location, report: Report) -> None:
    name = location[-1]
    # Where the text is written it is the place to look at, otherwise the field is.
    if sharing.sharing == "conditional" and is_placeholder(sharing.condition):
        place = report.key((*location, "condition"))
        fix = f"add 'condition: …' to {name}, saying what a subscriber must fulfil"
        report.error("TO204", place, "the condition under which it is shared", _absent(sharing.condition), fix)
    if sharing.sharing == "not_shared" and is_placeholder(sharing.bar):
        place = report.key((*location, "bar"))
        fix = f"add 'bar: …' to {name}, citing the law and article"
        report.error("TO205", place, "the law that bars sharing", _absent(sharing.bar), fix)
    for key, text, needed in (
        ("condition", sharing.condition, "conditional"),
        ("bar", sharing.bar, "not_shared"),
    ):
        if text is not None and sharing.sharing != needed:
            place = report.key((*location, key))
            fix = f"remove {key}, or class {name} as {needed}"
            report.error("TO207", place, f"{key} only where sharing is {needed}", sharing.sharing, fix)


def _absent(text: str | None) -> str:
    return "none" if text is None else "a placeholder"


def _check_view(record_type: RecordType, view: View, location: Location, report: Report) -> None:
    seen: set[str] = set()
    for name, place in _listed(view, location):
        position = report.value(place)
        sharing = record_type.fields.get(name)
        if sharing is None:
            near = near_miss(name, list(record_type.fields))
            fix = f"did you mean {near}?" if near else f"add it under fields of {record_type.name}"
            report.error("TO206", position, f"a field of {record_type.name} with a sharing class", name, fix)
        elif sharing.sharing == "not_shared":
            fix = "remove it from the view: the bar stated under fields forbids any sharing"
            report.error("TO203", position, "a field that may be shared", f"{name}, which is not_shared", fix)
        if name in seen:
            held_too = "match_only" in place and name in view.fields
            if held_too:
                fix = "list it under fields or under match_only, not both"
                report.error("TO301", position, "match_only fields that are not held", f"{name} again", fix)
            else:
                report.error("TO302", position, "each field once", f"{name} again", "remove one")
        seen.add(name)


def _listed(view: View, location: Location) -> Iterator[tuple[str, Location]]:
    for key, names in (("fields", view.fields), ("match_only", view.match_only)):
        for index, name in enumerate(names):
            yield name, (*location, key, index)


def _check_twins(record_type: RecordType, location: Location, report: Report) -> None:
    first_with: dict[tuple[frozenset[str], frozenset[str]], View] = {}
    for view in record_type.views.values():
        first = first_with.setdefault((frozenset(view.fields), frozenset(view.match_only)), view)
        if first is not view:
            place = report.key((*location, "views", view.short_name))
            fix = f"subscribe its departments to {first.name} instead"
            report.warning("TO303", place, "views with different fields", f"those of {first.name} again", fix)
