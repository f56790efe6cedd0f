"""Guarantee 7, infrastructure: a service pauses while broker or database is away, and goes on by itself."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import pytest

from contract.city import City, Site, drive
from contract.forms import Terms, id_number
from tellonce.apply.applier import Applier
from tellonce.kafka.reading import read_to_end
from tellonce.model.errors import RetryableError
from tellonce.publish.relay import Relay
from tellonce.running import run_turns
from tellonce.testing.postgres_server import PostgresServer
from tellonce.topology.topics import attestations
from waiting import wait_until

BACK_SECONDS = 40.0


class Running:
    """A service that runs in a thread of its own, as its command runs it."""

    def __init__(self, service: Relay | Applier) -> None:
        """Start nothing yet; `with` does."""
        self.pauses = 0
        self.failures: list[BaseException] = []
        self.is_database_away = False
        self._service = service
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        """Start it."""
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop it, and fail where it had ended by itself."""
        self._stop.set()
        self._thread.join(20)
        assert not self.failures

    def _run(self) -> None:
        try:
            run_turns(self._turn, self._stop, on_pause=self._pause, idle_seconds=0.05)
        except BaseException as error:  # noqa: BLE001 - whatever ended it is for the test to see
            self.failures.append(error)

    def _turn(self) -> bool:
        if self.is_database_away:
            msg = "the database is away"
            raise RetryableError(msg)
        return self._service.turn()

    def _pause(self) -> None:
        self.pauses += 1
        self._service.pause()


@contextmanager
def running(city: City) -> Iterator[tuple[Running, Running]]:
    """The relay and the clinic's applier, at work."""
    with ExitStack() as stack:
        relay = Running(stack.enter_context(city.relay()))
        applier = Running(stack.enter_context(city.applier(city.names.clinic)))
        yield stack.enter_context(relay), stack.enter_context(applier)


def wait_for_patients(city: City, *serials: int) -> None:
    """Return when the clinic holds exactly these residents."""
    expected = {id_number(serial) for serial in serials}
    wait_until(lambda: set(city.patients()) == expected, BACK_SECONDS, what=f"patients {serials}")


def test_broker_that_was_away_delays_and_loses_nothing(
    city: City, broker_away: Callable[[], None], broker_back: Callable[[], None]
) -> None:
    """While the broker is away the relay pauses; what was changed meanwhile reaches the departments after."""
    city.begin_epoch()
    with running(city) as (relay, _):
        city.add(1)
        wait_for_patients(city, 1)

        broker_away()
        city.add(2)
        wait_until(lambda: relay.pauses, BACK_SECONDS, what="the relay pauses")
        broker_back()

        city.add(3)
        wait_for_patients(city, 1, 2, 3)


@pytest.fixture
def city_on_postgres(postgres_only_site: Site, tmp_path: Path) -> Iterator[City]:
    """A city whose databases can be stopped."""
    with City(tmp_path, postgres_only_site, Terms()) as city:
        city.begin_epoch()
        yield city


def test_databases_that_were_away_delay_and_lose_nothing(city_on_postgres: City, postgres: PostgresServer) -> None:
    """While the databases are away both services pause; afterwards they go on by themselves, and go on reading."""
    city = city_on_postgres
    with running(city) as (relay, _):
        city.add(1)
        wait_for_patients(city, 1)

        postgres.stop()
        try:
            wait_until(lambda: relay.pauses, BACK_SECONDS, what="the relay pauses")
        finally:
            postgres.start()

        city.add(2)
        wait_for_patients(city, 1, 2)


def test_applier_reads_on_after_its_database_was_away(city_on_postgres: City) -> None:
    """An applier that paused fetches again: events that come later are applied, too."""
    city = city_on_postgres
    with running(city) as (_, applier):
        city.add(1)
        wait_for_patients(city, 1)

        applier.is_database_away = True
        wait_until(lambda: applier.pauses, BACK_SECONDS, what="the applier pauses")
        city.add(2)
        applier.is_database_away = False

        wait_for_patients(city, 1, 2)


def test_what_was_said_before_the_trouble_is_said_again(city: City) -> None:
    """An attestation that may have been lost with the broker is repeated, also where the stream is quiet."""
    city.add(1)
    city.begin_epoch()
    city.publish()
    topic = attestations(city.names.clinic)
    with city.applier(city.names.clinic) as applier:
        drive(applier)
        before = [message.value() for message in read_to_end(city.kafka, topic)]

        applier.pause()
        drive(applier)

    after = [message.value() for message in read_to_end(city.kafka, topic)]
    newest = set(after[len(before) :])
    assert len(newest) == city.terms.partitions
    assert newest <= set(before)
