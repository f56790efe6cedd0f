"""What one department's ordinary credentials can do to the others by the control topics: nothing but be refused."""

from structlog.testing import capture_logs

from contract.city import City, MakeCity
from contract.forms import id_number
from tellonce.control.messages import (
    Attestation,
    Inquiry,
    Message,
    Order,
    OrderAction,
    RepairRequest,
    decode_message,
    encode_message,
)
from tellonce.kafka.channel import KafkaChannel
from tellonce.kafka.control import ControlWriter
from tellonce.kafka.reading import read_to_end
from tellonce.model.divergence import DivergenceKind, DivergenceState
from tellonce.topology.topics import RECONCILER, attestations, divergences, inquiries, orders, repairs


def say(city: City, speaker: str, *messages: Message) -> None:
    """Let a principal say something on its own topics."""
    with KafkaChannel(city.kafka, speaker, "test-speaker", city.signatures(speaker)) as channel:
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
    pseudonyms: tuple[str, ...] = (),
    **more: object,
) -> Order:
    """An order about the city's view."""
    facts: dict[str, object] = {
        "view": city.names.view,
        "partition": 0,
        "order_id": "o-1",
        "action": action,
        "pseudonyms": pseudonyms,
        "by": "somebody",
        "reason": "a reason",
        "at_ms": 1,
    }
    return Order.model_validate(facts | more)


def request(city: City, department: str, *serials: int) -> RepairRequest:
    """A request that this department have these records repaired."""
    return RepairRequest(
        view=city.names.view,
        partition=0,
        order_id="o-1",
        department=department,
        pseudonyms=tuple(map(city.pseudonym, serials)),
        by="somebody",
        reason="a reason",
        at_ms=1,
    )


def events_of(city: City) -> list[tuple[int, int]]:
    """Partition and offset of everything in the view's topic."""
    return [(one.partition, one.offset) for one in city.log()]


def test_department_cannot_bury_what_others_have_not_read(city: City) -> None:
    """Only the reconciler knows what every department has attested."""
    city.begin_epoch()
    city.add(1)
    city.run()
    before = events_of(city)
    say(city, city.names.fund, order(city, "tombstones", epoch=9, up_to_sequence=2**63 - 1))

    with capture_logs() as logs:
        city.publish()

    (line,) = [line for line in logs if line["event"] == "order_refused"]
    assert (line["speaker"], line["action"]) == (city.names.fund, "tombstones")
    assert events_of(city) == before


def test_repair_is_applied_by_who_wants_it_alone(city: City) -> None:
    """A difference that a person shall decide stays, whoever else has the record repaired, and no event names them."""
    names = city.names
    city.begin_epoch()
    city.add(1)
    city.run()
    city.execute(names.clinic, "UPDATE patient SET patient_name = 'Edited'")
    say(city, names.fund, order(city, "repair", pseudonyms=(city.pseudonym(1),)))
    before = len(events_of(city))

    city.run()

    assert len(events_of(city)) > before
    assert list(city.patients().values()) == ["Edited"]
    written = [message.value() or b"" for message in read_to_end(city.kafka, city.topic)]
    assert not any(name.encode() in each for each in written for name in (names.fund, names.clinic))


def test_department_is_not_asked_for_its_records_by_another(city: City) -> None:
    """A request that names somebody else, on whatever topic it stands, has nothing repaired."""
    names = city.names
    city.begin_epoch()
    city.add(1)
    city.run()
    city.execute(names.clinic, "UPDATE patient SET patient_name = 'Edited'")
    asked = request(city, names.fund, 1)
    append(city, repairs(names.clinic), encode_message(asked))

    city.run()
    city.run()

    assert list(city.patients().values()) == ["Edited"]


def test_repairs_of_two_departments_in_one_batch_are_both_carried_out(city: City) -> None:
    """Both have asked before the relay looks, so one event may do for both."""
    names = city.names
    city.begin_epoch()
    city.add(1)
    city.open_account(id_number(1), account="A1")
    city.run()
    city.execute(names.clinic, "UPDATE patient SET patient_name = 'Edited'")
    city.execute(names.fund, "UPDATE account SET xm = 'Edited'")
    for name in (names.clinic, names.fund):
        say(city, RECONCILER, request(city, name, 1))
        city.apply(name)

    city.run()

    assert list(city.patients().values()) == ["Wang Fang"]
    assert city.rows(names.fund, "SELECT xm FROM account") == [("Wang Fang",)]


def test_request_is_carried_out_once(city: City) -> None:
    """Services that start again repeat neither the request nor the order, nor what was none."""
    names = city.names
    city.begin_epoch()
    city.add(1)
    city.run()
    before = len(events_of(city))
    append(city, repairs(names.clinic), b"{}")
    say(city, RECONCILER, request(city, names.clinic, 1))

    city.run()
    city.run()
    once = len(events_of(city))
    with capture_logs() as logs:
        city.run()

    assert once == before + 1
    assert len(events_of(city)) == once
    told = {"control_message_skipped", "repair_requested", "repairs_ordered", "order_carried_out"}
    assert [line for line in logs if line["event"] in told] == []


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
