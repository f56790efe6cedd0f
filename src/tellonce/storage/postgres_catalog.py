"""What PostgreSQL's catalog says of a table that shall be captured, and whether it can be."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from tellonce.declare import Source, split_table
from tellonce.model.errors import ConfigurationError
from tellonce.storage.database import OWN_SCHEMA

__all__ = ["CatalogColumn", "CatalogTable", "captured_table", "find_table", "quoted", "quoted_table"]

# How a key's text is compared with its column: the text family without a length, which a cast would cut to.
_KEY_TYPES = {
    "int2": "int2",
    "int4": "int4",
    "int8": "int8",
    "numeric": "numeric",
    "text": "text",
    "varchar": "text",
    "bpchar": "bpchar",
    "uuid": "uuid",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogColumn:
    """One column: the type under all domains, and whether it may be null."""

    name: str
    number: int
    type_name: str
    is_enum: bool
    is_builtin: bool
    modifier: int
    is_not_null: bool

    @property
    def key_type(self) -> str | None:
        """The type that a record key's text is cast to, or None if the column cannot be part of a record key."""
        is_fraction = self.type_name == "numeric" and (self.modifier < 0 or (self.modifier - 4) & 0x7FF != 0)
        return None if is_fraction or not self.is_builtin else _KEY_TYPES.get(self.type_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogTable:
    """One table with its columns by name."""

    oid: int
    schema: str
    name: str
    kind: str
    is_temporary: bool
    is_owned: bool
    is_filtered: bool
    columns: dict[str, CatalogColumn]

    @property
    def sql(self) -> str:
        """The quoted, qualified name."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    @property
    def is_partitioned(self) -> bool:
        """Whether the rows are in partitions."""
        return self.kind == "p"


def quoted(name: str) -> str:
    """Gives an identifier in quotes, as it is."""
    return '"' + name.replace('"', '""') + '"'


def quoted_table(declared: str) -> str:
    """Gives a declared table name with its parts in quotes."""
    schema, name = split_table(declared)
    return quoted(name) if schema is None else f"{quoted(schema)}.{quoted(name)}"


_TABLE = text("""
    SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence = 't' AS is_temporary,
           pg_has_role(current_user, c.relowner, 'USAGE') AS is_owned, row_security_active(c.oid) AS is_filtered
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(:name)
""")

_COLUMNS = text("""
    WITH RECURSIVE under AS (
        SELECT a.attnum, a.attname, a.attnotnull, a.atttypid AS type_oid, a.atttypmod AS modifier
        FROM pg_attribute a WHERE a.attrelid = :oid AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT u.attnum, u.attname, u.attnotnull OR t.typnotnull, t.typbasetype, t.typtypmod
        FROM under u JOIN pg_type t ON t.oid = u.type_oid WHERE t.typtype = 'd'
    )
    SELECT u.attname, u.attnum, t.typname, t.typtype = 'e', n.nspname = 'pg_catalog', u.modifier, u.attnotnull
    FROM under u JOIN pg_type t ON t.oid = u.type_oid JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype <> 'd' ORDER BY u.attnum
""")

_UNIQUE = text("""
    SELECT (SELECT array_agg(key.number ORDER BY key.place)
            FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS key (number, place) WHERE key.place <= i.indnkeyatts),
           (SELECT p.partattrs::int2[] FROM pg_partitioned_table p WHERE p.partrelid = i.indrelid)
    FROM pg_index i
    WHERE i.indrelid = :oid AND i.indisunique AND i.indisvalid
      AND i.indpred IS NULL AND i.indexprs IS NULL
""")


def find_table(connection: Connection, declared: str) -> CatalogTable | None:
    """Gives what the catalog says of a declared table, found along the search path, or None if it is not there."""
    found = connection.execute(_TABLE, {"name": quoted_table(declared)}).one_or_none()
    if found is None:
        return None
    columns = [
        CatalogColumn(
            name=name,
            number=number,
            type_name=type_name,
            is_enum=is_enum,
            is_builtin=is_builtin,
            modifier=modifier,
            is_not_null=is_not_null,
        )
        for name, number, type_name, is_enum, is_builtin, modifier, is_not_null in connection.execute(
            _COLUMNS, {"oid": found.oid}
        )
    ]
    return CatalogTable(
        oid=found.oid,
        schema=found.nspname,
        name=found.relname,
        kind=found.relkind,
        is_temporary=found.is_temporary,
        is_owned=found.is_owned,
        is_filtered=found.is_filtered,
        columns={column.name: column for column in columns},
    )


def captured_table(connection: Connection, source: Source, *, is_installing: bool = True) -> CatalogTable:
    """Gives the table of a source, having seen that its changes can be captured by whoever is connected.

    Who does not install need not own it.

    Raises:
        ConfigurationError: the table, a column or a history table is not there, the key names no single row, or the
            rights are missing; the message says which.
    """
    table = _existing(connection, source, source.table, "table")
    _check_kind(connection, source, table)
    _check_columns(source, table, [*source.key, *source.column_names])
    _check_key(source, table, source.key)
    for part in source.key:
        if not table.columns[part].is_not_null:
            raise _wrong(source, f"expected the key column {part} of {source.table} to be NOT NULL, found it nullable")
    _check_unique(connection, source, table)
    _check_is_whole(connection, source, table)
    if is_installing:
        _check_rights(connection, source, table)
    for history in source.former.values():
        former = _existing(connection, source, history.table, "history table")
        order = [history.order_by] if history.order_by else []
        _check_columns(source, former, [*history.key, history.column, *order])
        _check_key(source, former, history.key)
    return table


def _wrong(source: Source, message: str) -> ConfigurationError:
    return ConfigurationError(f"{source.place}: {message}", record_type=source.record_type, table=source.table)


def _existing(connection: Connection, source: Source, declared: str, what: str) -> CatalogTable:
    table = find_table(connection, declared)
    if table is None:
        raise _wrong(source, f"expected the {what} {declared} in this database, found none that may be seen; name it")
    return table


def _check_kind(connection: Connection, source: Source, table: CatalogTable) -> None:
    if table.schema == OWN_SCHEMA:
        msg = (
            f"expected {source.table} in the department's own schema, found it in schema {OWN_SCHEMA}, which is ours "
            "and is dropped with us; move it, or write the table as schema.table"
        )
        raise _wrong(source, msg)
    if table.kind not in {"r", "p"} or table.is_temporary:
        raise _wrong(source, f"expected {source.table} to be a table that stays, found a view or another relation")
    has_children = connection.execute(
        text("SELECT EXISTS (SELECT 1 FROM pg_inherits WHERE inhparent = :oid)"), {"oid": table.oid}
    ).scalar_one()
    if has_children and not table.is_partitioned:
        msg = (
            f"expected {source.table} to hold all its rows itself or in partitions, found tables that inherit from it, "
            "whose rows no trigger of it would see; declare a source for one of those, or make them partitions"
        )
        raise _wrong(source, msg)


def _check_columns(source: Source, table: CatalogTable, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise _wrong(
            source, f"expected the column {missing[0]} in {table.schema}.{table.name}, found {', '.join(table.columns)}"
        )


def _check_key(source: Source, table: CatalogTable, key: Sequence[str]) -> None:
    for name in key:
        column = table.columns[name]
        if column.key_type is None:
            msg = (
                f"expected the key column {name} of {table.name} to be of a type that is the same text everywhere "
                f"(integer, numeric without a fraction, text or uuid), found {column.type_name}; choose another key"
            )
            raise _wrong(source, msg)


def _check_unique(connection: Connection, source: Source, table: CatalogTable) -> None:
    key = {table.columns[name].number for name in source.key}
    for numbers, partitioning in connection.execute(_UNIQUE, {"oid": table.oid}):
        # A unique index of a partitioned table must have the partition's columns in it, so the key alone cannot be
        # unique there; it must lead, or every look-up would read the whole table.
        leading, rest = set(numbers[: len(key)]), set(numbers[len(key) :])
        if leading == key and (not rest or (partitioning is not None and rest <= set(partitioning))):
            return
    msg = (
        f"expected a primary key or a unique index on exactly ({', '.join(source.key)}) of {source.table}, found none; "
        "two rows of one record key could not be told apart"
    )
    raise _wrong(source, msg)


def _check_is_whole(connection: Connection, source: Source, table: CatalogTable) -> None:
    if table.is_filtered:
        user = connection.execute(text("SELECT current_user")).scalar_one()
        msg = (
            f"expected {user} to see every row of {source.table}, found row security that hides some; "
            "install as a role with BYPASSRLS"
        )
        raise _wrong(source, msg)


def _check_rights(connection: Connection, source: Source, table: CatalogTable) -> None:
    user = connection.execute(text("SELECT current_user")).scalar_one()
    if not table.is_owned:
        msg = (
            f"expected {user} to own {source.table} (or be a member of its owner), which PostgreSQL asks of who lets a "
            "trigger fire always, found another owner; install as the owner"
        )
        raise _wrong(source, msg)
    may_create = connection.execute(
        text("SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = :name"), {"name": OWN_SCHEMA}
    ).scalar_one_or_none()
    if may_create is False:
        raise _wrong(
            source, f"expected {user} to have the right CREATE on schema {OWN_SCHEMA}, found it missing; grant it"
        )
