"""Capture in PostgreSQL: row triggers that note records in the outbox, in the department's own transaction.

What must be known of them:
- They fire always, also under `session_replication_role = replica` and in a logical replication worker.
- They run with the installer's rights, so an application's role needs none on our schema.
- They never raise. A change of an unknown record stops its record type; with the outbox gone, the sweep finds changes.
- They name the key's columns alone, and only in their function's body, so that no ALTER TABLE is refused for them.
- TRUNCATE has every record looked at; DROP, DETACH PARTITION, `DISABLE TRIGGER` and what a superuser does otherwise go
  unseen until the sweep.
- No row takes a transaction id of its own, and no row of ours is updated, so that nothing of theirs conflicts.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import ColumnClause, Connection, Dialect, column, exists, func, select, text
from sqlalchemy import table as sql_table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from tellonce.declare import Source
from tellonce.model.change import Origin
from tellonce.model.errors import ConfigurationError
from tellonce.storage.capture_functions import (
    EARLIER_FUNCTION_KINDS,
    FUNCTION_KINDS,
    CaptureFunction,
    capture_functions,
)
from tellonce.storage.capture_plan import MOST_HISTORIES, Part, Step, literal
from tellonce.storage.database import OWN_SCHEMA
from tellonce.storage.outbox_table import outbox_table, unknown_changes
from tellonce.storage.postgres_catalog import CatalogTable, captured_table, find_table, quoted

__all__ = ["lock_catalog", "lock_table", "parts", "removal_steps", "why_not_gone"]

# Writers queue up behind an installation that waits for the table.
_LOCK_TIMEOUT_MS = 10_000
_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy gives it no type


def lock_catalog(connection: Connection) -> None:
    """Keeps other installations waiting until this transaction ends, and lets it wait for a lock 10 s at most."""
    connection.execute(text(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}"))
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('tellonce.install'))"))


def lock_table(connection: Connection, source: Source) -> None:
    """Keeps writers of the source's table waiting until this transaction ends; readers go on."""
    table = captured_table(connection, source)
    connection.exec_driver_sql(f"LOCK TABLE {table.sql} IN SHARE ROW EXCLUSIVE MODE")


def parts(connection: Connection, source: Source, *, is_installing: bool = True) -> list[Part]:
    """Gives everything that capturing the source consists of, each with what is wrong with it now.

    Who only looks needs no right to install.

    Raises:
        ConfigurationError: the table cannot be captured.
    """
    table = captured_table(connection, source, is_installing=is_installing)
    found = [*_outbox_parts(connection, source), _note_part(connection, source, table)]
    functions = capture_functions(source, table, _watched(connection, source))
    found += [_function_part(connection, source, name, sql) for name, sql in functions.items()]
    triggers = _trigger_parts(connection, source, table)
    if any(part.problem for part in triggers):
        _check_no_key_twice(connection, source, table)
    # Last, when no trigger calls them any more.
    earlier = [
        _part(source, "a function is of an earlier release", step.sentence, step.sql)
        for step in _function_drops(connection, source, EARLIER_FUNCTION_KINDS)
    ]
    return [*found, *triggers, *earlier]


def why_not_gone(connection: Connection, source: Source) -> str | None:
    """Gives why a row that is missing from the source's table need not be gone, or nothing.

    Another table may have taken its name, a partition may be detached, or changes may have gone past our triggers.

    Raises:
        ConfigurationError: the table cannot be captured, or hides rows.
    """
    table = captured_table(connection, source, is_installing=False)
    noted = _noted(connection, source)
    if noted.get("oid") != table.oid:
        return f"{source.table} is another table than the one that capture was installed on"
    missing = set(noted.get("partitions", ())) - {oid for oid, _ in _partitions(connection, table)}
    if missing:
        return f"{len(missing)} of its partitions are detached or dropped"
    wanted = _wanted_triggers(connection, source, table)
    present = _triggers(connection, [table.oid])
    for oid, name in wanted:
        state = present.get((oid, name))
        if oid == table.oid and name in _trigger_names(source.record_type)[:2] and not _fires_always(state):
            return f"the trigger {name} on it is missing or does not fire always, in every partition"
    return None


def removal_steps(connection: Connection, source: Source) -> list[Step]:
    """Gives the steps that remove what was installed for the source, whatever became of its table."""
    record_type = source.record_type
    steps = [
        Step(
            sentence=f"Drop the trigger {name} on {schema}.{table}.",
            sql=f"DROP TRIGGER {quoted(name)} ON {quoted(schema)}.{quoted(table)}",
        )
        for name, schema, table in _triggers_anywhere(connection, source)
    ]
    steps += _function_drops(connection, source, (*FUNCTION_KINDS, *EARLIER_FUNCTION_KINDS))
    outbox = f"{OWN_SCHEMA}.outbox_{record_type}"
    if find_table(connection, outbox) is not None:
        steps.append(
            Step(
                sentence=f"Drop the outbox {outbox} with all changes in it that are not published yet.",
                sql=f"DROP TABLE {OWN_SCHEMA}.{quoted('outbox_' + record_type)}",
            )
        )
    return steps


def _function_drops(connection: Connection, source: Source, kinds: Sequence[str]) -> list[Step]:
    known = connection.execute(
        text("""
            SELECT p.proname, pg_get_function_identity_arguments(p.oid) FROM pg_proc p
            WHERE p.pronamespace = to_regnamespace(:schema) AND p.proname = ANY (:names) ORDER BY p.proname
        """),
        {"schema": OWN_SCHEMA, "names": [f"{kind}_{source.record_type}" for kind in kinds]},
    )
    return [
        Step(
            sentence=f"Drop the function {OWN_SCHEMA}.{name}.",
            sql=f"DROP FUNCTION {OWN_SCHEMA}.{quoted(name)}({arguments})",
        )
        for name, arguments in known
    ]


def _outbox_parts(connection: Connection, source: Source) -> Iterator[Part]:
    outbox = outbox_table(source.record_type, "postgresql")
    name = f"{OWN_SCHEMA}.{outbox.name}"
    present = find_table(connection, name)
    wanted = [column.name for column in outbox.columns]
    if present is None:
        create = f"{CreateTable(outbox).compile(dialect=_DIALECT)}".strip()
        sentence = f"Create the outbox {name}, where changed records of {source.table} wait."
        yield _part(source, f"the outbox {name} is missing", sentence, create)
    elif list(present.columns) != wanted:
        yield _reshaped(source, name, wanted, list(present.columns))
    elif connection.execute(select(exists(unknown_changes(outbox)))).scalar_one():
        yield _part(
            source,
            f"the outbox {name} has changes of unknown records",
            "Have every record looked at, since it is not known which ones changed.",
            f"UPDATE {OWN_SCHEMA}.{quoted(outbox.name)} SET origin = {literal(Origin.SWEEP)} WHERE record_key IS NULL",  # noqa: S608 - our own names
        )


def _note_part(connection: Connection, source: Source, table: CatalogTable) -> Part:
    """Gives the part that keeps which table and partitions were looked at, as a comment on the outbox."""
    partitions = sorted(oid for oid, _ in _partitions(connection, table))
    shape = {"table": f"{table.schema}.{table.name}", "oid": table.oid, "partitions": partitions}
    outbox = f"{OWN_SCHEMA}.{quoted('outbox_' + source.record_type)}"
    return _part(
        source,
        None if _noted(connection, source) == shape else f"{source.table} or its partitions are not those noted before",
        f"Note that {source.table} is this table with these partitions.",
        f"COMMENT ON TABLE {outbox} IS {literal(json.dumps(shape))}",
    )


def _noted(connection: Connection, source: Source) -> Mapping[str, Any]:
    comment = connection.execute(
        text("SELECT obj_description(to_regclass(:name), 'pg_class')"),
        {"name": f"{OWN_SCHEMA}.{quoted('outbox_' + source.record_type)}"},
    ).scalar()
    try:
        noted: object = json.loads(str(comment))
    except ValueError:
        return {}
    return cast("Mapping[str, Any]", noted) if isinstance(noted, dict) else {}


def _fires_always(present: tuple[str, str | None, bool] | None) -> bool:
    return present is not None and present[0] == "A" and present[2]


def _reshaped(source: Source, name: str, wanted: Sequence[str], present: Sequence[str]) -> Part:
    """Gives the step that makes an earlier release's outbox ours; what waits there goes on waiting."""
    missing = [column for column in wanted if column not in present]
    if missing:
        msg = f"{source.place}: expected the outbox {name} to have the column {missing[0]}, found none; drop that table"
        raise ConfigurationError(msg, record_type=source.record_type)
    drops = [f"DROP COLUMN {quoted(column)}" for column in present if column not in wanted]
    changes = [*drops, "ALTER record_key DROP NOT NULL", f"ALTER origin SET DEFAULT {literal(Origin.CAPTURE)}"]
    return _part(
        source,
        f"the outbox {name} has other columns than this release writes",
        f"Keep of the outbox {name} which records wait; what they hold is read when they are published.",
        f"ALTER TABLE {OWN_SCHEMA}.{quoted('outbox_' + source.record_type)} {', '.join(changes)}",
    )


def _function_part(connection: Connection, source: Source, kind: str, function: CaptureFunction) -> Part:
    name = f"{OWN_SCHEMA}.{quoted(f'{kind}_{source.record_type}')}"
    shown = f"{OWN_SCHEMA}.{kind}_{source.record_type}"
    found = connection.execute(
        text("""
            SELECT p.prosrc, p.prosecdef, p.proconfig, has_function_privilege('public', p.oid, 'EXECUTE') AS is_public
            FROM pg_proc p WHERE p.pronamespace = to_regnamespace(:schema) AND p.proname = :name
        """),
        {"schema": OWN_SCHEMA, "name": f"{kind}_{source.record_type}"},
    ).one_or_none()
    problem = None
    if found is None:
        problem = f"the function {shown} is missing"
    elif found.prosrc != function.body:
        problem = f"the function {shown} has another body than this release and this declaration give it"
    elif found.prosecdef != function.is_definer or tuple(found.proconfig or ()) != function.settings or found.is_public:
        problem = f"the function {shown} has other rights or settings than it should"
    return _part(source, problem, f"Create the function {shown}.", function.sql(name))


def _trigger_parts(connection: Connection, source: Source, table: CatalogTable) -> list[Part]:
    wanted = _wanted_triggers(connection, source, table)
    present = _triggers(connection, [oid for oid, _ in wanted])
    found = [
        _trigger_part(source, name, on, f"CREATE TRIGGER {quoted(name)} {definition}", present.get((oid, name)))
        for (oid, name), (on, definition) in wanted.items()
    ]
    places = {(on, name) for (_, name), (on, _) in wanted.items()}
    for name, schema, other in _triggers_anywhere(connection, source):
        on = f"{quoted(schema)}.{quoted(other)}"
        if (on, name) not in places:
            sentence = f"Drop the trigger {name} on {schema}.{other}, which is not this source's table any more."
            drop = f"DROP TRIGGER {quoted(name)} ON {on}"
            found.append(_part(source, f"the trigger {name} is on {schema}.{other} still", sentence, drop))
    return found


def _wanted_triggers(
    connection: Connection, source: Source, table: CatalogTable
) -> dict[tuple[int, str], tuple[str, str]]:
    """Gives the table and the definition of each trigger by the table's oid and the trigger's name."""
    record_type = source.record_type
    capture = f"EXECUTE FUNCTION {OWN_SCHEMA}.{quoted('capture_' + record_type)}()"
    truncate = f"EXECUTE FUNCTION {OWN_SCHEMA}.{quoted('truncate_' + record_type)}()"
    # Byte for byte, which is cheap and knows every type; of the whole row, since a column that a trigger names could be
    # neither altered nor dropped.
    changed = "WHEN (OLD.* OPERATOR(pg_catalog.*<>) NEW.*)"
    row_name, update_name, truncate_name = _trigger_names(record_type)
    wanted = {
        (table.oid, row_name): (table.sql, f"AFTER INSERT OR DELETE ON {table.sql} FOR EACH ROW {capture}"),
        (table.oid, update_name): (table.sql, f"AFTER UPDATE ON {table.sql} FOR EACH ROW {changed} {capture}"),
    }
    for place, (history, _) in _watched(connection, source).items():
        watch, on = _watch_name(source, place), history.sql
        note = f"EXECUTE FUNCTION {OWN_SCHEMA}.{quoted(f'watch{place}_{record_type}')}()"
        wanted[history.oid, watch] = (on, f"AFTER INSERT OR DELETE ON {on} FOR EACH ROW {note}")
        wanted[history.oid, f"{watch}_update"] = (on, f"AFTER UPDATE ON {on} FOR EACH ROW {changed} {note}")
    # A statement's trigger is not inherited: TRUNCATE of one partition would pass.
    for oid, on in [(table.oid, table.sql), *_partitions(connection, table)]:
        wanted[oid, truncate_name] = (on, f"AFTER TRUNCATE ON {on} FOR EACH STATEMENT {truncate}")
    return wanted


def _watched(connection: Connection, source: Source) -> dict[int, tuple[CatalogTable, Sequence[str]]]:
    """Gives the history tables that can be watched, by their place; of others a sweep finds the changes.

    Who owns none only looks, and finds those that the installer could watch.
    """
    installed = {name for name, _, _ in _triggers_anywhere(connection, source)}
    found = {place: (find_table(connection, name), key) for place, (name, key) in enumerate(source.histories)}
    return {
        place: (table, key)
        for place, (table, key) in found.items()
        if table is not None
        and table.kind in {"r", "p"}
        and place < MOST_HISTORIES
        and (table.is_owned or _watch_name(source, place) in installed)
    }


def _watch_name(source: Source, place: int) -> str:
    return f"{OWN_SCHEMA}_watch{place}_{source.record_type}"


def _trigger_names(record_type: str) -> tuple[str, str, str]:
    capture = f"{OWN_SCHEMA}_capture_{record_type}"
    return capture, f"{capture}_update", f"{OWN_SCHEMA}_truncate_{record_type}"


def _trigger_part(source: Source, name: str, on: str, sql: str, present: tuple[str, str | None, bool] | None) -> Part:
    mark = f"tellonce {hashlib.sha256(sql.encode()).hexdigest()[:16]}"
    problem = None
    if present is None:
        problem = f"the trigger {name} on {on} is missing"
    elif not _fires_always(present):
        problem = f"the trigger {name} on {on} does not fire always, in every partition"
    elif present[1] != mark:
        problem = f"the trigger {name} on {on} was made otherwise than this release and this declaration make it"
    steps = [
        *([] if present is None else [f"DROP TRIGGER {quoted(name)} ON {on}"]),
        sql,
        f"ALTER TABLE {on} ENABLE ALWAYS TRIGGER {quoted(name)}",
        f"COMMENT ON TRIGGER {quoted(name)} ON {on} IS {literal(mark)}",
    ]
    return _part(source, problem, f"Create the trigger {name} on {on}, which fires always.", ";\n".join(steps))


def _triggers(connection: Connection, tables: Sequence[int]) -> dict[tuple[int, str], tuple[str, str | None, bool]]:
    rows = connection.execute(
        text("""
            SELECT t.tgrelid, t.tgname, t.tgenabled, obj_description(t.oid, 'pg_trigger'),
                   NOT EXISTS (SELECT 1 FROM pg_trigger c WHERE c.tgparentid = t.oid AND c.tgenabled <> 'A')
            FROM pg_trigger t WHERE t.tgrelid = ANY (:tables) AND NOT t.tgisinternal
        """),
        {"tables": list(tables)},
    )
    return {(oid, name): (str(enabled), comment, everywhere) for oid, name, enabled, comment, everywhere in rows}


def _triggers_anywhere(connection: Connection, source: Source) -> list[tuple[str, str, str]]:
    rows = connection.execute(
        text("""
            SELECT t.tgname, n.nspname, c.relname
            FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
            JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE p.pronamespace = to_regnamespace(:schema) AND p.proname = ANY (:names) AND t.tgparentid = 0
            ORDER BY n.nspname, c.relname, t.tgname
        """),
        {"schema": OWN_SCHEMA, "names": [f"{kind}_{source.record_type}" for kind in FUNCTION_KINDS]},
    )
    return [(name, schema, table) for name, schema, table in rows]


def _partitions(connection: Connection, table: CatalogTable) -> list[tuple[int, str]]:
    if not table.is_partitioned:
        return []
    rows = connection.execute(
        text("""
            SELECT c.oid, n.nspname, c.relname FROM pg_partition_tree(CAST(:oid AS oid)) p
            JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE p.level > 0 AND c.relkind IN ('r', 'p') ORDER BY p.level, c.relname
        """),
        {"oid": table.oid},
    )
    return [(oid, f"{quoted(schema)}.{quoted(name)}") for oid, schema, name in rows]


def _check_no_key_twice(connection: Connection, source: Source, table: CatalogTable) -> None:
    if not table.is_partitioned:
        return
    keys: list[ColumnClause[object]] = [column(name) for name in source.key]
    rows = sql_table(table.name, *keys, schema=table.schema)
    twice = select(func.count()).select_from(rows).group_by(*rows.c).having(func.count() > 1).limit(1)
    if connection.execute(twice).first() is not None:
        msg = (
            f"{source.place}: expected each record key once in {source.table}, found one in two partitions; "
            "a record is one row"
        )
        raise ConfigurationError(msg, record_type=source.record_type)


def _part(source: Source, problem: str | None, sentence: str, sql: str) -> Part:
    return Part(record_type=source.record_type, problem=problem, steps=(Step(sentence=sentence, sql=sql),))
