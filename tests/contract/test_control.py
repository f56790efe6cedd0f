"""What one department's ordinary credentials can do to the others by the control topics: nothing but be refused."""

import pytest
from structlog.testing import capture_logs

from contract.city import City, MakeCity
from tellonce.control.messages import (
    Attestation,
    Inquiry,
    Message,
    Order,
    OrderAction,
    decode_message,
    encode_message,
)
from tellonce.kafka.channel import KafkaChannel
from tellonce.kafka.control import ControlWriter
from tellonce.kafka.reading import read_to_end
from tellonce.model.divergence import DivergenceKind, DivergenceState
from tellonce.topology.topics import RECONCILER, attestations, divergences, inquiries, orders


def say(city: City, speaker: str, *messages: Message) -> None:
    """Let a principal say something on its own topics."""
    with KafkaChannel(city.kafka, speaker, "test-speaker") as channel:
        for message in messages:
            channel.say(message)


def append(city: City, topic: str, *values: bytes) -> None:
    """Write bytes to a topic."""
    with ControlWriter(city.kafka, "test-writer") as writer:
        for value in values:
            writer.write(topic, b"key", value)


def order(
    city: City,
    action: OrderAction,
    *departments: str,
    pseudonyms: tuple[str, ...] = (),
    **more: object,
) -> Order:
    """An order about the city's view."""
    facts: dict[str, object] = {
        "view": city.names.view,
        "partition": 0,
        "order_id": "o-1",
        "action": action,
        "departments": departments,
        "pseudonyms": pseudonyms,
        "by": "somebody",
        "reason": "a reason",
        "at_ms": 1,
    }
    return Order.model_validate(facts | more)


def events_of(city: City) -> list[tuple[int, int]]:
    """Partition and offset of everything in the view's topic."""
    return [(one.partition, one.offset) for one in city.log()]


@pytest.mark.parametrize("action", ["resync", "tombstones"])
def test_department_cannot_order_for_all(city: City, action: OrderAction) -> None:
    """One department's order neither publishes everything again nor buries what others have not read."""
    city.begin_epoch()
    city.add(1)
    city.run()
    before = events_of(city)
    say(city, city.names.fund, order(city, action, epoch=9, up_to_sequence=2**63 - 1))

    with capture_logs() as logs:
        city.publish()

    (line,) = [line for line in logs if line["event"] == "order_refused"]
    assert (line["speaker"], line["action"]) == (city.names.fund, action)
    assert events_of(city) == before


def test_department_cannot_have_a_row_of_another_overwritten(city: City) -> None:
    """A difference that a person shall decide stays, whoever else would have it mended."""
    names = city.names
    city.begin_epoch()
    city.add(1)
    city.run()
    city.execute(names.clinic, "UPDATE patient SET patient_name = 'Edited'")
    say(city, names.fund, order(city, "repair", names.clinic, pseudonyms=(city.pseudonym(1),)))

    city.run()

    assert list(city.patients().values()) == ["Edited"]


def test_speaker_is_who_may_write_the_topic_whatever_the_order_says(city: City) -> None:
    """`by` is for people to read, and gives nobody a right."""
    city.begin_epoch()
    city.add(1)
    city.run()
    before = events_of(city)
    say(city, city.names.clinic, order(city, "resync", by=RECONCILER))

    city.publish()

    assert events_of(city) == before


def test_order_by_the_reconciler_is_carried_out_once(city: City) -> None:
    """A relay that starts again does not repeat what was carried out, nor what was no order."""
    city.begin_epoch()
    city.add(1)
    city.run()
    before = len(events_of(city))
    append(city, orders(RECONCILER), b"{}")
    say(city, RECONCILER, order(city, "repair", city.names.clinic, pseudonyms=(city.pseudonym(1),)))

    city.publish()
    once = len(events_of(city))
    with capture_logs() as logs:
        city.publish()

    assert once > before
    assert len(events_of(city)) == once
    assert [line for line in logs if line["event"] in {"control_message_skipped", "order_carried_out"}] == []


def test_department_cannot_attest_for_another(city: City) -> None:
    """What a department says another holds is heard by nobody, and the other's edit is found."""
    names = city.names
    city.begin_epoch()
    city.add(1, 2)
    city.run()
    honest = [
        decode_message(Attestation, message.value() or b"")
        for message in read_to_end(city.kafka, attestations(names.clinic))
    ]
    city.execute(names.clinic, "UPDATE patient SET patient_name = 'Edited' WHERE card_no LIKE '%1'")
    forged = [each.model_copy(update={"at_ms": 2**62, "sequence": 2**62}) for each in honest]
    append(city, attestations(names.fund), *map(encode_message, [*honest, *forged]))

    found = city.reconcile()

    assert [(one.department, one.kind) for one in found.divergences] == [(names.clinic, DivergenceKind.ALTERED)]


HOSTILE = [b"", b"\xff", b"null", b"[" * 100_000, b'{"format": 1}', b"9" * 10_000, b'{"view": 1e999}']


def test_no_message_stops_a_service(make_city: MakeCity) -> None:
    """Whatever stands on the topics that it reads, each service goes on, and the city's differences are found."""
    city = make_city()
    names = city.names
    city.begin_epoch()
    city.add(1)
    city.run()
    city.execute(names.clinic, "UPDATE patient SET patient_name = 'Edited'")
    for topic in (inquiries(names.registry), inquiries(names.clinic), orders(RECONCILER), divergences(RECONCILER)):
        append(city, topic, *HOSTILE)

    def ask_everything() -> None:
        asked = ("buckets", "records")
        say(
            city,
            RECONCILER,
            *(
                Inquiry(
                    view=view,
                    partition=2**31 - 1,
                    inquiry_id="i",
                    departments=(names.registry, names.clinic),
                    ask=ask,  # type: ignore[arg-type]  # one of the two that there are
                    buckets=tuple(range(65_536)),
                    at_ms=0,
                )
                for ask in asked
                for view in (names.view, "nobody.knows")
            ),
        )

    found = city.reconcile(load=[ask_everything])

    assert [(one.department, one.state) for one in found.divergences] == [(names.clinic, DivergenceState.OPEN)]
