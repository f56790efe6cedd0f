"""What the services' signs of life say of the city: who is behind, who differs, since when, whose turn it is."""

from collections.abc import Mapping
from typing import Literal

import pytest

from tellonce.cli.heartbeat import SILENT_SECONDS
from tellonce.cli.meters import applier_meters, reconciler_meters, relay_meters
from tellonce.cli.standing import Liveness, Standing, SubscriptionStanding, Turn, stand
from tellonce.control.messages import Heartbeat
from tellonce.demo.sites import demo_root
from tellonce.observability import metrics as m
from tellonce.observability.meters import Meters
from tellonce.topology import Topology, load_topology

NOW_MS = 1_800_000_000_000
FUND, AUTHORITY, VIEW = "provident-fund", "public-security", "citizen.identity"
OF_FUND = {"department": FUND, "view": VIEW}
Figures = Mapping[m.Metric, float]
State = Literal["running", "paused", "stopped"]


@pytest.fixture
def topology() -> Topology:
    """The demonstration city's."""
    return load_topology(demo_root() / "topology.yaml")


def told(meters: Meters, place: tuple[m.Service, str], more: Mapping[str, object]) -> Heartbeat:
    """What a service with these meters tells."""
    service, department = place
    plain = {
        "department": department,
        "service": service.value,
        "holder": "host:1",
        "state": "running",
        "release": "1",
        "started_at_ms": 0,
        "at_ms": NOW_MS - 1000,
        "gauges": meters.readings(m.HEARTBEAT),
    }
    return Heartbeat.model_validate(plain | dict(more))


class Signs:
    """The signs of life of a city in which all is well, to be changed by a test."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.meters: dict[tuple[m.Service, str], Meters] = {}
        self.more: dict[tuple[m.Service, str], dict[str, object]] = {}
        makers = {m.Service.RELAY: relay_meters, m.Service.APPLIER: applier_meters}
        for service, department in m.services_of(topology):
            maker = makers.get(service)
            made = maker(department, topology) if maker else reconciler_meters(topology)
            for metric, readings in made.readings(m.HEARTBEAT).items():
                declared = next(each for each in m.HEARTBEAT if each.name == metric)
                for reading in readings if declared not in (m.PARKED_OLDEST, m.DIVERGENCE_OLDEST) else ():
                    made.set(declared, 0, **reading.labels)
            self.meters[service, department] = made
        self.extra: list[Heartbeat] = []

    def heartbeats(self) -> list[Heartbeat]:
        """All of them."""
        found = [
            told(meters, place, self.more.get(place, {}))
            for place, meters in self.meters.items()
            if self.more.get(place) != {"gone": True}
        ]
        return [*found, *self.extra]

    def of_fund(self) -> SubscriptionStanding:
        """How the fund stands to its view."""
        (found,) = (
            each
            for each in stand(self.topology, self.heartbeats(), NOW_MS).subscriptions
            if (each.department, each.view) == (FUND, VIEW)
        )
        return found


@pytest.fixture
def signs(topology: Topology) -> Signs:
    """A city in which all is well."""
    return Signs(topology)


RELAY, APPLIER = (m.Service.RELAY, AUTHORITY), (m.Service.APPLIER, FUND)
RECONCILER = (m.Service.RECONCILER, m.RECONCILER_DEPARTMENT)


def test_city_in_which_all_is_well(signs: Signs) -> None:
    """Every subscription is equal, it is nobody's turn, and every service runs."""
    standing = stand(signs.topology, signs.heartbeats(), NOW_MS)

    assert {(each.standing, each.turn, each.todo) for each in standing.subscriptions} == {
        (Standing.EQUAL, Turn.NOBODY, "")
    }
    assert {each.liveness for each in standing.services} == {Liveness.RUNNING}
    assert signs.of_fund().behind_records == 0


@pytest.mark.parametrize(
    ("place", "metric", "labels", "value", "expected"),
    [
        (RELAY, m.OUTBOX_OLDEST, {"department": AUTHORITY, "record_type": "citizen"}, 1e6, ("BEHIND", "authority")),
        (RELAY, m.UNPUBLISHED, {"department": AUTHORITY, "view": VIEW}, 1, ("DIFFERS", "authority")),
        (
            RELAY,
            m.STOPPED_STREAMS,
            {"service": "relay", "department": AUTHORITY, "view": VIEW},
            1,
            ("UNKNOWN", "authority"),
        ),
        (APPLIER, m.LAG_SECONDS, OF_FUND, 1e6, ("BEHIND", "department")),
        (APPLIER, m.PARKED, {**OF_FUND, "reason": "locked"}, 2, ("PARKED", "department")),
        (APPLIER, m.STOPPED_STREAMS, {"service": "applier", **OF_FUND}, 1, ("UNKNOWN", "department")),
        (RECONCILER, m.DIVERGENT, {**OF_FUND, "kind": "altered"}, 3, ("DIFFERS", "data office")),
        (RECONCILER, m.DIVERGENT, {**OF_FUND, "kind": "ambiguous"}, 3, ("DIFFERS", "department")),
        (RECONCILER, m.DIVERGENT, {**OF_FUND, "kind": "parked"}, 3, ("PARKED", "department")),
        (RECONCILER, m.DIVERGENT, {**OF_FUND, "kind": "unpublished"}, 3, ("DIFFERS", "authority")),
        (RECONCILER, m.STREAMS, {**OF_FUND, "state": "unknown"}, 1, ("UNKNOWN", "data office")),
    ],
)
def test_each_figure_that_is_wrong_is_somebodys_turn(
    signs: Signs,
    place: tuple[m.Service, str],
    metric: m.Metric,
    labels: dict[str, str],
    value: float,
    expected: tuple[str, str],
) -> None:
    """The figure alone decides how the subscription stands, whose turn it is, and what is to be done first."""
    signs.meters[place].set(metric, value, **labels)

    found = signs.of_fund()

    assert (found.standing.name, found.turn.value) == expected
    assert found.todo.startswith("tellonce ")


@pytest.mark.parametrize(
    ("place", "turn"), [(RELAY, Turn.AUTHORITY), (APPLIER, Turn.DEPARTMENT), (RECONCILER, Turn.OFFICE)]
)
@pytest.mark.parametrize(
    ("more", "liveness"),
    [
        ({"gone": True}, Liveness.UNHEARD),
        ({"at_ms": NOW_MS - int(SILENT_SECONDS * 1000) - 1}, Liveness.SILENT),
        ({"state": "stopped"}, Liveness.STOPPED),
        ({"state": "paused"}, Liveness.PAUSED),
    ],
)
def test_service_that_is_not_well_makes_unknown_what_it_would_tell(
    signs: Signs, place: tuple[m.Service, str], turn: Turn, more: dict[str, object], liveness: Liveness
) -> None:
    """A service that is silent, stopped, waiting or never heard is told, and what it would know is not equal."""
    signs.more[place] = more

    services = stand(signs.topology, signs.heartbeats(), NOW_MS).services
    found = signs.of_fund()

    assert [each.liveness for each in services if (each.service, each.department) == place] == [liveness]
    assert (found.standing, found.turn) == (Standing.UNKNOWN, turn)


def test_what_nobody_knows_is_none_and_not_zero(signs: Signs) -> None:
    """Figures of a service that was never heard are unknown."""
    for place in (RELAY, APPLIER, RECONCILER):
        signs.more[place] = {"gone": True}

    found = signs.of_fund()

    assert (found.behind_records, found.behind_seconds, found.waiting_records, found.parked, found.differing) == (
        None,
        None,
        None,
        None,
        None,
    )


def test_lag_that_is_unknown_is_not_equal(signs: Signs) -> None:
    """An applier that runs and cannot tell how far it is behind makes the subscription unknown."""
    for metric in (m.LAG_RECORDS, m.LAG_SECONDS):
        signs.meters[APPLIER].set(metric, None, **OF_FUND)

    assert (signs.of_fund().standing, signs.of_fund().behind_records) == (Standing.UNKNOWN, None)


def test_appliers_that_share_streams_are_added_up(signs: Signs) -> None:
    """Each tells the lag of its own streams; what both read from the database counts once."""
    meters = signs.meters[APPLIER]
    meters.set(m.LAG_RECORDS, 5, **OF_FUND)
    meters.set(m.PARKED, 2, reason="locked", **OF_FUND)
    signs.extra.append(told(meters, APPLIER, {"holder": "host:2"}))
    signs.extra.append(told(meters, APPLIER, {"holder": "host:3", "at_ms": 0}))

    assert (signs.of_fund().behind_records, signs.of_fund().parked) == (10, 2)


def test_service_that_was_started_anew_is_not_silent(signs: Signs) -> None:
    """The sign of life of an earlier process does not count beside that of one that runs."""
    signs.extra.append(told(signs.meters[RELAY], RELAY, {"holder": "old", "state": "stopped", "at_ms": NOW_MS}))
    signs.extra.append(told(signs.meters[APPLIER], APPLIER, {"holder": "old", "at_ms": 0}))

    assert {each.liveness for each in stand(signs.topology, signs.heartbeats(), NOW_MS).services} == {Liveness.RUNNING}


def test_first_on_the_records_way_has_the_turn(signs: Signs) -> None:
    """Where authority, department and office could all do something, the authority is named; the worst is shown."""
    signs.meters[RECONCILER].set(m.DIVERGENT, 1, kind="missing", **OF_FUND)
    signs.meters[RECONCILER].set(m.DIVERGENCE_OLDEST, 1_000, **OF_FUND)
    signs.meters[APPLIER].set(m.LAG_SECONDS, 1e6, **OF_FUND)
    signs.more[RELAY] = {"state": "stopped"}

    found = signs.of_fund()

    assert (found.standing, found.turn, found.since_ms) == (Standing.DIFFERS, Turn.AUTHORITY, 1_000_000)
    assert found.differing == {"missing": 1}
