"""`tellonce evidence verify`: is what stands on the control topics what its speakers said? By public keys alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tellonce.cli.options import AsJson, EnvFile, settings_from
from tellonce.model.errors import ConfigurationError
from tellonce.observability.tables import say, show_json, show_table

if TYPE_CHECKING:
    from tellonce.control.channel import ControlMessage
    from tellonce.control.signing import Signatures

__all__ = ["Verified", "register", "verify"]

evidence_app = typer.Typer(no_args_is_help=True, help="What the control topics keep, for assessment.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found on one topic; `first` is where the first message stands that does not fit, and why it does not."""

    topic: str
    speaker: str
    signs: bool
    """Whether the topology lists a key of the speaker; else no more is known than that the messages can be read."""
    messages: int
    misfits: int
    first: tuple[int, int, str] | None


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.add_typer(evidence_app, name="evidence")


@evidence_app.command("verify")
def verify_topics(
    topics: Annotated[list[str] | None, typer.Argument(help="Control topics; all that operators read.")] = None,
    since: Annotated[int, typer.Option(min=0, help="First offset to be looked at, in every topic.")] = 0,
    env_file: EnvFile = None,
    as_json: AsJson = False,
) -> None:
    """Check that all messages of control topics are by who alone may write there. Exit 6 if one does not fit."""
    from tellonce.cli.wiring import signatures_of
    from tellonce.control.channel import ControlMessage
    from tellonce.control.routes import said_on
    from tellonce.kafka.control import signature_of
    from tellonce.kafka.reading import read_to_end
    from tellonce.topology import load_topology, topics_of
    from tellonce.topology.topics import OPERATOR

    settings = settings_from(env_file)
    topology = load_topology(settings.topology)
    signatures = signatures_of(settings, topology, OPERATOR, speaks=False)
    known = [spec.name for spec in topics_of(topology) if said_on(spec.name) is not None]
    readable = [spec.name for spec in topics_of(topology) if spec.name in known and OPERATOR in spec.readers]
    if unknown := sorted({*(topics or ())} - {*known}):
        msg = f"expected control topics of the topology, found {unknown[0]}; operators read {', '.join(readable)}"
        raise ConfigurationError(msg)
    found = [
        verify(
            topic,
            (
                ControlMessage(
                    topic=topic,
                    partition=message.partition() or 0,
                    offset=message.offset() or 0,
                    key=message.key(),
                    value=message.value(),
                    signature=signature_of(message),
                )
                for message in read_to_end(settings.kafka, topic)
                if (message.offset() or 0) >= since
            ),
            signatures,
        )
        for topic in topics or readable
    ]
    _show(found, as_json=as_json)
    if any(one.misfits for one in found):
        raise typer.Exit(6)


def verify(topic: str, messages: "Iterable[ControlMessage]", signatures: "Signatures") -> Verified:
    """Looks at messages of one control topic, in their order."""
    from tellonce.control.channel import read_statement
    from tellonce.control.routes import said_on
    from tellonce.model.errors import PoisonMessageError

    said: tuple[type[Any], str] | None = said_on(topic)
    if said is None:
        msg = f"expected a control topic, found {topic}"
        raise ConfigurationError(msg)
    shape, speaker = said
    count = misfits = 0
    first: tuple[int, int, str] | None = None
    for message in messages:
        if message.value is None:
            # A null of compaction, which says nothing.
            continue
        count += 1
        try:
            read_statement(signatures, shape, speaker, message)
        except PoisonMessageError as error:
            misfits += 1
            first = first or (message.partition, message.offset, str(error))
    return Verified(
        topic=topic,
        speaker=speaker,
        signs=signatures.knows(speaker),
        messages=count,
        misfits=misfits,
        first=first,
    )


def _show(found: list[Verified], *, as_json: bool) -> None:
    rows = [
        {
            "topic": one.topic,
            "signed_by": one.speaker if one.signs else "",
            "messages": one.messages,
            "misfits": one.misfits,
            "first": "" if one.first is None else f"{one.first[0]}/{one.first[1]}: {one.first[2]}",
        }
        for one in found
    ]
    if as_json:
        show_json({"format": 1, "topics": rows})
        return
    show_table("Statements", rows, empty="there are no control topics")
    unsigned = sorted({one.speaker for one in found if not one.signs})
    if unsigned:
        say(f"topology.yaml lists no key of {', '.join(unsigned)}: whoever may write to the broker can speak for them")
