"""Commands of one department, on its own host: install, publish, apply, and what a person does about parked records."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tellonce.cli.options import AsJson, DepartmentName, EnvFile, Once, settings_from
from tellonce.cli.settings import Settings
from tellonce.model.errors import ConfigurationError
from tellonce.observability.tables import say, show_json, show_table

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tellonce.apply.shadow import ShadowReport
    from tellonce.publish.images import Publication

__all__ = ["register"]

parked_app = typer.Typer(no_args_is_help=True, help="Records whose newest event could not be applied.")

Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
RecordType = Annotated[str, typer.Argument(metavar="RECORD-TYPE", help="A record type the department publishes.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for whoever reads it later.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    for name, command in (
        ("install", install),
        ("uninstall", uninstall),
        ("snapshot", snapshot),
        ("resync", resync),
        ("reread", reread),
        ("relay", relay),
        ("consume", consume),
        ("unpublished", unpublished),
    ):
        app.command(name)(command)
    app.add_typer(parked_app, name="parked")


def install(department: DepartmentName, yes: Yes = False, env_file: EnvFile = None) -> None:
    """Make our own tables, and the triggers of what the department publishes; all of it is listed beforehand."""
    from tellonce.cli.contract import load_contract
    from tellonce.cli.wiring import declared_sources, engine_of
    from tellonce.storage.capture import install as install_capture
    from tellonce.storage.capture import plan_install
    from tellonce.storage.own_schema import create_own_schema, own_table_names

    settings = settings_from(env_file)
    sources = declared_sources(settings, load_contract(settings), department)
    with ExitStack() as stack:
        engine = engine_of(settings, stack)
        say(f"In {engine.url.render_as_string(hide_password=True)}:")
        for name in own_table_names(engine.dialect.name):
            print(f"+ table {name}")
        for step in plan_install(engine, sources):
            print(f"+ {step.sentence}")
        _confirm(yes=yes, question="Make these?")
        create_own_schema(engine)
        install_capture(engine, sources)
    say(f"{department} is installed")


def uninstall(department: DepartmentName, yes: Yes = False, env_file: EnvFile = None) -> None:
    """Remove the triggers and our own tables; the department's own tables stay as they are."""
    from tellonce.cli.contract import load_contract
    from tellonce.cli.wiring import declared_sources, engine_of
    from tellonce.storage.capture import plan_uninstall
    from tellonce.storage.capture import uninstall as uninstall_capture
    from tellonce.storage.own_schema import drop_own_schema, own_table_names

    settings = settings_from(env_file)
    sources = declared_sources(settings, load_contract(settings), department)
    with ExitStack() as stack:
        engine = engine_of(settings, stack)
        for step in plan_uninstall(engine, sources):
            print(f"- {step.sentence}")
        for name in own_table_names(engine.dialect.name):
            print(f"- table {name}")
        _confirm(yes=yes, question="Remove these, with all that they hold?")
        uninstall_capture(engine, sources)
        drop_own_schema(engine)
    say(f"{department} is uninstalled")


def snapshot(department: DepartmentName, env_file: EnvFile = None) -> None:
    """Begin the first epoch of each view that has none: the relay then publishes every record there."""
    _begin(settings_from(env_file), department, None, reason="first snapshot", only_new=True)


def resync(
    record_type: RecordType,
    reason: Reason = "resync",
    env_file: EnvFile = None,
) -> None:
    """Begin a new epoch of a record type at its authority: every record is published again."""
    from tellonce.topology import load_topology

    settings = settings_from(env_file)
    department = load_topology(settings.topology).record_type(record_type).authority
    _begin(settings, department, record_type, reason=reason, only_new=False)


def _begin(settings: Settings, department: str, record_type: str | None, *, reason: str, only_new: bool) -> None:
    from tellonce.cli.contract import load_contract
    from tellonce.cli.wiring import authority_of, engine_of
    from tellonce.publish.streams import begin_epoch, load_streams
    from tellonce.storage.database import writing
    from tellonce.storage.own_schema import check_own_schema

    with ExitStack() as stack:
        engine = engine_of(settings, stack)
        authority = authority_of(settings, load_contract(settings), department, engine)
        check_own_schema(engine, department)
        for publication in authority.publications:
            name = publication.source.record_type
            if record_type not in (None, name):
                continue
            with writing(engine) as connection:
                begun = {view for view, _ in load_streams(connection, [v.name for v in publication.views], lock=False)}
                views = [view for view in publication.views if not only_new or view.name not in begun]
                if not views:
                    say(f"{name} has an epoch already; to publish every record again: tellonce resync {name}")
                    continue
                epoch = begin_epoch(connection, name, views, reason)
            print(f"{name}: epoch {epoch} begins; the relay publishes every record")


def reread(
    department: DepartmentName,
    view: Annotated[str, typer.Argument(help="The view to read again from the beginning of its topic.")],
    env_file: EnvFile = None,
) -> None:
    """Read a view's topic again from its beginning, after its log was cut or made again; versions guard the rows."""
    from sqlalchemy import update

    from tellonce.cli.wiring import engine_of
    from tellonce.storage.database import writing
    from tellonce.storage.tables import own_tables

    settings = settings_from(env_file)
    with ExitStack() as stack:
        engine = engine_of(settings, stack)
        table = own_tables(engine.dialect.name).position
        with writing(engine) as connection:
            done = connection.execute(
                update(table)
                .where(table.c.view == view)
                .values(offset=0, leader_epoch=-1, attestable=False, stopped=None)
            )
    print(f"{department}: {done.rowcount} streams of {view} are read from their beginning")


def relay(department: DepartmentName, once: Once = False, env_file: EnvFile = None) -> None:
    """Publish the department's changes until stopped."""
    from tellonce.cli.services import run_service
    from tellonce.cli.wiring import open_relay

    settings = settings_from(env_file)
    run_service(settings, f"relay {department}", lambda stack: open_relay(settings, department, stack), once=once)


def consume(
    department: DepartmentName,
    once: Once = False,
    shadow: Annotated[bool, typer.Option("--shadow", help="Apply nothing; report what would be written.")] = False,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Apply the department's subscribed views to its own tables until stopped."""
    from tellonce.cli.services import run_service
    from tellonce.cli.wiring import open_applier, open_shadow

    settings = settings_from(env_file)
    if not shadow:
        run_service(
            settings, f"applier {department}", lambda stack: open_applier(settings, department, stack), once=once
        )
        return
    reports: list[ShadowReport] = []
    run_service(
        settings,
        f"shadow {department}",
        lambda stack: (open_shadow(settings, department, stack), None),
        once=True,
        at_end=lambda service: reports.extend(service.report()),
    )
    rows = [asdict(report) for report in reports]
    if as_json:
        show_json({"format": 1, "views": rows})
    else:
        show_table(f"What {department} would do", rows, empty="nothing was read")


def unpublished(
    department: DepartmentName,
    show_keys: Annotated[
        bool, typer.Option("--show-keys", help="Show the authority's own keys of the records, to find their rows.")
    ] = False,
    release_deletes: Annotated[
        bool,
        typer.Option("--release-deletes", help="Publish the deletes that wait because so many came at once; asks."),
    ] = False,
    yes: Yes = False,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """List the records whose newest state this department cannot publish, oldest first."""
    from tellonce.cli.contract import load_contract
    from tellonce.cli.wiring import authority_of
    from tellonce.publish.unpublished import list_unpublished
    from tellonce.storage.database import reading

    settings = settings_from(env_file)
    with ExitStack() as stack:
        engine = _engine(settings, stack)
        authority = authority_of(settings, load_contract(settings), department, engine)
        if release_deletes:
            _release_deletes(engine, authority.publications, yes=yes)
            return
        with reading(engine) as connection:
            found = [asdict(record) for record in list_unpublished(connection, authority.views)]
    hidden = () if show_keys else ("record_key",)
    rows = [{name: value for name, value in row.items() if name not in hidden} for row in found]
    if as_json:
        show_json({"format": 1, "unpublished": rows})
    else:
        show_table("Unpublished records", rows, empty="every record is published as it is")


def _release_deletes(engine: "Engine", publications: Sequence["Publication"], *, yes: bool) -> None:
    from tellonce.publish.deletes import count_held, release_deletes
    from tellonce.storage.database import reading, writing

    with reading(engine) as connection:
        held = {each.source.record_type: count_held(connection, each.views) for each in publications}
    waiting = ", ".join(f"{records} of {record_type}" for record_type, records in held.items() if records)
    if not waiting:
        print("no delete waits for a decision")
        return
    _confirm(yes=yes, question=f"Publish that these are gone: {waiting}? Departments will delete or close their rows.")
    for publication in publications:
        with writing(engine) as connection:
            records = release_deletes(connection, publication.outbox, publication.views)
        if records:
            print(f"{records} deletes of {publication.source.record_type} are published by the relay")


def _engine(settings: Settings, stack: ExitStack) -> "Engine":
    from tellonce.cli.wiring import engine_of

    return engine_of(settings, stack)


@parked_app.command("list")
def parked_list(
    view: Annotated[str | None, typer.Option(help="Only this view.")] = None,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """List the parked records of this department's database, oldest first, by pseudonym."""
    from tellonce.storage.database import reading
    from tellonce.storage.parked import list_parked

    with ExitStack() as stack, reading(_engine(settings_from(env_file), stack)) as connection:
        rows = [asdict(record) for record in list_parked(connection, view)]
    if as_json:
        show_json({"format": 1, "parked": rows})
    else:
        show_table("Parked records", rows, empty="no record is parked")


View = Annotated[str, typer.Argument(help="The view.")]
Pseudonyms = Annotated[list[str] | None, typer.Argument(help="Pseudonyms, as `parked list` shows them.")]


@parked_app.command("release")
def parked_release(
    view: View,
    pseudonyms: Pseudonyms = None,
    everything: Annotated[bool, typer.Option("--all", help="All of the view.")] = False,
    env_file: EnvFile = None,
) -> None:
    """Have parked records tried again at once, for example after a column was widened."""
    from tellonce.storage.database import writing
    from tellonce.storage.parked import release

    if not pseudonyms and not everything:
        msg = "expected pseudonyms, or --all for all parked records of the view, found neither"
        raise ConfigurationError(msg)
    with ExitStack() as stack, writing(_engine(settings_from(env_file), stack)) as connection:
        print(f"{release(connection, view, pseudonyms or [])} records are tried again by the applier")


@parked_app.command("discard")
def parked_discard(view: View, pseudonyms: Pseudonyms = None, yes: Yes = False, env_file: EnvFile = None) -> None:
    """Give parked records up: they stay divergent until a newer event or a repair arrives."""
    from tellonce.storage.database import writing
    from tellonce.storage.parked import discard

    if not pseudonyms:
        msg = "expected the pseudonyms of the records to discard, found none; `tellonce parked list` shows them"
        raise ConfigurationError(msg)
    _confirm(yes=yes, question=f"Discard {len(pseudonyms)} parked records?")
    with ExitStack() as stack, writing(_engine(settings_from(env_file), stack)) as connection:
        print(f"{discard(connection, view, pseudonyms)} records were discarded")


def _confirm(*, yes: bool, question: str) -> None:
    if not yes:
        typer.confirm(question, abort=True, err=True)
