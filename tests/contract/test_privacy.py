"""Guarantee 6, the canary: nothing but the view's events and the departments' tables carries what was planted."""

import pytest
from structlog.testing import capture_logs

from contract.city import City, MakeCity
from contract.forms import id_number, short_number
from tellonce.kafka.reading import read_to_end
from tellonce.topology import load_topology, topics_of
from tellonce.topology.topics import RECONCILER, answers, attestations, divergences, evidence, inquiries, marks, orders

LONG_NAME = "Canary Feilongshiyi" + "N" * 12
PLANTED = (
    "Canary",
    "Feilong",
    "canary-former",
    "1970-01-01",
    "19700101",
    *(id_number(serial) for serial in range(1, 6)),
    *(short_number(serial) for serial in range(1, 6)),
)


def busy(city: City) -> list[str]:
    """Let the city park, match, differ and repair with planted values, and give what its services logged."""
    names = city.names
    with capture_logs() as logs:
        city.add(1, 2, former="canary-former", name="Canary Fei")
        city.add(3, name=LONG_NAME)
        city.add(4, name="Canary Four")
        city.execute(names.registry, "INSERT INTO resident (resident_id, id_number, name) VALUES (5, 'Canary', NULL)")
        city.open_account("canary-former", account="A1")
        city.open_account(id_number(3), account="A3")
        city.open_account(short_number(4), account="A4")
        city.begin_epoch()
        city.run()
        city.execute(names.clinic, "UPDATE patient SET patient_name = 'Canary Alt' WHERE card_no = :n", n=id_number(4))
        city.execute(names.fund, "UPDATE account SET csrq = 'Canary' WHERE zhbh = 'A4'")
        city.execute(names.registry, "DELETE FROM resident WHERE resident_id = 2")
        city.reconcile()
    return [repr(line) for line in logs]


def found_in(texts: list[str]) -> set[str]:
    """The planted values that occur in any of these."""
    return {value for value in PLANTED for text in texts if value in text}


@pytest.fixture
def repairing_city(make_city: MakeCity) -> City:
    """A city that repairs by itself, so that every kind of message is written."""
    return make_city(on_divergence="repair")


def test_nothing_planted_leaves_the_events_and_tables(repairing_city: City) -> None:
    """Logs, keys, headers, marks, attestations, inquiries, answers, orders, divergences and evidence hold no value."""
    city, names = repairing_city, repairing_city.names
    texts = {"logs": busy(city)}
    topology = load_topology(city.settings(names.registry).topology)
    for topic in (spec.name for spec in topics_of(topology) if spec.name != city.topic):
        messages = list(read_to_end(city.kafka, topic))
        texts[topic] = [f"{message.key()!r} {message.value()!r} {message.headers()!r}" for message in messages]
    events = list(read_to_end(city.kafka, city.topic))
    texts["keys and headers"] = [f"{message.key()!r} {message.headers()!r}" for message in events]
    for department in city.departments:
        for table in ("parked", "unpublished", "position", "stream", "claim", "linked_row", "seen"):
            rows = [dict(row) for row in city.own_rows(department, table)]
            texts[f"{department} {table}"] = [repr({k: v for k, v in row.items() if k != "payload"}) for row in rows]

    spoken = {name for name, some in texts.items() if some}
    assert {name: found_in(some) for name, some in texts.items() if found_in(some)} == {}
    assert spoken >= {"logs", "keys and headers", marks(names.registry)}
    assert spoken >= {make(RECONCILER) for make in (orders, divergences, evidence)}
    assert spoken >= {make(name) for name in city.subscribers for make in (inquiries, answers, attestations)}


def test_canary_is_in_the_events_themselves(repairing_city: City) -> None:
    """The search finds a planted value where it has to be, so finding none elsewhere means something."""
    busy(repairing_city)

    payloads = [
        (message.value() or b"").decode(errors="replace")
        for message in read_to_end(repairing_city.kafka, repairing_city.topic)
    ]

    assert found_in(payloads) >= {"Canary", "canary-former", id_number(4)}
