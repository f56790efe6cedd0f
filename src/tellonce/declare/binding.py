"""Bindings: how one department's own table holds a view, as a form that someone who knows the table fills in."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from tellonce.avro.fields import FieldSpec
from tellonce.declare.codec import CannotHold, Codec, Raw, Undecodable, encode_checked
from tellonce.declare.codecs import default_codec
from tellonce.declare.matching import (
    Candidate,
    Current,
    MatchRule,
    Previous,
    candidate,
    current,
    previous,
    resolve_previous,
)
from tellonce.declare.names import check_name, check_table, column_names, find_place
from tellonce.model.change import Value
from tellonce.model.errors import ConfigurationError

__all__ = [
    "Binding",
    "BoundColumn",
    "Candidate",
    "Column",
    "Current",
    "Existing",
    "MatchRule",
    "Mirror",
    "Previous",
    "Scope",
    "candidate",
    "current",
    "existing",
    "mirror",
    "previous",
]


@dataclass(frozen=True, slots=True, init=False)
class Column:
    """One column of a table and the codec that says how it holds its field.

    Without a codec the column holds the field as it is, in the database's own type for the field's kind.
    With `else_keep`, a value the column cannot hold leaves this column as it was and lets the others be written; the
    record stays listed as divergent. Without it such a record parks and nothing of it is written.
    """

    name: str
    codec: Codec | None = None
    else_keep: bool = False

    def __init__(self, name: str, codec: Codec | Callable[[], Codec] | None = None, *, else_keep: bool = False) -> None:
        """Takes a codec, or one of the codec constructors by its bare name (`yyyymmdd` for `yyyymmdd()`)."""
        if codec is not None and not isinstance(codec, Codec):
            codec = codec()
        object.__setattr__(self, "name", check_name(name, "a column", find_place()))
        object.__setattr__(self, "codec", codec)
        object.__setattr__(self, "else_keep", else_keep)

    def codec_for(self, spec: FieldSpec) -> Codec:
        """Gives the declared codec, or the default one of the field's kind.

        Raises:
            ConfigurationError: none is declared and the field's kind has no default.
        """
        return self.codec or default_codec(spec.kind, spec.precision, spec.scale)


@dataclass(frozen=True, slots=True)
class Mirror:
    """The table holds every record of the view; missing rows are inserted."""


@dataclass(frozen=True, slots=True)
class Existing:
    """The table holds only records the department has a file for; no row is ever inserted.

    `open` is an SQL predicate over the row, in the department's own words, that says whether its file is still open;
    None: always.
    """

    open: str | None = None


Scope = Mirror | Existing


def mirror() -> Mirror:
    """Declares that the table holds every record of the view."""
    return Mirror()


def existing(open: str | None = None) -> Existing:  # noqa: A002 (the form's own word)
    """Declares that the table holds only records the department already has a row for, while `open` is true of the row.

    `open` is an SQL predicate over the table's columns, such as `"zhzt <> '9'"`. It is the department's own text and
    runs with the department's own rights.

    Raises:
        ConfigurationError: the predicate is empty.
    """
    if open is not None and not open.strip():
        raise ConfigurationError(
            f"{find_place()}: expected open= to be an SQL predicate over the row, found empty text; leave it out"
        )
    return Existing(open)


@dataclass(frozen=True, slots=True, init=False)
class Binding:
    """How one department's own table holds a view.

    `view` is the full name, such as `citizen.identity`; `table` is `table` or `schema.table`.
    `match` are the rules by which a record's row is found, tried in order.
    `columns` maps every field of the view, but for its match_only ones, to the column that holds it.
    `key` are the table's columns that name a row for good; None means its primary key.
    `rows="many"` makes every row found the record's; with `"one"`, several are ambiguous and wait for a person.
    `on_delete` says what becomes of the row when the authority deletes the record: `keep` it as it is, set the columns
    in `mark`, or `delete` it. There is no default, because only the department can know. `unmark` is what to set in the
    marked row when the record comes back; without it a row that the mark has closed stays closed.
    `defaults` are constants for columns that no field fills, used only where a mirror inserts a row.
    """

    view: str
    table: str
    match: tuple[MatchRule, ...]
    columns: Mapping[str, Column]
    scope: Scope
    on_delete: Literal["keep", "mark", "delete"]
    mark: Mapping[str, Raw]
    unmark: Mapping[str, Raw]
    rows: Literal["one", "many"]
    key: tuple[str, ...] | None
    defaults: Mapping[str, Raw]
    place: str = field(compare=False, repr=False)
    """`file:line` of the declaration, for messages."""

    def __init__(  # noqa: PLR0913 (a form with named entries)
        self,
        *,
        view: str,
        table: str,
        match: Iterable[MatchRule],
        columns: Mapping[str, str | Column],
        scope: Scope,
        on_delete: Literal["keep", "mark", "delete"],
        mark: Mapping[str, Raw] | None = None,
        unmark: Mapping[str, Raw] | None = None,
        rows: Literal["one", "many"] = "one",
        key: str | Iterable[str] | None = None,
        defaults: Mapping[str, Raw] | None = None,
    ) -> None:
        """Takes the form as filled in and checks what can be checked without the view's schema.

        Raises:
            ConfigurationError: an entry is missing, contradicts another, or is not one of those allowed; it names the
                file and line.
        """
        place = find_place()
        bound = _bound_columns(columns, place)
        values: dict[str, object] = {
            "view": check_name(view, "the view", place),
            "table": check_table(table, place),
            "match": _resolved_rules(match, bound, place),
            "columns": MappingProxyType(bound),
            "scope": scope,
            "on_delete": on_delete,
            "mark": MappingProxyType(dict(mark or {})),
            "unmark": MappingProxyType(dict(unmark or {})),
            "rows": rows,
            "key": None if key is None else column_names(key, "the key", place),
            "defaults": MappingProxyType(dict(defaults or {})),
            "place": place,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        _check_delete(self)
        _check_scope(self)

    def columns_for(self, specs: Iterable[FieldSpec]) -> tuple["BoundColumn", ...]:
        """Gives the bound columns in the order of the view's fields, each with its codec; match_only fields have none.

        Raises:
            ConfigurationError: a field of the view has no column here, or its column no codec.
        """
        found: list[BoundColumn] = []
        for spec in specs:
            if spec.match_only:
                continue
            column = self.columns.get(spec.name)
            if column is None:
                raise ConfigurationError(
                    f"{self.place}: binding of {self.view} has no column for the field {spec.name}"
                )
            found.append(BoundColumn(spec.name, column.name, column.codec_for(spec), column.else_keep))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class BoundColumn:
    """One field of a view in one column of a department's table, ready to use in both directions."""

    field: str
    column: str
    codec: Codec
    else_keep: bool

    def decode(self, raw: Raw) -> Value:
        """Gives the shared form of what the column holds.

        Raises:
            Undecodable: the raw value is not understood; the error names column and field, never the value.
        """
        try:
            return self.codec.decode(raw)
        except Undecodable as error:
            raise Undecodable(
                f"column {self.column} (field {self.field}): {error}", column=self.column, field=self.field
            ) from error

    def encode(self, value: Value) -> Raw:
        """Gives what to write into the column, having seen that it reads back as exactly `value`.

        Raises:
            CannotHold: the column cannot hold the value; the error names column and field, never the value.
        """
        try:
            return encode_checked(self.codec, value)
        except CannotHold as error:
            raise CannotHold(
                f"column {self.column} (field {self.field}): {error}", column=self.column, field=self.field
            ) from error

    def spellings(self, value: Value) -> tuple[Raw, ...]:
        """Gives every raw value under which a row holding `value` may be found; none if the column cannot hold it."""
        try:
            return self.codec.spellings(value)
        except CannotHold:
            return ()


def _bound_columns(columns: Mapping[str, str | Column], place: str) -> dict[str, Column]:
    if not columns:
        raise ConfigurationError(f"{place}: expected columns= to name a column for each field of the view, found none")
    bound = {name: column if isinstance(column, Column) else Column(column) for name, column in columns.items()}
    taken: dict[str, str] = {}
    for name, column in bound.items():
        if column.name in taken:
            raise ConfigurationError(
                f"{place}: the column {column.name} is bound to both {taken[column.name]} and {name}; "
                "one column holds one field"
            )
        taken[column.name] = name
    return bound


def _resolved_rules(rules: Iterable[MatchRule], bound: Mapping[str, Column], place: str) -> tuple[MatchRule, ...]:
    given = tuple(rules)
    if not given:
        raise ConfigurationError(
            f"{place}: expected at least one rule in match=, by which a record's row is found, found none; "
            'write for example match=[current("id_number")]'
        )
    for rule in given:
        # A type checker would see this; a department need not run one.
        if not isinstance(rule, MatchRule):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(
                f"{place}: expected each entry of match= to be a rule such as current(...), found {rule!r}"
            )
    others = {rule.identifier for rule in given if not isinstance(rule, Previous)}
    resolved: list[MatchRule] = []
    for rule in given:
        if isinstance(rule, Previous):
            known = resolve_previous(rule, frozenset(bound))
            if known.of is None and len(others) == 1:
                known = Previous(known.field, next(iter(others)))
            if known.of is None:
                raise ConfigurationError(
                    f"{place}: previous({rule.field!r}) does not say whose former values it lists; "
                    f'name the field: previous({rule.field!r}, of="...")'
                )
            resolved.append(known)
        else:
            resolved.append(rule)
        identifier = resolved[-1].identifier
        if identifier not in bound:
            raise ConfigurationError(
                f"{place}: a match rule searches the column of {identifier}, but columns= binds no column to it"
            )
    if len(set(resolved)) != len(resolved):
        raise ConfigurationError(f"{place}: match= states one rule twice; leave one out")
    return tuple(resolved)


def _check_delete(binding: Binding) -> None:
    place = binding.place
    if binding.on_delete not in {"keep", "mark", "delete"}:
        raise ConfigurationError(
            f'{place}: expected on_delete to be "keep", "mark" or "delete", found {binding.on_delete!r}'
        )
    if binding.on_delete == "mark" and not binding.mark:
        raise ConfigurationError(
            f'{place}: on_delete="mark" needs mark= with the columns to set when the authority deletes a record, '
            """for example mark={"zhzt": "9"}"""
        )
    if binding.on_delete != "mark" and binding.mark:
        raise ConfigurationError(f'{place}: mark= is only for on_delete="mark", but on_delete is {binding.on_delete!r}')
    if binding.unmark and set(binding.unmark) != set(binding.mark):
        raise ConfigurationError(
            f"{place}: unmark= takes back what mark= sets, so both name the same columns; "
            f"mark= names {', '.join(binding.mark) or 'none'}"
        )
    for name in binding.mark:
        check_name(name, "a column in mark=", place)


def _check_scope(binding: Binding) -> None:
    place = binding.place
    # A type checker would see this; a department need not run one.
    if not isinstance(binding.scope, Mirror | Existing):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"{place}: expected scope= to be mirror() or existing(...), found {binding.scope!r}")
    if binding.rows not in {"one", "many"}:
        raise ConfigurationError(f'{place}: expected rows= to be "one" or "many", found {binding.rows!r}')
    is_mirror = isinstance(binding.scope, Mirror)
    if is_mirror and binding.rows == "many":
        raise ConfigurationError(
            f'{place}: a mirror holds one row for each record; rows="many" goes with existing(...) only'
        )
    if not is_mirror and binding.defaults:
        raise ConfigurationError(
            f"{place}: defaults= fill rows that are inserted, and existing(...) never inserts; leave them out"
        )
    held = {column.name for column in binding.columns.values()}
    for name in binding.defaults:
        check_name(name, "a column in defaults=", place)
        if name in held:
            raise ConfigurationError(
                f"{place}: defaults= names the column {name}, which already holds a field of the view"
            )
