"""pydantic's complaints about a written topology as findings that name the line, what was expected, and the fix."""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tellonce.topology.findings import Finding, Severity
from tellonce.topology.model import (
    DEPARTMENT_PATTERN,
    NAME_PATTERN,
    DepartmentForm,
    FieldSharing,
    RecordTypeForm,
    SubscriptionForm,
    TopologyForm,
    ViewForm,
)
from tellonce.topology.source import Location, TopologySource

__all__ = ["near_miss", "shape_findings", "shown"]

_MOST_SHOWN = 60

_FORMS: Mapping[Location, tuple[str, type[BaseModel]]] = {
    (): ("a topology", TopologyForm),
    ("departments", "*"): ("a department", DepartmentForm),
    ("record_types", "*"): ("a record type", RecordTypeForm),
    ("record_types", "*", "fields", "*"): ("a field", FieldSharing),
    ("record_types", "*", "views", "*"): ("a view", ViewForm),
    ("record_types", "*", "views", "*", "subscriptions", "*"): ("a subscription", SubscriptionForm),
}


def near_miss(name: str, known: Sequence[str]) -> str | None:
    """The one of `known` that `name` most probably misspells, or None if none is close."""
    near = get_close_matches(name.lower(), known, n=1)
    return near[0] if near else None


def shown(text: str) -> str:
    """`text` as an error may show it: quoted, escaped, and at most 60 characters of it."""
    return repr(text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}...")


def shape_findings(error: ValidationError, source: TopologySource) -> tuple[Finding, ...]:
    """What makes a written topology no `TopologyForm`.

    A required key that is missing beside a misspelt one is reported once, as the misspelling.
    """
    details = error.errors(include_url=False)
    misspelt = {
        (*detail["loc"][:-1], near)
        for detail in details
        if detail["type"] == "extra_forbidden" and (near := _near_key(detail["loc"])) is not None
    }
    return tuple(
        _finding(detail, source)
        for detail in details
        if not (detail["type"] == "missing" and detail["loc"] in misspelt)
    )


def _finding(detail: ErrorDetails, source: TopologySource) -> Finding:
    location = detail["loc"]
    kind = detail["type"]
    describe = _KINDS.get(kind, _unforeseen)
    rule = {"extra_forbidden": "TO010", "missing": "TO011"}.get(kind, "TO012")
    expected, found, fix = describe(detail)
    # For a fault in a key itself pydantic appends "[key]", where nothing is written, so the key around it is found.
    at_key = kind in {"extra_forbidden", "missing"}
    return Finding(
        rule=rule,
        severity=Severity.ERROR,
        file=source.name,
        position=source.key_at(location) if at_key else source.value_at(location),
        expected=expected,
        found=found,
        fix=fix,
    )


def _form_at(location: Location) -> tuple[str, type[BaseModel]] | None:
    """What stands at `location`, in words, and its form; None where no form stands."""
    # Every second part of a location is a name that a person chose.
    return _FORMS.get(tuple("*" if index % 2 else part for index, part in enumerate(location)))


def _keys_at(location: Location) -> tuple[str, list[str]]:
    form = _form_at(location)
    return ("a mapping", []) if form is None else (form[0], list(form[1].model_fields))


def _near_key(location: Location) -> str | None:
    return near_miss(str(location[-1]), _keys_at(location[:-1])[1])


def _unknown_key(detail: ErrorDetails) -> tuple[str, str, str]:
    what, keys = _keys_at(detail["loc"][:-1])
    near = _near_key(detail["loc"])
    fix = f"did you mean {near}?" if near else "remove it, or check its indentation"
    return f"a key of {what} ({', '.join(keys)})", f"the key {shown(str(detail['loc'][-1]))}", fix


def _missing(detail: ErrorDetails) -> tuple[str, str, str]:
    what, _ = _keys_at(detail["loc"][:-1])
    key = detail["loc"][-1]
    return f"{what} to have the key {key}", "none", f"add '{key}: …' to it"


def _text(detail: ErrorDetails) -> tuple[str, str, str]:
    return "text", _kind(detail["input"]), "write one text, in quotes if it looks like a number, true, false or null"


def _empty_text(_: ErrorDetails) -> tuple[str, str, str]:
    return "text", "an empty one", "say it in words"


def _long_text(detail: ErrorDetails) -> tuple[str, str, str]:
    return f"at most {_limit(detail, 'max_length')} characters", f"{len(str(detail['input']))}", "shorten it"


def _pattern(detail: ErrorDetails) -> tuple[str, str, str]:
    pattern = detail.get("ctx", {}).get("pattern")
    found = shown(str(detail["input"]))
    if pattern == DEPARTMENT_PATTERN:
        fix = "rename it in every place it is used"
        return "a department's slug of lower-case letters, digits and single hyphens, letter first", found, fix
    if pattern == NAME_PATTERN:
        fix = "rename it in every place it is used"
        return "a name of lower-case letters, digits and single underscores, letter first", found, fix
    return "text without control characters", "one", "remove it"


def _whole_number(detail: ErrorDetails) -> tuple[str, str, str]:
    return "a whole number", _kind(detail["input"]), "write digits only, without quotes, point or unit"


def _least(detail: ErrorDetails) -> tuple[str, str, str]:
    return f"a number of at least {_limit(detail, 'ge')}", _number(detail), "raise it"


def _most(detail: ErrorDetails) -> tuple[str, str, str]:
    return f"a number of at most {_limit(detail, 'le')}", _number(detail), "lower it"


def _number(detail: ErrorDetails) -> str:
    digits = str(detail["input"])
    return digits if len(digits) <= _MOST_SHOWN else f"one of {len(digits)} digits"


def _choice(detail: ErrorDetails) -> tuple[str, str, str]:
    value = detail["input"]
    expected = str(detail.get("ctx", {}).get("expected", "")).replace("'", "")
    if not isinstance(value, str):
        return expected, _kind(value), "write one of these words"
    near = near_miss(value, expected.replace(" or ", ", ").split(", "))
    return expected, shown(value), f"did you mean {near}?" if near else "write one of these words"


def _mapping(detail: ErrorDetails) -> tuple[str, str, str]:
    form = _form_at(detail["loc"])
    if form is None:
        return "names, each followed by a colon and what it stands for", _kind(detail["input"]), "write one name a line"
    what, model = form
    required = [name for name, field in model.model_fields.items() if field.is_required()]
    return f"{what} with its keys", _kind(detail["input"]), f"give it its keys, at least {', '.join(required)}"


def _list(detail: ErrorDetails) -> tuple[str, str, str]:
    return "a list of names", _kind(detail["input"]), "write it as [first, second]"


def _too_few(detail: ErrorDetails) -> tuple[str, str, str]:
    return f"at least {_limit(detail, 'min_length')} entry", "none", "add one, or remove what needs it"


def _too_many(detail: ErrorDetails) -> tuple[str, str, str]:
    found = _limit(detail, "actual_length")
    return f"at most {_limit(detail, 'max_length')} entries", "more" if found == "None" else found, "remove some"


def _unforeseen(detail: ErrorDetails) -> tuple[str, str, str]:
    return "another value", f"one refused with '{detail['msg']}'", "compare it with the documented shape"


_KINDS: Mapping[str, Callable[[ErrorDetails], tuple[str, str, str]]] = {
    "extra_forbidden": _unknown_key,
    "missing": _missing,
    "string_type": _text,
    "string_too_short": _empty_text,
    "string_too_long": _long_text,
    "string_pattern_mismatch": _pattern,
    "int_type": _whole_number,
    "greater_than_equal": _least,
    "less_than_equal": _most,
    "literal_error": _choice,
    "model_type": _mapping,
    "dict_type": _mapping,
    "tuple_type": _list,
    "too_short": _too_few,
    "too_long": _too_many,
}


def _limit(detail: ErrorDetails, name: str) -> str:
    return str(detail.get("ctx", {}).get(name))


def _kind(value: object) -> str:
    """What kind of YAML value this is; not the value, since a contact may be a telephone number."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return "a number"
        case str():
            return "text" if value else "an empty text"
        case dict():
            return "a mapping"
        case _:
            return "a list"
