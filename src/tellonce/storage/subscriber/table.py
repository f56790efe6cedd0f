"""What a database says of a bound table before anything is applied to it, and what follows for the binding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from tellonce.avro.fields import FieldSpec, Kind
from tellonce.declare.binding import Binding, BoundColumn
from tellonce.declare.codec import Codec, Raw, Undecodable
from tellonce.declare.textual import CodeListCodec
from tellonce.model.change import Value
from tellonce.model.errors import PoisonMessageError
from tellonce.storage.subscriber.samples import DIGITS, samples_of
from tellonce.storage.subscriber.view import BoundView

__all__ = [
    "ColumnFacts",
    "Judgement",
    "Refused",
    "TableFacts",
    "judge",
    "key_of",
    "needed_columns",
    "told_of_triggers",
    "trials_of",
]


@dataclass(frozen=True, slots=True)
class Refused:
    """The database did not take a value; `code` is its own short name for why."""

    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFacts:
    """A column; `type` is as the database spells it, and `is_computed` says that the database alone fills it.

    `labels` are the only values that it can hold, where its type lists them.
    """

    type: str
    is_nullable: bool = True
    is_computed: bool = False
    is_number: bool = False
    folds_case: bool = False
    max_chars: int | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFacts:
    """A table as its database describes it.

    `unique` are the sets of columns of which no two rows hold the same, where the database vouches for it. `tried` are
    the values of `trials_of` as they read back from columns of these types. `faults` and `told` are sentences that
    only this kind of database has: what must be mended, and what a person may want to know.
    """

    columns: Mapping[str, ColumnFacts]
    primary_key: tuple[str, ...] = ()
    unique: Sequence[Sequence[str]] = ()
    key_is_doubled: bool = False
    """Whether two rows were found that hold the same key, where nothing vouches that there are none."""
    key_is_missing: bool = False
    """Whether a row was found that has no value in one of the key's columns."""
    tried: Mapping[str, Sequence[Raw | Refused]] = field(default_factory=dict[str, Sequence[Raw | Refused]])
    faults: Sequence[str] = ()
    told: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What was found, as sentences: those that keep the view from being applied, and those that are only told."""

    refused: Sequence[str]
    told: Sequence[str]


def key_of(binding: Binding, primary_key: Sequence[str]) -> tuple[str, ...]:
    """Gives the columns that name a row: those declared, or the primary key."""
    return binding.key or tuple(primary_key)


def needed_columns(view: BoundView) -> tuple[str, ...]:
    """Gives every column that the binding names."""
    binding = view.binding
    bound = (column.column for column in view.columns)
    return tuple(dict.fromkeys((*bound, *(binding.key or ()), *binding.mark, *binding.unmark, *binding.defaults)))


def trials_of(view: BoundView) -> Mapping[str, Sequence[Raw]]:
    """Gives, by bound column, what its codec writes for values that its field may have."""
    return {column.column: [raw for _, raw in _samples(view, column)] for column in view.columns}


def judge(view: BoundView, facts: TableFacts) -> Judgement:
    """Says what a table's facts mean for its binding, all at once."""
    binding = view.binding
    if not facts.columns:
        return Judgement(
            refused=[f"expected the table {binding.table} in the database, found none of that name"], told=()
        )
    missing = [name for name in needed_columns(view) if name not in facts.columns]
    refused = [_missing(binding, name, facts.columns) for name in missing]
    told = list(facts.told)
    key = key_of(binding, facts.primary_key)
    refused += _faults_of_key(binding, key, facts)
    for column in view.columns:
        if column.column in facts.columns:
            spec = view.schema.field(column.field)
            faults, doubts = _judge_column(view, column, spec, facts)
            refused += faults
            told += doubts
    return Judgement(refused=[*refused, *facts.faults], told=told)


def told_of_triggers(table: str, names: Sequence[str]) -> str:
    """Gives the sentence about triggers that are the department's own."""
    return (
        f"triggers of {table} fire when rows are written: {', '.join(names)}; "
        "a record whose row they change is parked as cannot_hold, one that they swallow as no_effect"
    )


def _missing(binding: Binding, name: str, known: Mapping[str, ColumnFacts]) -> str:
    near = get_close_matches(name, known, n=1)
    hint = f"; is {near[0]} meant?" if near else f"; it has {', '.join(known)}"
    return f"expected a column {name} in the table {binding.table}, found none{hint}"


def _faults_of_key(binding: Binding, key: Sequence[str], facts: TableFacts) -> list[str]:
    table, names = binding.table, ", ".join(key)
    if not key:
        return [f"the table {table} has no primary key; name columns that identify a row: key=..."]
    if any(name not in facts.columns for name in key):
        return []
    if facts.key_is_doubled:
        return [f"expected the key ({names}) to identify a row of {table}, found rows that share it; name another key"]
    if not any(set(columns) <= set(key) for columns in facts.unique):
        sentence = (
            f"expected the key ({names}) to identify a row of {table}, found nothing that keeps two rows from sharing "
            f"it; name another in key=, or let the database keep it: CREATE UNIQUE INDEX ON {table} ({names})"
        )
        return [sentence]
    if facts.key_is_missing:
        return [f"expected a value in every column of the key ({names}) of {table}, found a row without; name another"]
    return []


def _judge_column(
    view: BoundView, column: BoundColumn, spec: FieldSpec, facts: TableFacts
) -> tuple[list[str], list[str]]:
    """Gives what keeps a column from holding its field, and what is only told."""
    known = facts.columns[column.column]
    where = f"column {column.column} ({known.type}, field {column.field})"
    if known.is_computed:
        return [f"{where} is filled by the database alone and cannot be written; bind the column it is made of"], []
    faults, doubts = list[str](), list[str]()
    unfit, fit = _tried(view, column, known, facts)
    if unfit and (not fit or (fit == [DIGITS] and spec.kind is Kind.TEXT and not known.is_number)):
        faults.append(
            f"{where} cannot hold what its codec writes, or gives it back as something else; "
            f"choose the codec for such a column, or bind another"
        )
    elif unfit and (spec.kind is not Kind.TEXT or known.is_number or _is_closed(spec, column.codec)):
        which = ", ".join(str(value) for value in unfit) if _is_closed(spec, column.codec) else "every value"
        doubts.append(f"{where} cannot hold {which} of the field; a record that has one is parked as cannot_hold")
    longest = getattr(column.codec, "max_chars", None)
    if known.max_chars is not None and longest is not None and longest > known.max_chars:
        doubts.append(
            f"{where} is shorter than the {longest} characters that its codec allows; say max_chars={known.max_chars}"
        )
    if spec.nullable and not known.is_nullable and not column.else_keep:
        doubts.append(f"{where} takes no null, which the field may be; such a record is parked, unless else_keep=True")
    if known.folds_case and column.field in view.identifiers and not column.codec.keeps_spelling:
        doubts.append(f"{where} compares without regard to case, its codec does not; bind it by identifier()")
    return faults, doubts


def _is_closed(spec: FieldSpec, codec: Codec) -> bool:
    return bool(spec.symbols) or isinstance(codec, CodeListCodec)


def _tried(
    view: BoundView, column: BoundColumn, known: ColumnFacts, facts: TableFacts
) -> tuple[list[Value], list[Value]]:
    """Gives the values that the column does not hold unchanged, and those that it does."""
    samples = _samples(view, column)
    if known.labels and not _is_closed(view.schema.field(column.field), column.codec):
        # The field may be anything that the column lists.
        fit = [label for label in known.labels if _reads_as(column.codec, label) is not None]
        return (list[Value]() if fit else [value for value, _ in samples]), list[Value](fit)
    unfit, fitting = list[Value](), list[Value]()
    for (value, _), back in zip(samples, facts.tried.get(column.column, ()), strict=False):
        held = None if isinstance(back, Refused) else _reads_as(column.codec, back)
        (fitting if held == value and type(held) is type(value) else unfit).append(value)
    return unfit, fitting


def _reads_as(codec: Codec, raw: Raw) -> Value:
    try:
        return codec.decode(raw)
    except Undecodable:
        return None


def _samples(view: BoundView, column: BoundColumn) -> list[tuple[Value, Raw]]:
    """Gives values of a field with what is written for each; what the codec itself refuses is left out."""
    found: list[tuple[Value, Raw]] = []
    for value in samples_of(view.schema.field(column.field), column.codec):
        try:
            found.append((value, column.encode(value)))
        except PoisonMessageError:
            continue
    return found
