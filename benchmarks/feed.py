"""A subscriber's city whose topic the benchmark fills itself, sealed as a relay does, so that no relay is measured."""

import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from unittest.mock import patch

from contract import forms
from contract.city import City, Site
from tellonce.apply.subscription import SubscribedView
from tellonce.apply.transaction import Applied
from tellonce.cli.wiring import open_applier
from tellonce.kafka.clients import make_producer
from tellonce.keyring import load_view_keys
from tellonce.model.change import ChangeEvent, Operation, Origin
from tellonce.model.digest import pseudonym_of
from tellonce.model.errors import InvariantError
from tellonce.model.seal import StreamSeal
from tellonce.publish.send import Sender
from tellonce.publish.staged import StagedEvent
from town import id_number_of, name_of

__all__ = ["PARTITIONS", "Fed", "Person"]

PARTITIONS = 4
DEADLINE_SECONDS = 300.0
BORN = date(1970, 1, 1)
EPOCH = 1
SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A record of the feed; the name is what changes."""

    pseudonym: str
    number: str
    name: str


class Fed:
    """One subscriber that mirrors so many people, its applier open and ready; `stack` closes what is open."""

    def __init__(self, folder: Path, site: Site, stack: ExitStack, records: int) -> None:
        """Makes the city; nothing is published yet."""
        folder.mkdir()
        self.city = city = stack.enter_context(City(folder, site, forms.Terms(partitions=PARTITIONS)))
        self.clinic = names = city.names.clinic
        # The suite counts each write by a trigger, which no department has.
        is_postgres = city.engines[names].dialect.name == "postgresql"
        triggers = ["note_written ON patient"] if is_postgres else ["note_inserted", "note_updated"]
        city.execute(names, *(f"DROP TRIGGER {trigger}" for trigger in triggers))
        keys = load_view_keys(folder / "keys", city.names.view)
        view = city.names.view
        seals = {(view, number): StreamSeal(keys.digest, view, number) for number in range(PARTITIONS)}
        self._encode = city.catalogue().encoder(view)
        self._sender = Sender(
            lambda: make_producer(city.kafka, "bench"), {view: city.topic}, seals, time.monotonic, DEADLINE_SECONDS
        )
        self._sequences = [0] * PARTITIONS
        self.version = self._applied = self._expected = 0
        rng = random.Random(SEED)
        self._people = [
            Person(pseudonym=pseudonym_of(keys.pseudonym, str(serial)), number=id_number_of(serial), name=name_of(rng))
            for serial in range(records)
        ]
        with patch("tellonce.cli.wiring.group_of", lambda department: f"bench.{city.names.tag}.{department}"):
            self.applier, _ = open_applier(city.settings(names), names, stack)
        on_applied = self.applier._on_applied  # noqa: SLF001 - the wiring has no other hook

        def applied(view: SubscribedView, applied: Applied) -> None:
            on_applied(view, applied)
            self._applied += sum(applied.outcomes.values())

        self.applier._on_applied = applied  # noqa: SLF001 - the same
        while not self.applier.is_ready:
            self.applier.turn()

    def people(self) -> Sequence[Person]:
        """Everybody as last published."""
        return self._people

    def publish(self, suffix: str) -> None:
        """Puts everybody into the topic, with names that end so; the same suffix again is a resync of equal data."""
        self.version += 1
        self._people = [
            Person(pseudonym=one.pseudonym, number=one.number, name=one.name.partition("·")[0] + suffix)
            for one in self._people
        ]
        result = self._sender.send([self._event(one) for one in self._people], lambda: None)
        if result.trouble is not None or result.troubles:
            raise InvariantError("expected the broker to take the whole feed, found that it did not")
        self._applied, self._expected = 0, len(self._people)

    def apply(self) -> None:
        """Runs the applier until it has decided about all that was published."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self._applied < self._expected:
            if not self.applier.turn():
                time.sleep(0.002)
            if time.monotonic() > deadline:
                msg = f"expected the applier to end within {DEADLINE_SECONDS:g} s"
                raise InvariantError(msg)

    def _event(self, one: Person) -> StagedEvent:
        names = self.city.names
        partition = int(one.pseudonym[:8], 16) % PARTITIONS
        self._sequences[partition] += 1
        sequence = self._sequences[partition]
        event = ChangeEvent(
            op=Operation.UPDATE,
            department=names.registry,
            record_type=names.record_type,
            view=names.view,
            record_key=one.pseudonym,
            epoch=EPOCH,
            version=self.version,
            sequence=sequence,
            origin=Origin.CAPTURE,
            committed_at_ms=0,
            published_at_ms=0,
            after={"id_number": one.number, "name": one.name, "born": BORN, "former_id_numbers": ()},
        )
        return StagedEvent(
            view=names.view,
            partition=partition,
            epoch=EPOCH,
            sequence=sequence,
            record_key=one.pseudonym,
            kafka_key=one.pseudonym,
            version=self.version,
            payload=self._encode(event),
            committed_at_ms=0,
            ends_batch=True,
        )
