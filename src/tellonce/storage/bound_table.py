"""Whether the table that a binding names is there, with its columns and a key, before anything is applied to it."""

from collections.abc import Sequence
from difflib import get_close_matches

from sqlalchemy import Engine, inspect
from sqlalchemy.exc import DBAPIError, NoSuchTableError

from tellonce.avro import FieldSpec
from tellonce.declare import Binding
from tellonce.model.errors import ConfigurationError, RetryableError
from tellonce.storage.database import is_infrastructure_trouble, sentence_of

__all__ = ["key_of_table"]


def key_of_table(engine: Engine, binding: Binding, specs: Sequence[FieldSpec]) -> Sequence[str]:
    """Gives the columns that name a row: those declared, or the primary key.

    Raises:
        ConfigurationError: the table, a column that the binding names, or a usable key is not there.
        RetryableError: the database is away.
    """
    schema, _, name = binding.table.rpartition(".")
    try:
        inspector = inspect(engine)
        names = [column["name"] for column in inspector.get_columns(name, schema=schema or None)]
        primary = inspector.get_pk_constraint(name, schema=schema or None)["constrained_columns"]
    except NoSuchTableError as error:
        msg = (
            f"{binding.place}: expected the table {binding.table} in the department's database, found none of that name"
        )
        raise ConfigurationError(msg, view=binding.view, table=binding.table) from error
    except DBAPIError as error:
        if is_infrastructure_trouble(error):
            raise RetryableError(sentence_of(engine, error)) from error
        raise
    _check_columns(binding, specs, names)
    key = binding.key or tuple(primary)
    if not key:
        msg = (
            f"{binding.place}: the table {binding.table} has no primary key; name columns that identify a row: key=..."
        )
        raise ConfigurationError(msg, view=binding.view, table=binding.table)
    if missing := [each for each in key if each not in names]:
        msg = f"{binding.place}: expected the key column {missing[0]} in the table {binding.table}, found none"
        raise ConfigurationError(msg, view=binding.view, table=binding.table)
    return key


def _check_columns(binding: Binding, specs: Sequence[FieldSpec], names: Sequence[str]) -> None:
    wanted = [column.column for column in binding.columns_for(specs)] + list(binding.mark) + list(binding.defaults)
    for name in wanted:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"; is {near[0]} meant?" if near else f"; it has {', '.join(names)}"
            msg = f"{binding.place}: expected a column {name} in the table {binding.table}, found none{hint}"
            raise ConfigurationError(msg, view=binding.view, table=binding.table, column=name)
