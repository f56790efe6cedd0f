"""Commands about divergences: run the reconciler, list what differs, repair it, accept it."""

import getpass
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from tellonce.cli.options import AsJson, EnvFile, Once, settings_from
from tellonce.control.messages import DivergenceEvent
from tellonce.observability.tables import say, show_json, show_table
from tellonce.reconcile.status import StreamStatus

if TYPE_CHECKING:
    from tellonce.cli.monitor import Monitor
    from tellonce.kafka.channel import KafkaChannel
    from tellonce.reconcile.service import Reconciler

__all__ = ["register"]

divergences_app = typer.Typer(invoke_without_command=True, help="Records that a department holds differently.")

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Divergences, as `divergences` lists them.")]
Why = Annotated[str, typer.Option("--reason", help="Why, for whoever reads it later.")]
Person = Annotated[str, typer.Option("--by", help="Who decides; the login name if not given.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command("reconcile")(reconcile)
    app.command("repair")(repair)
    app.add_typer(divergences_app, name="divergences")


def reconcile(
    once: Once = False,
    deadline_seconds: Annotated[float, typer.Option(help="With --once: the longest it may take, in seconds.")] = 60.0,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="With --once: exit 6 if anything is divergent, 1 if not settled.")
    ] = False,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Compare what departments hold with what the authorities say, until stopped."""
    from tellonce.cli.services import run_service
    from tellonce.cli.wiring import open_reconciler

    settings = settings_from(env_file)
    found: list[Reconciler] = []

    def open_service(stack: ExitStack) -> "tuple[Reconciler, Monitor]":
        reconciler, monitor = open_reconciler(settings, stack)
        if once:
            reconciler.give_up_after(deadline_seconds)
        return reconciler, monitor

    run_service(settings, "reconciler", open_service, once=once, at_end=found.append)
    if once:
        _tell(found[0], exit_code=exit_code, as_json=as_json)


def _tell(reconciler: "Reconciler", *, exit_code: bool, as_json: bool) -> None:
    """How the streams stand, and what differs."""
    statuses, divergences, settled = reconciler.statuses, reconciler.divergences, reconciler.settled
    rows = [_row(status) for status in statuses]
    found = [event.model_dump(mode="json") for event in divergences]
    if as_json:
        show_json({"format": 1, "settled": settled, "streams": rows, "divergences": found})
    else:
        shown = ("department", "view", "partition", "state", "proved_sequence")
        show_table("Streams", [{name: row[name] for name in shown} for row in rows], empty="no stream has a mark yet")
        say(f"{len(found)} divergences are not resolved; settled: {'yes' if settled else 'no'}")
    if exit_code and (found or not settled):
        raise typer.Exit(6 if found else 1)


def _row(status: StreamStatus) -> dict[str, object]:
    row = {each.name: getattr(status, each.name) for each in fields(status)}
    return {**row, "states": dict(status.states), "divergences": dict(status.divergences)}


@divergences_app.callback()
def divergences(
    context: typer.Context,
    resolved: Annotated[bool, typer.Option("--resolved", help="Show the resolved ones too.")] = False,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """List the divergences, oldest first."""
    if context.invoked_subcommand is not None:
        return
    found = [event.model_dump(mode="json") for event in _read(env_file, with_resolved=resolved)]
    if as_json:
        show_json({"format": 1, "divergences": found})
        return
    shown = ("divergence_id", "department", "view", "pseudonym", "kind", "state", "reason", "repairs")
    show_table("Divergences", [{name: row[name] for name in shown} for row in found], empty="nothing is divergent")


def _read(env_file: Path | None, *, with_resolved: bool = False) -> tuple[DivergenceEvent, ...]:
    from tellonce.kafka.connection import check_connection
    from tellonce.reconcile.reading import read_divergences
    from tellonce.topology.topics import OPERATOR, RECONCILER, divergences

    kafka = settings_from(env_file).kafka
    check_connection(kafka, reads=[divergences(RECONCILER), divergences(OPERATOR)])
    with _operators_channel(env_file, speaks=False) as channel:
        return read_divergences(channel, with_resolved=with_resolved)


def _write(env_file: Path | None, messages: Sequence[DivergenceEvent]) -> None:
    with _operators_channel(env_file, speaks=True) as channel:
        for message in messages:
            channel.say(message)


def _operators_channel(env_file: Path | None, *, speaks: bool) -> "KafkaChannel":
    from tellonce.cli.wiring import signatures_of
    from tellonce.kafka.channel import KafkaChannel
    from tellonce.topology import load_topology
    from tellonce.topology.topics import OPERATOR

    settings = settings_from(env_file)
    signatures = signatures_of(settings, load_topology(settings.topology), OPERATOR, speaks=speaks)
    return KafkaChannel(settings.kafka, OPERATOR, "tellonce-operator", signatures)


@divergences_app.command("accept")
def accept(ids: Ids = None, reason: Why = "", by: Person = "", env_file: EnvFile = None) -> None:
    """Accept divergences with a reason, for as long as the authority's version stays."""
    from tellonce.reconcile.repairs import accept as accepting

    events = accepting(
        _read(env_file),
        ids or [],
        by=by or getpass.getuser(),
        reason=reason,
        new_id=lambda: uuid4().hex,
        now_ms=int(time.time() * 1000),
    )
    _write(env_file, events)
    print(f"{len(events)} divergences are accepted")


def repair(
    ids: Ids = None,
    department: Annotated[str | None, typer.Option(help="All open divergences of this department.")] = None,
    reason: Why = "ordered by hand",
    by: Person = "",
    cap: Annotated[int, typer.Option(min=1, help="Most records of this order.")] = 1000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the orders and give none.")] = False,
    env_file: EnvFile = None,
) -> None:
    """Order records to be published again for the departments that hold them differently."""
    from tellonce.reconcile.repairs import RepairChoice, plan_by_person, render_plan
    from tellonce.topology import load_topology

    topology = load_topology(settings_from(env_file).topology)
    choice = RepairChoice(
        by=by or getpass.getuser(), reason=reason, ids=tuple(ids or ()), department=department, cap=cap
    )
    now_ms = int(time.time() * 1000)
    plan = plan_by_person(_read(env_file), topology, choice, new_id=lambda: uuid4().hex, now_ms=now_ms)
    print(render_plan(plan))
    if not dry_run:
        _write(env_file, plan.events(now_ms))
