"""How a city stands, from its services' signs of life alone: who is behind, who differs, since when, whose turn it is.

The words, and what they mean, are those of `docs/dashboards.md`, which shows the same figures.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from tellonce.cli.heartbeat import SILENT_SECONDS
from tellonce.control.messages import Heartbeat
from tellonce.model.divergence import DivergenceKind, Reason
from tellonce.observability import metrics as m
from tellonce.reconcile.status import StreamState
from tellonce.topology import Subscription, Topology, View

__all__ = ["CityStanding", "Liveness", "ServiceStanding", "Standing", "SubscriptionStanding", "Turn", "stand"]


class Liveness(StrEnum):
    """Whether a service works, as far as its signs of life tell."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    SILENT = "silent"
    UNHEARD = "never heard"


class Standing(IntEnum):
    """How a department stands to a view, from best to worst."""

    EQUAL = 0
    BEHIND = 1
    PARKED = 2
    UNKNOWN = 3
    DIFFERS = 4


class Turn(StrEnum):
    """Who has to do something."""

    NOBODY = "nobody"
    OFFICE = "data office"
    DEPARTMENT = "department"
    AUTHORITY = "authority"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStanding:
    """One service of a department; `heard_at_ms` is its last sign of life, by its own clock."""

    service: m.Service
    department: str
    liveness: Liveness
    heard_at_ms: int | None
    release: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionStanding:
    """One department and one view; a number that nobody knows is None, never 0.

    `waiting_records` are at the authority, not published yet; `behind_records` are published, not applied yet.
    `todo` is what whoever's turn it is does first.
    """

    department: str
    view: str
    authority: str
    standing: Standing
    behind_records: int | None
    behind_seconds: float | None
    waiting_records: int | None
    waiting_seconds: float | None
    parked: int | None
    differing: Mapping[str, int] | None
    since_ms: int | None
    turn: Turn
    todo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CityStanding:
    """Every service and every subscription of the topology."""

    services: Sequence[ServiceStanding]
    subscriptions: Sequence[SubscriptionStanding]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """Something that is not as it should be: how bad it is, since when, and who does what about it."""

    standing: Standing
    turn: Turn
    todo: str
    since_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """One service as all its processes tell of it."""

    standing: ServiceStanding
    heartbeats: Sequence[Heartbeat] = field(default=())

    @property
    def is_known(self) -> bool:
        """Whether what it tells is of now."""
        return self.standing.liveness in {Liveness.RUNNING, Liveness.PAUSED}

    def gauge(self, metric: m.Metric, **labels: str) -> float | None:
        """Gives the largest of its figures with these labels.

        Processes of one service read the same database, so their figures are one and the same.
        """
        return max(self._values(metric, labels), default=None)

    def total(self, metric: m.Metric, **labels: str) -> float | None:
        """Gives the sum of its figures with these labels, as of appliers that share streams."""
        values = list(self._values(metric, labels))
        return sum(values) if values else None

    def _values(self, metric: m.Metric, labels: Mapping[str, str]) -> Iterator[float]:
        for heartbeat in self.heartbeats:
            for reading in heartbeat.gauges.get(metric.name, ()):
                if reading.value is not None and labels.items() <= reading.labels.items():
                    yield reading.value


def stand(topology: Topology, heartbeats: Sequence[Heartbeat], now_ms: int) -> CityStanding:
    """Gives how the city stands; `heartbeats` are the newest of each process."""
    told = {place: _told_by(place, heartbeats, now_ms) for place in m.services_of(topology)}
    return CityStanding(
        services=[each.standing for each in told.values()],
        subscriptions=[
            _subscription(view, subscription, told, now_ms)
            for view in topology.views()
            for subscription in view.subscriptions.values()
        ],
    )


def _told_by(place: tuple[m.Service, str], heartbeats: Sequence[Heartbeat], now_ms: int) -> _Told:
    service, department = place
    mine = [each for each in heartbeats if (each.service, each.department) == (service.value, department)]
    if not mine:
        never = ServiceStanding(service=service, department=department, liveness=Liveness.UNHEARD, heard_at_ms=None)
        return _Told(standing=never)
    alive = [each for each in mine if _liveness(each, now_ms) in {Liveness.RUNNING, Liveness.PAUSED}]
    # Of several processes one that works says more than one that waits, and the newest more than the others.
    best = max(alive or mine, key=lambda each: (each.state == "running", each.at_ms))
    standing = ServiceStanding(
        service=service,
        department=department,
        liveness=_liveness(best, now_ms),
        heard_at_ms=best.at_ms,
        release=best.release,
    )
    # Figures of a service that is silent are of some earlier time: not known, and not 0.
    return _Told(standing=standing, heartbeats=alive)


def _liveness(heartbeat: Heartbeat, now_ms: int) -> Liveness:
    if heartbeat.state == "stopped":
        return Liveness.STOPPED
    return Liveness.SILENT if now_ms - heartbeat.at_ms > SILENT_SECONDS * 1000 else Liveness(heartbeat.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What is known of one subscription, and of the three services that it depends on."""

    view: View
    subscription: Subscription
    relay: _Told
    applier: _Told
    reconciler: _Told
    now_ms: int

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its figures."""
        return {"department": self.subscription.department, "view": self.view.name}

    @property
    def waiting_seconds(self) -> float | None:
        """For how long the oldest change has waited at the authority."""
        return self.relay.gauge(m.OUTBOX_OLDEST, record_type=self.view.record_type)

    @property
    def behind_seconds(self) -> float | None:
        """For how long the department's slowest applier has been behind."""
        return self.applier.gauge(m.LAG_SECONDS, **self.labels)

    def differing(self) -> dict[str, int] | None:
        """Gives the records that are held differently, by kind; None where no reconciler tells."""
        by_kind = {
            kind.value: count
            for kind in DivergenceKind
            if (count := self.reconciler.gauge(m.DIVERGENT, kind=kind.value, **self.labels)) is not None
        }
        return {kind: int(count) for kind, count in by_kind.items() if count} if by_kind else None


def _subscription(
    view: View,
    subscription: Subscription,
    told: Mapping[tuple[m.Service, str], _Told],
    now_ms: int,
) -> SubscriptionStanding:
    facts = _Facts(
        view=view,
        subscription=subscription,
        relay=told[m.Service.RELAY, view.authority],
        applier=told[m.Service.APPLIER, subscription.department],
        reconciler=told[m.Service.RECONCILER, m.RECONCILER_DEPARTMENT],
        now_ms=now_ms,
    )
    findings = [*_at_authority(facts), *_at_department(facts), *_at_office(facts)]
    # Where several have to do something, the first on the record's way.
    first = findings[0] if findings else _Finding(standing=Standing.EQUAL, turn=Turn.NOBODY, todo="")
    worst = max(findings, key=lambda each: each.standing, default=first)
    return SubscriptionStanding(
        department=subscription.department,
        view=view.name,
        authority=view.authority,
        standing=worst.standing,
        behind_records=_whole(facts.applier.total(m.LAG_RECORDS, **facts.labels)),
        behind_seconds=facts.behind_seconds,
        waiting_records=_whole(facts.relay.gauge(m.OUTBOX_PENDING, record_type=facts.view.record_type)),
        waiting_seconds=facts.waiting_seconds,
        parked=_whole(_parked(facts)),
        differing=facts.differing(),
        since_ms=worst.since_ms,
        turn=first.turn,
        todo=first.todo,
    )


def _at_authority(facts: _Facts) -> Iterator[_Finding]:
    authority, relay = facts.view.authority, facts.relay
    yield from _unwell(relay, Turn.AUTHORITY, f"tellonce relay {authority}")
    if relay.gauge(m.STOPPED_STREAMS, view=facts.view.name):
        yield _Finding(
            standing=Standing.UNKNOWN,
            turn=Turn.AUTHORITY,
            todo=f"tellonce resync {facts.view.record_type}, if its log says so",
        )
    if (waits := facts.waiting_seconds or 0) > facts.subscription.freshness_seconds:
        yield _Finding(
            standing=Standing.BEHIND,
            turn=Turn.AUTHORITY,
            todo=f"tellonce doctor {authority}",
            since_ms=facts.now_ms - int(waits * 1000),
        )
    if relay.gauge(m.UNPUBLISHED, view=facts.view.name) or _differs(facts, DivergenceKind.UNPUBLISHED):
        yield _Finding(
            standing=Standing.DIFFERS,
            turn=Turn.AUTHORITY,
            todo=f"tellonce unpublished {authority}",
            since_ms=_differing_since(facts),
        )


def _at_department(facts: _Facts) -> Iterator[_Finding]:
    department, applier = facts.subscription.department, facts.applier
    yield from _unwell(applier, Turn.DEPARTMENT, f"tellonce consume {department}")
    if applier.gauge(m.STOPPED_STREAMS, **facts.labels):
        yield _Finding(
            standing=Standing.UNKNOWN,
            turn=Turn.DEPARTMENT,
            todo=f"tellonce reread {department} {facts.view.name}, if its log says so",
        )
    if applier.is_known and facts.behind_seconds is None:
        yield _Finding(standing=Standing.UNKNOWN, turn=Turn.DEPARTMENT, todo=f"tellonce doctor {department}")
    elif (behind := facts.behind_seconds or 0) > facts.subscription.freshness_seconds:
        yield _Finding(
            standing=Standing.BEHIND,
            turn=Turn.DEPARTMENT,
            todo=f"tellonce consume {department}, once more beside it",
            since_ms=facts.now_ms - int(behind * 1000),
        )
    if _parked(facts) or _differs(facts, DivergenceKind.PARKED, DivergenceKind.AMBIGUOUS):
        oldest = applier.gauge(m.PARKED_OLDEST, **facts.labels)
        yield _Finding(
            standing=Standing.DIFFERS if _differs(facts, DivergenceKind.AMBIGUOUS) else Standing.PARKED,
            turn=Turn.DEPARTMENT,
            todo=f"tellonce parked list --view {facts.view.name}",
            since_ms=_differing_since(facts) if oldest is None else int(oldest * 1000),
        )


def _at_office(facts: _Facts) -> Iterator[_Finding]:
    reconciler = facts.reconciler
    yield from _unwell(reconciler, Turn.OFFICE, "tellonce reconcile")
    unknown = reconciler.gauge(m.STREAMS, state=StreamState.UNKNOWN.value, **facts.labels)
    if reconciler.is_known and unknown != 0:
        yield _Finding(standing=Standing.UNKNOWN, turn=Turn.OFFICE, todo="tellonce reconcile --once")
    others = [
        kind
        for kind in DivergenceKind
        if kind not in {DivergenceKind.PARKED, DivergenceKind.AMBIGUOUS, DivergenceKind.UNPUBLISHED}
    ]
    if _differs(facts, *others):
        yield _Finding(
            standing=Standing.DIFFERS,
            turn=Turn.OFFICE,
            todo="tellonce divergences",
            since_ms=_differing_since(facts),
        )


def _unwell(told: _Told, turn: Turn, start: str) -> Iterator[_Finding]:
    standing = told.standing
    if standing.liveness is Liveness.PAUSED:
        todo = f"tellonce doctor {standing.department}" if turn is not Turn.OFFICE else "tellonce doctor"
        yield _Finding(standing=Standing.UNKNOWN, turn=turn, todo=todo, since_ms=standing.heard_at_ms)
    elif standing.liveness is not Liveness.RUNNING:
        yield _Finding(standing=Standing.UNKNOWN, turn=turn, todo=start, since_ms=standing.heard_at_ms)


def _parked(facts: _Facts) -> float | None:
    by_reason = [facts.applier.gauge(m.PARKED, reason=reason.value, **facts.labels) for reason in Reason]
    values = [value for value in by_reason if value is not None]
    return sum(values) if values else None


def _differs(facts: _Facts, *kinds: DivergenceKind) -> bool:
    differing = facts.differing() or {}
    return any(kind.value in differing for kind in kinds)


def _differing_since(facts: _Facts) -> int | None:
    oldest = facts.reconciler.gauge(m.DIVERGENCE_OLDEST, **facts.labels)
    return None if oldest is None else int(oldest * 1000)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
