"""Somebody else's subscriber, written from docs/wire-format.md, on the topic of a city that lives."""

import json

from contract.city import City
from contract.forms import id_number
from tellonce.control.messages import Mark, decode_message
from tellonce.kafka.reading import read_to_end
from tellonce.keyring import load_view_keys
from tellonce.model.digest import from_hex
from tellonce.topology.topics import marks
from wire.subscriber import Subscriber


def test_fifty_lines_hold_what_the_authority_states(city: City) -> None:
    """After changes, a re-key, a delete and a new epoch its rows are the register's, and its sums the marks'."""
    names = city.names
    city.add(*range(1, 8))
    city.begin_epoch()
    city.publish()
    city.rename(2, "L\u00ed Wei")
    city.execute(
        names.registry,
        "UPDATE resident SET id_number = :new WHERE id_number = :old",
        new=id_number(9),
        old=id_number(3),
    )
    city.execute(names.registry, "DELETE FROM resident WHERE id_number = :old", old=id_number(4))
    city.publish()
    city.begin_epoch()
    city.publish()
    city.rename(5, "Zhao")
    city.publish()

    settings = city.settings(names.registry)
    lock = json.loads((settings.schemas / "registry.lock.json").read_text())
    reader = Subscriber(names.view, load_view_keys(settings.keys, names.view).digest, lock)
    for message in read_to_end(city.kafka, city.topic):
        headers = dict(message.headers() or ())
        sealed = bytes(headers["tellonce"] or b"")  # type: ignore[arg-type]  # confluent-kafka types it for both directions
        reader.take(int(message.partition() or 0), message.key() or b"", sealed, message.value())
    stated: dict[int, Mark] = {}
    for message in read_to_end(city.kafka, marks(names.registry)):
        mark = decode_message(Mark, message.value() or b"")
        stated[mark.partition] = mark

    rows = [row for _, row in reader.records.values() if row is not None]
    held = {(row["id_number"], row["name"]) for row in rows}
    assert held == set(city.rows(names.registry, "SELECT id_number, name FROM resident"))
    assert len(held) == 6
    assert set(stated) == {0, 1}
    assert {n: reader.sum_and_count(n) for n in stated} == {n: (from_hex(m.sum), m.count) for n, m in stated.items()}
