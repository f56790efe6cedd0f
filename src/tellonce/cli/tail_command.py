"""The command that shows a topic's messages as they come, one a line."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer

from tellonce.cli.options import AsJson, EnvFile, settings_from
from tellonce.model.errors import ConfigurationError

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tellonce.cli.settings import Settings
    from tellonce.cli.tail_lines import Line, Received
    from tellonce.kafka.following import Start
    from tellonce.topology import Topology, View

__all__ = ["register", "start_of"]

_AGO = re.compile(r"^-(?P<count>[0-9]{1,6})(?P<unit>[smhd])$")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_CLIENT_ID = "tellonce-tail"

Topic = Annotated[str, typer.Argument(metavar="TOPIC", help="A view, its topic, or a control topic.")]
From = Annotated[str, typer.Option("--from", help="`beginning`, `now`, or so long ago: -90s, -15m, -2h, -1d.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Stop after so many messages.")]
ShowValues = Annotated[bool, typer.Option("--show-values", help="Show values; only where the view's keys are.")]


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command("tail")(tail)


def tail(
    topic: Topic,
    start: From = "now",
    limit: Limit = None,
    show_values: ShowValues = False,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Show a topic's messages as they come, one a line, until interrupted; values are masked."""
    from tellonce.cli.tail_lines import render_json, render_text
    from tellonce.kafka.connection import check_connection
    from tellonce.kafka.following import follow
    from tellonce.topology import load_topology

    settings = settings_from(env_file)
    begin = start_of(start, int(time.time() * 1000))
    topology = load_topology(settings.topology)
    name, view = _chosen(topology, topic)
    line_of = _reading(settings, topology, view, show_values=show_values)
    render = render_json if as_json else render_text
    # A shell that starts a program in the background lets it ignore interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        check_connection(settings.kafka, reads=[name], client_id=_CLIENT_ID)
        for count, message in enumerate(follow(settings.kafka, name, begin, client_id=_CLIENT_ID), start=1):
            print(render(line_of(_received(message))), flush=True)
            if count == limit:
                return
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error
    except BrokenPipeError:
        # Who reads has seen enough; what Python flushes at its end must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def start_of(text: str, now_ms: int) -> "Start":
    """Gives where to begin; a time ago is told in epoch milliseconds, before `now_ms`.

    Raises:
        ConfigurationError: the text is neither a word nor a time ago.
    """
    if text == "beginning":
        return "beginning"
    if text == "now":
        return "now"
    ago = _AGO.match(text)
    if ago is None:
        msg = f"expected --from to be beginning, now or a time ago such as -15m, found {text!r}"
        raise ConfigurationError(msg)
    return max(now_ms - int(ago["count"]) * _SECONDS[ago["unit"]] * 1000, 0)


def _chosen(topology: "Topology", given: str) -> "tuple[str, View | None]":
    """The topic's name, and the view if it is one's."""
    from tellonce.topology import topics_of

    for view in topology.views():
        if given in {view.name, view.topic}:
            return view.topic, view
    names = [spec.name for spec in topics_of(topology)]
    if given in names:
        return given, None
    near = get_close_matches(given, [*names, *(view.name for view in topology.views())], n=1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(names[:20])}"
    msg = f"expected a view or a topic of the topology, found {given!r}; {hint}"
    raise ConfigurationError(msg)


def _reading(
    settings: "Settings", topology: "Topology", view: "View | None", *, show_values: bool
) -> "Callable[[Received], Line]":
    from tellonce.avro.catalogue import Catalogue
    from tellonce.cli.tail_lines import line_of_control, line_of_event
    from tellonce.keyring import load_view_keys

    if view is None:
        return line_of_control
    if show_values:
        # Whoever holds the keys may read the values in the department's own tables.
        load_view_keys(settings.keys, view.name)
    catalogue, name = Catalogue.load(settings.schemas, topology), view.name
    return lambda message: line_of_event(message, catalogue, name, show_values=show_values)


def _received(message: "Message") -> "Received":
    from tellonce.cli.tail_lines import Received

    return Received(
        partition=int(message.partition() or 0),
        offset=int(message.offset() or 0),
        at_ms=message.timestamp()[1],
        key=message.key(),
        value=message.value(),
    )
