"""Sources: how the authority's own table holds the record type that it publishes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from tellonce.avro.fields import FieldSpec
from tellonce.declare.binding import Column
from tellonce.declare.codec import Codec, Raw, Undecodable, kind_of, whole_number
from tellonce.declare.codecs import text
from tellonce.declare.names import check_name, check_table, column_names, find_place
from tellonce.model.change import Fields, Value
from tellonce.model.errors import ConfigurationError

__all__ = ["Former", "Source", "record_key_of"]

_TEXT = text()


@dataclass(frozen=True, slots=True, init=False)
class Former:
    """The authority's history table that fills a match_only list with the former values of an identifier.

    `key` are the history table's columns that hold the record key, in the order of the source's key.
    `column` holds one former value; `order_by` orders them, oldest first (without it they are ordered by value).
    """

    table: str
    key: tuple[str, ...]
    column: str
    order_by: str | None
    codec: Codec

    def __init__(
        self,
        table: str,
        key: str | Iterable[str],
        column: str,
        order_by: str | None = None,
        codec: Codec | Callable[[], Codec] | None = None,
    ) -> None:
        """Takes the entries and checks the names.

        Raises:
            ConfigurationError: a name is none that a database may have.
        """
        place = find_place()
        if codec is not None and not isinstance(codec, Codec):
            codec = codec()
        object.__setattr__(self, "table", check_table(table, place))
        object.__setattr__(self, "key", column_names(key, "the history table's key", place))
        object.__setattr__(self, "column", check_name(column, "the history table's column", place))
        object.__setattr__(self, "order_by", None if order_by is None else check_name(order_by, "order_by", place))
        object.__setattr__(self, "codec", codec or _TEXT)

    def values_of(self, raws: Iterable[Raw]) -> tuple[str, ...]:
        """Gives the former values in the order given, without nulls and repetitions.

        Raises:
            Undecodable: a raw value is not understood.
        """
        values = [self.codec.decode(raw) for raw in raws]
        return tuple(dict.fromkeys(value for value in values if isinstance(value, str) and value))


@dataclass(frozen=True, slots=True, init=False)
class Source:
    """How the authority's own table holds a record type.

    `key` names the columns that make the record key, which never changes and is never given to another record.
    `columns` maps each field of the record type to the column that holds it; `former` each match_only list to its
    history table.
    """

    record_type: str
    table: str
    key: tuple[str, ...]
    columns: Mapping[str, Column]
    former: Mapping[str, Former]
    place: str = field(compare=False, repr=False)
    """`file:line` of the declaration, for messages."""

    def __init__(
        self,
        *,
        record_type: str,
        table: str,
        key: str | Iterable[str],
        columns: Mapping[str, str | Column],
        former: Mapping[str, Former] | None = None,
    ) -> None:
        """Takes the form as filled in and checks what can be checked without the record type's schema.

        Two fields may share a column here, since nothing is written to it.

        Raises:
            ConfigurationError: an entry is missing or contradicts another; it names the file and line.
        """
        place = find_place()
        keys = column_names(key, "the record key", place)
        if not columns:
            raise ConfigurationError(
                f"{place}: expected columns= to name a column for each field of the record type, found none"
            )
        lists = dict(former or {})
        for name, history in lists.items():
            if name in columns:
                raise ConfigurationError(f"{place}: the field {name} stands in both columns= and former=; keep one")
            if len(history.key) != len(keys):
                raise ConfigurationError(
                    f"{place}: the history table of {name} has {len(history.key)} key columns, "
                    f"the record key has {len(keys)}"
                )
        values: dict[str, object] = {
            "record_type": check_name(record_type, "the record type", place),
            "table": check_table(table, place),
            "key": keys,
            "columns": MappingProxyType({n: c if isinstance(c, Column) else Column(c) for n, c in columns.items()}),
            "former": MappingProxyType(lists),
            "place": place,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns that fields are read from, each once, in declared order."""
        return tuple(dict.fromkeys(column.name for column in self.columns.values()))

    @property
    def histories(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The history tables with their columns that hold the record key, each once, in declared order."""
        return tuple(dict.fromkeys((history.table, history.key) for history in self.former.values()))

    def record_key(self, raw_row: Mapping[str, Raw]) -> str:
        """Gives the record key of a row by its column names (see `record_key_of`).

        Raises:
            Undecodable: a key column is absent from the row, or holds no value that names a record.
        """
        missing = [name for name in self.key if name not in raw_row]
        if missing:
            raise Undecodable(
                f"the row has no column {missing[0]}, which is part of the key of {self.table}", column=missing[0]
            )
        return record_key_of([raw_row[name] for name in self.key])

    def fields_of(
        self, raw_row: Mapping[str, Raw], specs: Iterable[FieldSpec], former: Mapping[str, Sequence[Raw]] | None = None
    ) -> Fields:
        """Gives the shared form of a row's fields: those in `specs`, in their order.

        `raw_row` is keyed by column name; `former` holds, by field, the raw values read from the history tables. A
        match_only list
        that is in `specs` and not in `former` is empty.

        Raises:
            ConfigurationError: a field has neither a column nor a history table.
            Undecodable: a column is absent from the row, or its raw value is not understood; the error names column
                and field.
        """
        fields: dict[str, Value] = {}
        for spec in specs:
            history = self.former.get(spec.name)
            if history is not None:
                fields[spec.name] = history.values_of((former or {}).get(spec.name, ()))
                continue
            column = self.columns.get(spec.name)
            if column is None:
                raise ConfigurationError(
                    f"{self.place}: the source of {self.record_type} has no column for the field {spec.name}"
                )
            if column.name not in raw_row:
                raise Undecodable(
                    f"the row has no column {column.name} (field {spec.name})", column=column.name, field=spec.name
                )
            try:
                fields[spec.name] = column.codec_for(spec).decode(raw_row[column.name])
            except Undecodable as error:
                raise Undecodable(
                    f"column {column.name} (field {spec.name}): {error}", column=column.name, field=spec.name
                ) from error
        return fields


def record_key_of(raws: Sequence[Raw]) -> str:
    """Gives the record key as text: of one column its value, of several their values joined by `/`.

    A `%` or `/` inside a value of a joined key is written `%25` or `%2F`, so no two keys are joined alike. In SQL this
    is what `tellonce.storage.record_keys` makes.

    Raises:
        Undecodable: a value is null, empty, ends in a blank (CHAR(n) and TEXT would then give different keys), or is
            neither text nor a whole number.
    """
    parts = [_key_part(raw) for raw in raws]
    if len(parts) == 1:
        return parts[0]
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)


def _key_part(raw: Raw) -> str:
    if isinstance(raw, str):
        if not raw or raw.endswith(" ") or "\0" in raw:
            raise Undecodable("a record key's text must not be empty, end in a blank or contain NUL")
        return raw
    number = whole_number(raw) if isinstance(raw, int | Decimal) else None
    if number is None:
        raise Undecodable(f"expected a record key of text or whole numbers, found {kind_of(raw)}")
    return str(number)
