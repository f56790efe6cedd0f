"""`tellonce trace`: where one record's newest change is, and where it stops."""

import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tellonce.cli.options import AsJson, EnvFile, settings_from
from tellonce.model.errors import ConfigurationError
from tellonce.observability.tables import show_json, show_table

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tellonce.cli.settings import Settings
    from tellonce.cli.time_limit import TimeLimit
    from tellonce.cli.tracing import Hop, Log, Origin, Record
    from tellonce.cli.wiring import Authority
    from tellonce.topology import Topology, View

__all__ = ["register"]

_PSEUDONYM = re.compile(r"[0-9a-f]{32}")


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command("trace")(trace)


def trace(
    record_type: Annotated[str, typer.Argument(metavar="RECORD-TYPE", help="The record's type.")],
    pseudonym: Annotated[str | None, typer.Option(help="The record's pseudonym in one view.")] = None,
    department: Annotated[
        str | None, typer.Option(help="On this department's host: look into its database too.")
    ] = None,
    from_stdin: Annotated[
        bool,
        typer.Option(
            "--identifier-from-stdin",
            help="With --department: read the authority's own key of the record from standard input, or ask for it.",
        ),
    ] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 6 if a department differs, 1 if a link is missing or unknown.")
    ] = False,
    timeout_seconds: Annotated[
        float, typer.Option("--timeout", min=0.5, help="Seconds in which the broker must answer and all must be read.")
    ] = 10.0,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell where a record's newest change is and where it stops, hop by hop; writes nothing and shows no value."""
    from tellonce.cli.time_limit import TimeLimit
    from tellonce.cli.tracing import Passage, first_missing, hops_of, sentence_of
    from tellonce.topology import load_topology

    settings = settings_from(env_file)
    topology = load_topology(settings.topology)
    topology.record_type(record_type)
    _check_options(pseudonym, department, from_stdin=from_stdin)
    identifier = _identifier() if from_stdin else None
    with ExitStack() as stack:
        tracer = _Tracer(settings, topology, department, TimeLimit(timeout_seconds), stack)
        records = tracer.records(record_type, pseudonym, identifier)
    hops = [hop for record in records for hop in hops_of(record)]
    missing = first_missing(hops)
    _show(record_type, hops, missing, sentence_of(missing), as_json=as_json)
    if exit_code and missing is not None:
        raise typer.Exit(6 if missing.stands is Passage.DIFFERS else 1)


def _check_options(pseudonym: str | None, department: str | None, *, from_stdin: bool) -> None:
    if (pseudonym is None) is not from_stdin:
        msg = "expected either --pseudonym or --identifier-from-stdin; `tellonce tail` shows pseudonyms"
        raise ConfigurationError(msg)
    if from_stdin and department is None:
        msg = "expected --department beside --identifier-from-stdin: only a department's host has the keys for it"
        raise ConfigurationError(msg)
    if pseudonym is not None and not _PSEUDONYM.fullmatch(pseudonym):
        # It may be an identifier that somebody mistook for one, so it is not repeated.
        msg = "expected a pseudonym of 32 hexadecimal digits after --pseudonym, found something else"
        raise ConfigurationError(msg)


def _identifier() -> str:
    """The identifier, which no list of processes and no shell's history shall hold."""
    if sys.stdin.isatty():
        return str(typer.prompt("Identifier", hide_input=True, err=True)).strip()
    found = sys.stdin.readline().strip()
    if not found:
        msg = "expected the record's identifier on standard input, found an empty line"
        raise ConfigurationError(msg)
    return found


class _Tracer:
    """Collects the facts of a record from topics and, on a department's host, from its database and keys."""

    def __init__(
        self, settings: "Settings", topology: "Topology", department: str | None, limit: "TimeLimit", stack: ExitStack
    ) -> None:
        from tellonce.cli.contract import load_contract, require_department
        from tellonce.cli.wiring import engine_of
        from tellonce.storage.own_schema import check_own_schema

        self._settings, self._limit = settings, limit
        self._topology, self._department = topology, department
        self._engine: Engine | None = None
        if department is not None:
            require_department(load_contract(settings), department)
            self._engine = engine_of(settings, stack)
            check_own_schema(self._engine, department)

    def records(self, record_type: str, pseudonym: str | None, identifier: str | None) -> "Sequence[Record]":
        """Gives the record in each view that has it, or in all where none has."""
        from tellonce.kafka.connection import check_connection

        check_connection(self._limit.within(self._settings.kafka))
        views = [view for view in self._topology.views() if view.record_type == record_type]
        if identifier is not None:
            views = [view for view in views if self._department in {view.authority, *view.subscriptions}]
        authority, key = self._at_authority(record_type, pseudonym, identifier)
        logs: dict[str, tuple[str, Log]] = {}
        for view in views:
            name = pseudonym if key is None else self._pseudonym(view, key)
            logs[view.name] = name or "", self._log(view, name or "")
        # A pseudonym is of one view, so the other views say nothing by not having it.
        having = [view for view in views if logs[view.name][1].newest is not None]
        chosen = having if key is None and having else views
        return self._traced(chosen, logs, authority, key)

    def _at_authority(
        self, record_type: str, pseudonym: str | None, identifier: str | None
    ) -> "tuple[Authority | None, str | None]":
        """What this host publishes, if it is the authority's, and the authority's own key where it is known."""
        from tellonce.cli.contract import load_contract
        from tellonce.cli.trace_sources import key_at_authority
        from tellonce.cli.wiring import authority_of
        from tellonce.storage.database import reading

        name = self._topology.record_type(record_type).authority
        if self._engine is None or self._department != name:
            return None, identifier
        authority = authority_of(self._settings, load_contract(self._settings), name, self._engine)
        if identifier is not None or pseudonym is None:
            return authority, identifier
        with reading(self._engine) as connection:
            views = [view for view in authority.views if view.view.record_type == record_type]
            return authority, key_at_authority(connection, views, pseudonym)

    def _pseudonym(self, view: "View", key: str) -> str:
        from tellonce.keyring import load_view_keys
        from tellonce.model.digest import pseudonym_of

        return pseudonym_of(load_view_keys(self._settings.keys, view.name).pseudonym, key)

    def _log(self, view: "View", pseudonym: str) -> "Log":
        from tellonce.cli.trace_sources import read_log
        from tellonce.keyring import load_view_keys
        from tellonce.model.partitioning import partition_of

        try:
            seal_key = load_view_keys(self._settings.keys, view.name).digest
        except ConfigurationError:
            seal_key = None
        place = partition_of(pseudonym.encode(), view.partitions), pseudonym
        return read_log(self._settings, view, place, seal_key, self._limit)

    def _traced(
        self,
        views: "Sequence[View]",
        logs: "dict[str, tuple[str, Log]]",
        authority: "Authority | None",
        key: str | None,
    ) -> "list[Record]":
        from tellonce.cli.trace_sources import hear_departments, read_ledger
        from tellonce.cli.tracing import Record, Subscriber
        from tellonce.model.partitioning import partition_of

        departments = list(dict.fromkeys(name for view in views for name in view.subscriptions))
        spoken = hear_departments(self._settings, self._topology, departments, self._limit)
        records: list[Record] = []
        for view in views:
            pseudonym, log = logs[view.name]
            partition = partition_of(pseudonym.encode(), view.partitions)
            subscribers: list[Subscriber] = []
            for name in view.subscriptions:
                is_here = self._engine is not None and name == self._department
                subscribers.append(
                    Subscriber(
                        department=name,
                        ledger=read_ledger(self._engine, view.name, pseudonym, partition)
                        if self._engine is not None and is_here
                        else None,
                        statement=spoken.statement(name, view.name, partition),
                        difference=spoken.difference(name, view.name, pseudonym),
                        trouble=spoken.trouble,
                    )
                )
            records.append(
                Record(
                    view=view.name,
                    record_type=view.record_type,
                    authority=view.authority,
                    pseudonym=pseudonym,
                    partition=partition,
                    log=log,
                    origin=self._origin(authority, view, key, partition),
                    subscribers=subscribers,
                )
            )
        return records

    def _origin(self, authority: "Authority | None", view: "View", key: str | None, partition: int) -> "Origin | None":
        from tellonce.cli.trace_sources import read_origin

        if authority is None or self._engine is None:
            return None
        published = next(each for each in authority.views if each.name == view.name)
        return read_origin(self._engine, authority, published, key, partition)


def _show(record_type: str, hops: "Sequence[Hop]", missing: "Hop | None", line: str, *, as_json: bool) -> None:
    rows = [asdict(hop) for hop in hops]
    if as_json:
        first = None if missing is None else asdict(missing)
        document = {"format": 1, "record_type": record_type, "hops": rows, "missing": first, "conclusion": line}
        show_json(document)
        return
    for view, pseudonym in dict.fromkeys((hop.view, hop.pseudonym) for hop in hops):
        shown = [_row(hop) for hop in hops if (hop.view, hop.pseudonym) == (view, pseudonym)]
        show_table(f"{pseudonym} in {view}", shown, empty="")
    print(line)


def _row(hop: "Hop") -> dict[str, object]:
    from tellonce.cli.tail_lines import instant

    return {
        "hop": f"{hop.hop} {hop.department}",
        "stands": hop.stands,
        "place": f"{hop.partition}:{'' if hop.offset is None else hop.offset}",
        "epoch": hop.epoch,
        "version": hop.version,
        "sequence": hop.sequence,
        "settled": hop.settled,
        "time": hop.at_ms and instant(hop.at_ms),
        "seal": hop.seal,
        "says": hop.says,
    }
