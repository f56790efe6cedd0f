"""`tellonce status`: who is behind, who differs, since when and whose turn it is, from the topics alone."""

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from tellonce.cli.options import AsJson, EnvFile, settings_from
from tellonce.observability.tables import clear_screen, show_json, show_table

if TYPE_CHECKING:
    from tellonce.cli.heartbeat import Process
    from tellonce.cli.settings import Settings
    from tellonce.cli.standing import CityStanding, ServiceStanding, SubscriptionStanding
    from tellonce.cli.time_limit import TimeLimit
    from tellonce.control.channel import Channel
    from tellonce.control.messages import Heartbeat
    from tellonce.kafka.channel import KafkaChannel
    from tellonce.topology import Topology

__all__ = ["register"]

_REDRAW_SECONDS = 5.0
_WAIT_SECONDS = 0.1

Heartbeats = dict["Process", "Heartbeat"]


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command("status")(status)


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Tell anew every five seconds, until Ctrl-C.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 6 if a department differs, 1 if it is anybody's turn otherwise.")
    ] = False,
    timeout_seconds: Annotated[
        float, typer.Option("--timeout", min=0.5, help="Seconds in which the broker must answer and all must be read.")
    ] = 2.0,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell who is behind, who differs, since when and whose turn it is; reads the topics, and writes nothing."""
    from tellonce.cli.standing import Standing, Turn
    from tellonce.cli.time_limit import TimeLimit
    from tellonce.topology import load_topology

    settings = settings_from(env_file)
    topology = load_topology(settings.topology)
    heartbeats: Heartbeats = {}
    limit = TimeLimit(timeout_seconds)
    with ExitStack() as stack:
        channel = _listening(settings, topology, limit, stack)
        is_complete = _read(channel, heartbeats, limit.deadline)
        standing = _told(topology, heartbeats, is_complete=is_complete, as_json=as_json, watch=watch)
        while watch:
            is_complete = _follow(channel, heartbeats, time.monotonic() + _REDRAW_SECONDS)
            standing = _told(topology, heartbeats, is_complete=is_complete, as_json=as_json, watch=watch)
    if exit_code:
        if any(each.standing is Standing.DIFFERS for each in standing.subscriptions):
            raise typer.Exit(6)
        if any(each.turn is not Turn.NOBODY for each in standing.subscriptions):
            raise typer.Exit(1)


def _listening(settings: "Settings", topology: "Topology", limit: "TimeLimit", stack: ExitStack) -> "KafkaChannel":
    """A channel that hears every service; within what is left of the time, or a sentence says why not."""
    from tellonce.cli.wiring import signatures_of
    from tellonce.control.messages import Heartbeat
    from tellonce.kafka.channel import KafkaChannel
    from tellonce.kafka.connection import check_connection
    from tellonce.observability.metrics import services_of
    from tellonce.topology.topics import OPERATOR, heartbeats

    speakers = list(dict.fromkeys(department for _, department in services_of(topology)))
    check_connection(limit.within(settings.kafka), reads=[heartbeats(speaker) for speaker in speakers])
    signatures = signatures_of(settings, topology, OPERATOR, speaks=False)
    kafka = limit.within(settings.kafka)
    channel = stack.enter_context(KafkaChannel(kafka, OPERATOR, "tellonce-status", signatures))
    channel.listen(Heartbeat, speakers, "beginning")
    return channel


def _read(channel: "Channel", heartbeats: Heartbeats, deadline: float) -> bool:
    """Takes what there is, until the deadline at most; tells whether all has been read."""
    from tellonce.cli.heartbeat import newest_heartbeats
    from tellonce.control.messages import Heartbeat

    while not channel.has_caught_up and time.monotonic() < deadline:
        heartbeats |= newest_heartbeats(channel.hear(Heartbeat, _WAIT_SECONDS))
    return channel.has_caught_up


def _follow(channel: "Channel", heartbeats: Heartbeats, until: float) -> bool:
    """Takes what comes, and tells whether all has been read; while the broker is away it says so, and waits."""
    from tellonce.cli.heartbeat import newest_heartbeats
    from tellonce.control.messages import Heartbeat
    from tellonce.model.errors import RetryableError
    from tellonce.observability.tables import say

    while time.monotonic() < until:
        try:
            heartbeats |= newest_heartbeats(channel.hear(Heartbeat, _WAIT_SECONDS))
        except RetryableError as error:
            say(f"{error}; what follows is as it was before")
            time.sleep(max(until - time.monotonic(), 0.0))
            return False
    return channel.has_caught_up


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
        print("the topics were not read to their ends in time: there may be newer figures; --timeout gives it longer")
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
