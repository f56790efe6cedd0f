"""The functions that capture installs in PostgreSQL: the trigger's, and the reading ones that share its image."""

from collections.abc import Sequence

from sqlalchemy import Connection

from tellonce.declare import Former, Source
from tellonce.model.errors import ConfigurationError
from tellonce.storage.capture_plan import filled, literal
from tellonce.storage.database import OWN_SCHEMA
from tellonce.storage.outbox_table import mapped_columns
from tellonce.storage.postgres_catalog import CatalogColumn, CatalogTable, find_table, quoted
from tellonce.storage.record_keys import key_text_sql

__all__ = ["FUNCTION_KINDS", "TRIGGER_FUNCTION_KINDS", "CaptureFunction", "capture_functions"]

TRIGGER_FUNCTION_KINDS = ("capture", "refuse_truncate")
FUNCTION_KINDS = (*TRIGGER_FUNCTION_KINDS, "read_chunk", "read_records", "read_former")

_RECORD_VERSION = f"{OWN_SCHEMA}.record_version"
_NOW_MS = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"
# jsonb_build_object takes at most 100 arguments.
_PAIRS_PER_CALL = 50
# Types whose JSON form is one plain value; any other is captured as its text.
_PLAIN_TYPES = frozenset(
    {
        *("bool", "int2", "int4", "int8", "float4", "float8", "numeric"),
        *("text", "varchar", "bpchar", "char", "name", "uuid", "bytea"),
        *("date", "time", "timestamp", "timestamptz"),
    }
)
# An image must not depend on the settings of the session that fires the trigger.
_SETTINGS = (
    "search_path=pg_catalog, pg_temp",
    "TimeZone=UTC",
    "DateStyle=iso, ymd",
    "IntervalStyle=iso_8601",
    "bytea_output=hex",
    "extra_float_digits=1",
)
_LOCK_SETTING = "lock_timeout=500ms"


class CaptureFunction:
    """One function as it should be: signature, body, pinned settings, and whose rights it runs with."""

    def __init__(self, signature: str, body: str, settings: Sequence[str], *, is_definer: bool = False) -> None:
        """Takes the signature from the argument list on, and settings as the catalog shows them."""
        self.signature = signature
        self.body = f"\n{body}\n"
        self.settings = tuple(settings)
        self.is_definer = is_definer

    @property
    def arguments(self) -> str:
        """The argument list with its parentheses."""
        return self.signature.partition(" RETURNS")[0]

    def sql(self, name: str) -> str:
        """Gives the statements that make it, anew if its result has changed."""
        head = [
            f"CREATE OR REPLACE FUNCTION {name}{self.signature}",
            "LANGUAGE plpgsql VOLATILE",
            *(["SECURITY DEFINER"] if self.is_definer else []),
            *(_setting(setting) for setting in self.settings),
        ]
        # Whoever may execute the trigger's function could hang it on a table of his own and forge changes.
        revoke = f"REVOKE ALL ON FUNCTION {name}{self.arguments} FROM PUBLIC"
        return "\n".join([*head, f"AS $tellonce${self.body}$tellonce$;", revoke])


def _setting(shown: str) -> str:
    name, _, value = shown.partition("=")
    # A list must stay a list: in quotes it would be one schema's name.
    return f"SET {name} = {value if ',' in value else literal(value)}"


def capture_functions(connection: Connection, source: Source, table: CatalogTable) -> dict[str, CaptureFunction]:
    """Gives the functions of a source by kind; their names are `<kind>_<record type>`."""
    key_columns = [table.columns[name] for name in source.key]
    common = {
        "table": table.sql,
        "record_type": literal(source.record_type),
        "record_version": _RECORD_VERSION,
        "outbox": f"{OWN_SCHEMA}.{quoted(f'outbox_{source.record_type}')}",
        "key": _key("t", key_columns),
        "image": _image("t", source, table),
        "order": ", ".join(f"t.{quoted(column.name)}" for column in key_columns),
        "is_asked": _is_key(key_columns, "asked.record_key"),
    }
    functions = {
        "capture": CaptureFunction(
            "() RETURNS trigger",
            filled(
                "capture_function.sql",
                **common,
                now_ms=_NOW_MS,
                old_key=_key("OLD", key_columns),
                new_key=_key("NEW", key_columns),
                old_image=_image("OLD", source, table),
                is_old=_is_row("OLD", key_columns),
                is_new=_is_row("NEW", key_columns),
            ),
            _SETTINGS,
            is_definer=True,
        ),
        "refuse_truncate": CaptureFunction("() RETURNS trigger", filled("refuse_truncate_function.sql"), ()),
        "read_chunk": CaptureFunction(
            "(after_key text, how_many integer) RETURNS TABLE (record_key text, version bigint, image text)",
            filled("read_chunk_function.sql", **common, is_after=_is_after(key_columns, "after_key")),
            _SETTINGS,
        ),
        "read_records": CaptureFunction(
            "(keys text[], with_lock boolean) RETURNS TABLE (record_key text, version bigint, image text)",
            filled("read_records_function.sql", **common, is_there=f"t.{quoted(source.key[0])} IS NOT NULL"),
            (*_SETTINGS, _LOCK_SETTING),
        ),
    }
    if source.former:
        queries = [_former_query(connection, field, history) for field, history in source.former.items()]
        functions["read_former"] = CaptureFunction(
            "(keys text[]) RETURNS TABLE (field text, record_key text, value text)",
            filled("read_former_function.sql", queries="\n".join(queries)),
            _SETTINGS,
        )
    return functions


def _former_query(connection: Connection, field: str, history: Former) -> str:
    table = find_table(connection, history.table)
    if table is None:
        msg = f"expected the history table {history.table} in this database, found none"
        raise ConfigurationError(msg)
    key_columns = [table.columns[name] for name in history.key]
    return filled(
        "read_former_query.sql",
        field=literal(field),
        table=table.sql,
        key=_key("t", key_columns),
        value=f"t.{quoted(history.column)}",
        is_asked=_is_key(key_columns, "asked.record_key"),
        order=", ".join(f"t.{quoted(column.name)}" for column in key_columns),
        value_order=f"t.{quoted(history.order_by or history.column)}",
    )


def _key(row: str, columns: Sequence[CatalogColumn]) -> str:
    return key_text_sql([f"{row}.{quoted(column.name)}" for column in columns])


def _is_row(row: str, columns: Sequence[CatalogColumn]) -> str:
    return " AND ".join(f"t.{quoted(column.name)} = {row}.{quoted(column.name)}" for column in columns)


def _is_key(columns: Sequence[CatalogColumn], record_key: str) -> str:
    pairs = zip(columns, _typed_parts(columns, record_key), strict=True)
    return " AND ".join(f"t.{quoted(column.name)} = {part}" for column, part in pairs)


def _is_after(columns: Sequence[CatalogColumn], record_key: str) -> str:
    names = ", ".join(f"t.{quoted(column.name)}" for column in columns)
    return f"({names}) > ({', '.join(_typed_parts(columns, record_key))})"


def _typed_parts(columns: Sequence[CatalogColumn], record_key: str) -> list[str]:
    # Cast to the column's type and not the column to text, so that the key's index is used.
    if len(columns) == 1:
        return [f"CAST({record_key} AS {columns[0].key_type})"]
    return [
        f"CAST(replace(replace(split_part({record_key}, '/', {place}), '%2F', '/'), '%25', '%') AS {column.key_type})"
        for place, column in enumerate(columns, 1)
    ]


def _image(row: str, source: Source, table: CatalogTable) -> str:
    pairs: list[str] = []
    for name in mapped_columns(source):
        column, value = table.columns[name], f"{row}.{quoted(name)}"
        is_plain = column.is_enum or (column.is_builtin and column.type_name in _PLAIN_TYPES)
        pairs.append(f"{literal(name)}, {value if is_plain else f'CAST({value} AS text)'}")
    calls = [
        f"jsonb_build_object({', '.join(pairs[at : at + _PAIRS_PER_CALL])})"
        for at in range(0, len(pairs), _PAIRS_PER_CALL)
    ]
    return " || ".join(calls)
