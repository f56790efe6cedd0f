"""What a view's fields are, as the parts above Avro see them: a kind, and whether null and match-only."""

from dataclasses import dataclass
from enum import StrEnum

from tellonce.model.errors import ConfigurationError

__all__ = ["FieldSpec", "Kind", "ViewSchema"]


class Kind(StrEnum):
    """The logical type of a field, and with it the Python type of its values."""

    TEXT = "text"
    """`str`; an Avro enum too, whose symbols are then the only values."""
    INTEGER = "integer"
    """`int`, never `bool`, in the range of the Avro type (int: 32 bits, long: 64)."""
    BOOLEAN = "boolean"
    """`bool`."""
    DATE = "date"
    """`datetime.date`, without a time."""
    INSTANT = "instant"
    """Aware `datetime`, to the millisecond; UTC when read."""
    DECIMAL = "decimal"
    """`decimal.Decimal` with exactly `scale` fractional digits when read."""
    BYTES = "bytes"
    """`bytes`."""
    TEXT_LIST = "text_list"
    """`tuple[str, ...]`, in the writer's order."""


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of a view.

    `precision` and `scale` are set for decimals only.
    `symbols` lists the only values of a text field that is an enum, and is empty for every other field.
    """

    name: str
    kind: Kind
    nullable: bool = False
    match_only: bool = False
    """Whether the field serves to find a row and is neither held nor part of the digest."""
    precision: int | None = None
    scale: int | None = None
    symbols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ViewSchema:
    """The newest published schema of a view."""

    view: str
    schema_id: int
    """The id in the Confluent frame of every message written by this schema."""
    fields: tuple[FieldSpec, ...]
    """In the order of the wire."""

    @property
    def digest_fields(self) -> tuple[str, ...]:
        """Names of the fields that a subscriber holds and the digest covers, sorted by name."""
        return tuple(sorted(field.name for field in self.fields if not field.match_only))

    def field(self, name: str) -> FieldSpec:
        """The field with this name.

        Raises:
            ConfigurationError: the view has no such field.
        """
        for field in self.fields:
            if field.name == name:
                return field
        known = ", ".join(field.name for field in self.fields)
        raise ConfigurationError(f"expected a field of view {self.view} ({known}), found {name}", view=self.view)
