"""One view as one subscriber's table holds it: what a store and who decides must agree about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

from tellonce.avro.fields import ViewSchema
from tellonce.declare.binding import Binding, BoundColumn, Current
from tellonce.declare.codec import Raw, Undecodable
from tellonce.keyring import ViewKeys
from tellonce.model.change import Fields, Value
from tellonce.model.digest import canonical, element
from tellonce.storage.subscriber.facts import Number, Rank, Row, RowKey

__all__ = ["BoundView"]


@dataclass(frozen=True, kw_only=True)
class BoundView:
    """A view, its keys, and the binding to the department's table."""

    schema: ViewSchema
    keys: ViewKeys
    binding: Binding

    @property
    def name(self) -> str:
        """The view's full name."""
        return self.schema.view

    @cached_property
    def columns(self) -> Sequence[BoundColumn]:
        """The bound columns in the order of the view's fields."""
        return self.binding.columns_for(self.schema.fields)

    @cached_property
    def by_field(self) -> Mapping[str, BoundColumn]:
        """The bound column of each field."""
        return {column.field: column for column in self.columns}

    @cached_property
    def identifiers(self) -> Sequence[str]:
        """The fields whose columns rows are found by, the first rule's first."""
        return tuple(dict.fromkeys(rule.identifier for rule in self.binding.match))

    @cached_property
    def others(self) -> Sequence[str]:
        """The other bound fields, sorted."""
        return sorted(set(self.by_field) - set(self.identifiers))

    def numbers_of(self, after: Fields) -> Mapping[str, Number]:
        """Gives by hash what a record with these fields answers to; a number in force stays so under any rule."""
        found: dict[str, Number] = {}
        for rule in self.binding.match:
            rank = Rank.IN_FORCE if isinstance(rule, Current) else Rank.EARLIER
            for value in rule.local_values(after):
                number = self._as_read(rule.identifier, value)
                each = self.number_hash(rule.identifier, number)
                if each not in found or rank is Rank.IN_FORCE:
                    found[each] = Number(identifier=rule.identifier, value=number, rank=rank)
        return found

    def _as_read(self, identifier: str, value: str) -> str:
        """Gives a number as it is read from the column that holds it, whatever spelling it came in."""
        try:
            read = self.by_field[identifier].decode(value)
        except Undecodable:
            return value
        return read if isinstance(read, str) else value

    def number_hash(self, identifier: str, value: Value) -> str:
        """Gives the keyed hash of a number, so that our own tables need not hold it."""
        return self._hash((identifier, value))

    def others_hash(self, fields: Mapping[str, Value]) -> str:
        """Gives the keyed hash of the shared fields that are no identifier; "" where one lacks, or there are none."""
        if not self.others or not all(name in fields for name in self.others):
            return ""
        return self._hash([fields[name] for name in self.others])

    def element_of(self, pseudonym: str, fields: Mapping[str, Value]) -> int:
        """Gives what a record with these fields adds to the stream's sum."""
        return element(self.keys.digest, pseudonym, [fields[name] for name in self.schema.digest_fields])

    def row_element(self, pseudonym: str, row: Row) -> int:
        """Gives what a row adds to the sum: what no record adds, where a column cannot be read."""
        if row.unreadable:
            return element(self.keys.digest, pseudonym, ("unreadable",))
        return self.element_of(pseudonym, row.fields)

    def row(self, key: RowKey, raws: Iterable[Raw], *, is_open: bool, is_marked: bool) -> Row:
        """Gives a row from its bound columns' raw values; a column that is not understood hides no other (L2)."""
        fields: dict[str, Value] = {}
        unreadable: set[str] = set()
        for column, raw in zip(self.columns, raws, strict=True):
            try:
                fields[column.field] = column.decode(raw)
            except Undecodable:
                unreadable.add(column.field)
        held = ((name, fields.get(name)) for name in self.identifiers)
        numbers = frozenset(self.number_hash(name, value) for name, value in held if value)
        return Row(
            key=key,
            is_open=is_open,
            fields=fields,
            unreadable=frozenset(unreadable),
            numbers=numbers,
            is_marked=is_marked,
        )

    def _hash(self, values: Sequence[Value]) -> str:
        data, key = canonical(values), self.keys.digest
        return blake2b(data, digest_size=12, key=key, person=b"tellonce.match").hexdigest()
