"""What a change event must be to fit its view, said field by field and without quoting a value."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tellonce.avro.errors import CannotEncode
from tellonce.avro.fieldshape import FieldShape
from tellonce.avro.values import ValueShape, Wire, refusal
from tellonce.model.change import ChangeEvent, Fields, Operation, Origin
from tellonce.model.errors import InvariantError

__all__ = ["SourceNames", "event_refusal"]

_TEXT = ValueShape(wire=Wire.TEXT)
_LONG = ValueShape(wire=Wire.LONG)

# The attributes of an event that the generated code writes, as the envelope names them.
_SOURCE_VALUES = {
    "department": _TEXT,
    "record_key": _TEXT,
    "epoch": _LONG,
    "version": _LONG,
    "sequence": _LONG,
    "committed_at_ms": _LONG,
    "published_at_ms": _LONG,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceNames:
    """What the `source` of every message of a view says alike."""

    department: str
    record_type: str
    view: str


def event_refusal(
    fields: Sequence[FieldShape], names: SourceNames
) -> Callable[[ChangeEvent], CannotEncode | InvariantError | None]:
    """The function that says why an event cannot be written to this view; None from it if nothing stands against it.

    It gives InvariantError where the event is another view's, which is the program's fault and not the record's.
    """
    shapes = {field.spec.name: field.value for field in fields}

    def refused(event: ChangeEvent) -> CannotEncode | InvariantError | None:
        if (event.view, event.record_type) != (names.view, names.record_type):
            return InvariantError(f"expected an event of view {names.view}, found one of another view", view=names.view)
        problem = _first_problem(shapes, event)
        if problem is None:
            return None
        message = f"{problem[0]} of view {names.view}: {problem[1]}; correct the row or the mapping of its column"
        return CannotEncode(message, view=names.view, field=problem[0])

    return refused


def _first_problem(shapes: dict[str, ValueShape], event: ChangeEvent) -> tuple[str, str] | None:
    for side, row in (("before", event.before), ("after", event.after)):
        problem = None if row is None else _row_problem(shapes, row)
        if problem is not None:
            return f"{side}.{problem[0]}", problem[1]
    for name, shape in _SOURCE_VALUES.items():
        problem_here = refusal(shape, getattr(event, name))
        if problem_here is not None:
            return name, problem_here
    for name, known in (("op", frozenset(Operation)), ("origin", frozenset(Origin))):
        if getattr(event, name) not in known:
            return name, "expected one of the envelope's codes, found another value"
    return None


def _row_problem(shapes: dict[str, ValueShape], row: Fields) -> tuple[str, str] | None:
    for name, shape in shapes.items():
        if name not in row:
            return name, "expected a value, found the field missing"
        problem = refusal(shape, row[name])
        if problem is not None:
            return name, problem
    for name in row:
        if name not in shapes:
            return str(name), "expected only fields of the view, found another"
    return None
