"""`tellonce status`: who is behind, who differs, since when and whose turn it is, from the topics alone."""

import json
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from tellonce.cli.options import AsJson, EnvFile, settings_from
from tellonce.observability.tables import clear_screen, show_json, show_table

if TYPE_CHECKING:
    from tellonce.cli.settings import Settings
    from tellonce.cli.standing import CityStanding, ServiceStanding, SubscriptionStanding
    from tellonce.control.messages import Heartbeat
    from tellonce.kafka.control import ControlReader
    from tellonce.topology import Topology

__all__ = ["register"]

_LONGEST_READING_SECONDS = 2.0
"""After so long it tells what it has, so that the command ends within three seconds."""
_REDRAW_SECONDS = 5.0
_WAIT_SECONDS = 0.1

Heartbeats = dict[tuple[str, str, str], "Heartbeat"]


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command("status")(status)


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Tell anew every five seconds, until Ctrl-C.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 6 if a department differs, 1 if it is anybody's turn otherwise.")
    ] = False,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell who is behind, who differs, since when and whose turn it is; reads the topics, and writes nothing."""
    from tellonce.cli.standing import Standing, Turn
    from tellonce.topology import load_topology

    settings = settings_from(env_file)
    topology = load_topology(settings.topology)
    with _reader(settings, topology) as reader:
        heartbeats: Heartbeats = {}
        is_complete = _read(reader, heartbeats, _LONGEST_READING_SECONDS)
        standing = _told(topology, heartbeats, is_complete=is_complete, as_json=as_json, watch=watch)
        while watch:
            _read(reader, heartbeats, _REDRAW_SECONDS, until_end=False)
            standing = _told(topology, heartbeats, is_complete=reader.has_caught_up, as_json=as_json, watch=watch)
    if exit_code:
        if any(each.standing is Standing.DIFFERS for each in standing.subscriptions):
            raise typer.Exit(6)
        if any(each.turn is not Turn.NOBODY for each in standing.subscriptions):
            raise typer.Exit(1)


@contextmanager
def _reader(settings: "Settings", topology: "Topology") -> "Generator[ControlReader]":
    from tellonce.kafka.connection import check_connection
    from tellonce.kafka.control import ControlReader
    from tellonce.observability.metrics import services_of
    from tellonce.topology.topics import heartbeats

    topics = list(dict.fromkeys(heartbeats(department) for _, department in services_of(topology)))
    quick = settings.kafka.model_copy(
        update={"connect_timeout_seconds": min(settings.kafka.connect_timeout_seconds, _LONGEST_READING_SECONDS)}
    )
    check_connection(quick, reads=topics)
    with ControlReader(quick, "tellonce-status", topics) as reader:
        yield reader


def _read(reader: "ControlReader", heartbeats: Heartbeats, seconds: float, *, until_end: bool = True) -> bool:
    """Takes what comes within `seconds`; tells whether all that there was has been read."""
    from tellonce.cli.heartbeat import newest_heartbeats

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not (until_end and reader.has_caught_up):
        heartbeats |= newest_heartbeats(reader.poll(_WAIT_SECONDS))
    return reader.has_caught_up


def _told(
    topology: "Topology", heartbeats: Heartbeats, *, is_complete: bool, as_json: bool, watch: bool
) -> "CityStanding":
    from tellonce.cli.standing import stand

    now_ms = int(time.time() * 1000)
    standing = stand(topology, list(heartbeats.values()), now_ms)
    if as_json:
        document = {
            "format": 1,
            "at_ms": now_ms,
            "complete": is_complete,
            "subscriptions": [_named(each) for each in standing.subscriptions],
            "services": [asdict(each) for each in standing.services],
        }
        if watch:
            print(json.dumps(document, ensure_ascii=False), flush=True)
        else:
            show_json(document)
        return standing
    if watch:
        clear_screen()
    rows = [_row(each, now_ms) for each in standing.subscriptions]
    show_table("Subscriptions", rows, empty="the topology has no subscription")
    show_table("Services", [_service_row(each, now_ms) for each in standing.services], empty="it has no service")
    if not is_complete:
        print(
            f"the topics were not read to their ends within {_LONGEST_READING_SECONDS:g} s: there may be newer figures"
        )
    return standing


def _named(each: "SubscriptionStanding") -> Mapping[str, object]:
    return {**asdict(each), "standing": each.standing.name.lower()}


def _row(each: "SubscriptionStanding", now_ms: int) -> Mapping[str, object]:
    differing = each.differing
    return {
        "department": each.department,
        "view": each.view,
        "stands": each.standing.name.lower(),
        "since": _ago(each.since_ms, now_ms),
        "changes behind": _known(each.behind_records),
        "seconds behind": _known(None if each.behind_seconds is None else round(each.behind_seconds)),
        "wait at authority": _known(each.waiting_records),
        "parked": _known(each.parked),
        "differing": "unknown" if differing is None else ", ".join(f"{n} {kind}" for kind, n in differing.items()) or 0,
        "turn": _whose(each),
        "first": each.todo,
    }


def _whose(each: "SubscriptionStanding") -> str:
    return {"authority": each.authority, "department": each.department}.get(each.turn.value, each.turn.value)


def _service_row(each: "ServiceStanding", now_ms: int) -> Mapping[str, object]:
    return {
        "service": each.service.value,
        "department": each.department,
        "state": each.liveness.value,
        "last sign of life": _ago(each.heard_at_ms, now_ms),
        "release": each.release,
    }


def _known(value: int | None) -> str:
    return "unknown" if value is None else str(value)


def _ago(at_ms: int | None, now_ms: int) -> str:
    if at_ms is None:
        return ""
    seconds = max(0, (now_ms - at_ms) // 1000)
    if seconds >= 2 * 86_400:
        return f"{datetime.fromtimestamp(at_ms / 1000).astimezone():%Y-%m-%d %H:%M}"
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
