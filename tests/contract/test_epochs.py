"""An epoch begins beside a running relay: nothing is lost, the sums stay right, and a stream keeps its settings."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from contract.city import City, drive
from tellonce.avro.lock import extend_lock
from tellonce.cli.contract import load_contract
from tellonce.cli.wiring import authority_of
from tellonce.kafka.topics import apply_plan, plan_topics
from tellonce.keyring import new_view_keys
from tellonce.publish.streams import begin_epoch
from tellonce.storage.database import writing
from tellonce.storage.tables import own_tables
from tellonce.topology import load_topology
from tellonce.topology.topics import topics_of


def change(city: City, random: Random, serial: int) -> None:
    """Let something happen at the register."""
    registry = city.names.registry
    what = random.randrange(4)
    if what == 0:
        city.execute(registry, "DELETE FROM resident WHERE resident_id = :id", id=random.randrange(1, serial + 1))
    elif what == 1:
        city.add(serial)
    else:
        city.rename(random.randrange(1, serial + 1), f"Zhao {random.randrange(1000)}")


def test_resync_beside_a_running_relay_loses_nothing(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs that begin at any moment, also while events are on their way, end in proved departments."""
    random = Random(2)
    city.begin_epoch()
    city.add(1, 2, 3)
    with city.relay() as relay:
        drive(relay)
        sender = relay._cycle._sender
        send = sender.send

        def sending(*arguments: object, **named: object) -> object:
            if random.random() < 0.2:
                city.begin_epoch()
            sent = send(*arguments, **named)  # type: ignore[arg-type]
            if random.random() < 0.2:
                city.begin_epoch()
            return sent

        monkeypatch.setattr(sender, "send", sending)
        for serial in range(4, 24):
            change(city, random, serial)
            for _ in range(random.randrange(3)):
                relay.turn()
            if random.random() < 0.15:
                city.begin_epoch()
        monkeypatch.undo()
        drive(relay)
    reconciled = city.reconcile()

    residents = city.rows(city.names.registry, "SELECT id_number, name FROM resident")
    assert city.patients() == dict(residents)  # type: ignore[arg-type]  # each row is a pair
    assert {status.state.value for status in reconciled.statuses} == {"proved"}
    assert not [one for one in reconciled.divergences if one.department == city.names.clinic]


def test_running_relay_refuses_an_epoch_of_other_settings(city: City) -> None:
    """What another command began, with another contract or keys, gets nothing of ours, and one sentence says so."""
    city.begin_epoch()
    city.add(1)
    with city.relay() as relay, capture_logs() as logs:
        drive(relay)
        for row in city.own_rows(city.names.registry, "stream")[:1]:
            settings = json.dumps({**json.loads(row["settings"]), "partitions": 99})
            with writing(city.engines[city.names.registry]) as connection:
                table = own_tables(connection.dialect.name).stream
                of_stream = (table.c.view == row["view"], table.c.partition == row["partition"])
                connection.execute(update(table).where(*of_stream).values(settings=settings))
        city.rename(1, "Zhao Late")
        drive(relay, until=lambda: any(line["event"] == "stream_stopped" for line in logs))
        for _ in range(3):
            relay.turn()
        before = city.names_in_log()
        city.begin_epoch()
        drive(relay)

    stopped = [str(line["why"]) for line in logs if line["event"] == "stream_stopped"]
    assert before == ["Wang Fang"]
    assert len(stopped) == 1
    assert "partitions changed" in stopped[0]
    assert "`tellonce resync" in stopped[0]
    assert city.names_in_log()[-1] == "Zhao Late"


def test_stream_that_stood_still_is_swept_when_it_goes_on(city: City) -> None:
    """Nothing is staged for a stream that stands still, nor accused; what it missed is told when it goes on."""
    city.begin_epoch()
    city.add(1)
    city.publish()
    with city.relay() as relay, capture_logs() as logs:
        drive(relay)
        with writing(city.engines[city.names.registry]) as connection:
            connection.execute(
                update(own_tables(connection.dialect.name).stream).values(stopped="a log that is not ours")
            )
        city.rename(1, "Zhao Missed")
        relay._swept_at, swept = float("-inf"), relay.sweeps
        drive(relay, until=lambda: relay.sweeps > swept)
        before = city.names_in_log()
    accused = [line for line in logs if line["event"] == "rows_changed_behind_outbox"]

    city.publish()

    assert before == ["Wang Fang"]
    assert accused == []
    assert city.names_in_log() == ["Wang Fang", "Zhao Missed"]


def test_sweep_waits_behind_a_backlog(city: City) -> None:
    """While a turn takes as much as it may, a sweep would only find what the changes tell."""
    city.begin_epoch()
    city.publish()
    with city.relay() as relay:
        drive(relay)
        relay._swept_at = float("-inf")
        relay._cycle._is_full = True
        behind = relay._sweep()
        relay._cycle._is_full = False

        assert (behind, relay._sweep()) == (False, True)


def with_second_view(city: City) -> str:
    """Let the contract have a second view of the record type, of names alone, with keys and a topic of its own."""
    folder: Path = city.contracts[city.names.registry]
    topology = json.loads((folder / "topology.yaml").read_text())
    views = topology["record_types"][city.names.record_type]["views"]
    views["names"] = {**views["identity"], "fields": ["name"], "match_only": []}
    (folder / "topology.yaml").write_text(json.dumps(topology))
    extend_lock(folder / "schemas", load_topology(folder / "topology.yaml"))
    name = f"{city.names.record_type}.names"
    new_view_keys(folder.parent / "keys", name)
    specs = [spec for spec in topics_of(load_topology(folder / "topology.yaml")) if spec.name.startswith(name)]
    if city.site.embedded is None:
        apply_plan(city.kafka, plan_topics(city.kafka, specs))
    else:
        for spec in specs:
            city.site.embedded.create_topic(spec.name, partitions=spec.partitions)
    return name


def streams(city: City) -> dict[str, set[tuple[int, int]]]:
    """Epoch and sequence of the streams of each view."""
    found: dict[str, set[tuple[int, int]]] = {}
    for row in city.own_rows(city.names.registry, "stream"):
        found.setdefault(str(row["view"]), set()).add((row["epoch"], row["staged_sequence"]))
    return found


def test_new_view_begins_alone_beside_the_running_relay(city: City) -> None:
    """A view without an epoch keeps nothing back; its epoch tells every record there, and nobody else anything."""
    city.begin_epoch()
    city.add(1, 2, 3)
    city.publish()
    name = with_second_view(city)
    with city.relay() as relay, capture_logs() as logs:
        city.rename(1, "Zhao Before")
        drive(relay)
        before = streams(city)
        begin_new(city, [name])
        drive(relay)
        after = streams(city)
        relay._swept_at, swept = float("-inf"), relay.sweeps
        drive(relay, until=lambda: relay.sweeps > swept)
        rest = streams(city)

    assert city.names_in_log().count("Zhao Before") == 1
    assert name not in before
    assert after[city.names.view] == before[city.names.view]
    assert sum(sequence for _, sequence in after[name]) >= 3
    assert {row["view"] for row in city.own_rows(city.names.registry, "published")} == {city.names.view, name}
    assert rest == after
    # Nor is anything accused of not being told in a view that has no epoch.
    assert not [line for line in logs if line["event"] == "rows_changed_behind_outbox"]


def begin_new(city: City, names: Sequence[str]) -> None:
    """Begin the epoch of some views, as `tellonce snapshot` does of those that have none."""
    settings, registry = city.settings(city.names.registry), city.names.registry
    authority = authority_of(settings, load_contract(settings), registry, city.engines[registry])
    views = [view for view in authority.views if view.name in names]
    with writing(city.engines[registry]) as connection:
        begin_epoch(connection, city.names.record_type, views, "a test")
