"""Match rules: how the row that is a record's is found in a department's table, tried in the order declared."""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from tellonce.declare.derivation import Derivation
from tellonce.model.change import Fields

__all__ = ["Candidate", "Current", "MatchRule", "Previous", "candidate", "current", "former_list_of", "previous"]


@runtime_checkable
class MatchRule(Protocol):
    """One way to find a record's rows: those whose column bound to `identifier` holds one of `local_values`."""

    @property
    def identifier(self) -> str:
        """The field whose column is searched."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """The fields of the view that the rule reads."""
        ...

    def local_values(self, fields: Fields) -> tuple[str, ...]:
        """Gives the values that the record's row may hold, in shared form, each once; none if it has none."""
        ...


@dataclass(frozen=True, slots=True)
class Current:
    """The row holds the authority's present value of `field`."""

    field: str

    @property
    def identifier(self) -> str:
        """The field whose column is searched."""
        return self.field

    @property
    def needs(self) -> tuple[str, ...]:
        """The fields of the view that the rule reads."""
        return (self.field,)

    def local_values(self, fields: Fields) -> tuple[str, ...]:
        """Gives the present value."""
        value = fields.get(self.field)
        return (value,) if isinstance(value, str) and value else ()


@dataclass(frozen=True, slots=True)
class Previous:
    """The row holds a former value of the identifier `of`; the view carries those in its match_only list `field`."""

    field: str
    of: str | None = None

    @property
    def identifier(self) -> str:
        """The field whose column is searched."""
        return self.of or self.field

    @property
    def needs(self) -> tuple[str, ...]:
        """The fields of the view that the rule reads."""
        return (self.field,)

    def local_values(self, fields: Fields) -> tuple[str, ...]:
        """Gives the former values in the order the authority lists them."""
        values = fields.get(self.field)
        return tuple(dict.fromkeys(value for value in values if value)) if isinstance(values, tuple) else ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """The row holds a value from which `derivation` derives the authority's present value of `field`."""

    field: str
    derivation: Derivation

    @property
    def identifier(self) -> str:
        """The field whose column is searched."""
        return self.field

    @property
    def needs(self) -> tuple[str, ...]:
        """The fields of the view that the rule reads."""
        return (self.field,)

    def local_values(self, fields: Fields) -> tuple[str, ...]:
        """Gives the local values whose candidate is the authority's value."""
        value = fields.get(self.field)
        return tuple(dict.fromkeys(self.derivation.backward(value))) if isinstance(value, str) and value else ()


def current(field: str) -> Current:
    """Declares that a row is the record's if it holds the authority's present value of `field`."""
    return Current(field)


def previous(field: str, *, of: str | None = None) -> Previous:
    """Declares that a row is the record's if it holds a value that an identifier had before.

    The former values are a match_only list of the view. `previous("id_number")` names the identifier and means the
    list that is called `former_id_numbers` by convention; `previous("former_id_numbers")` names the list and means the
    same. Where the names do not follow the convention, say both: `previous("earlier_numbers", of="id_number")`.
    """
    return Previous(field, of)


def candidate(field: str, derivation: Derivation) -> Candidate:
    """Declares that a row is the record's if `derivation` makes the authority's value of `field` from the row's.

    It only finds the row: what gets written is always the authority's value.
    """
    return Candidate(field, derivation)


def former_list_of(field: str) -> str:
    """Gives the conventional name of the match_only list that carries the former values of `field`."""
    return f"former_{field}s"


def resolve_previous(rule: Previous, bound: frozenset[str]) -> Previous:
    """Gives the rule with both its list and its identifier named, by the convention of `former_list_of`.

    `bound` are the fields bound to columns. Where the convention does not help, the rule is given back as it is.
    """
    if rule.of is not None:
        return rule
    if rule.field in bound:
        return Previous(former_list_of(rule.field), rule.field)
    return next((replace(rule, of=field) for field in sorted(bound) if former_list_of(field) == rule.field), rule)
