"""What the services' metrics are fed with: what a turn returned, and now and then how things stand.

Deciding code knows nothing of metrics; here they meet.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog
from sqlalchemy import Engine

from tellonce.apply.applier import Applier
from tellonce.apply.subscription import SubscribedView
from tellonce.apply.transaction import Applied
from tellonce.cli.heartbeat import Hearing
from tellonce.control.messages import DivergenceEvent, RepairRequest
from tellonce.model.divergence import DivergenceKind, DivergenceState, Reason
from tellonce.observability import metrics as m
from tellonce.observability.meters import Meters
from tellonce.publish.cycle import Turn
from tellonce.publish.images import Publication
from tellonce.publish.relay import Relay
from tellonce.reconcile.core import Output
from tellonce.reconcile.service import Reconciler
from tellonce.reconcile.status import StreamState, StreamStatus
from tellonce.storage.database import clock_ms, reading
from tellonce.storage.state import read_authority_views, read_subscribed_states
from tellonce.storage.subscriber.entries import COUNTED
from tellonce.topology import Topology

__all__ = ["ApplierWatch", "ReconcilerWatch", "RelayWatch"]

_log = structlog.get_logger()


class RelayWatch:
    """How an authority's relay stands."""

    def __init__(self, meters: Meters, department: str, engine: Engine, publications: Sequence[Publication]) -> None:
        self._meters = meters
        self._department = department
        self._engine = engine
        self._publications = publications
        self._views = [view.name for publication in publications for view in publication.views]
        self.relay: Relay | None = None

    def turned(self, turn: Turn) -> None:
        """Counts what a turn published."""
        for view, count in turn.published.items():
            self._meters.count(m.PUBLISHED, count, department=self._department, view=view)

    def refresh(self) -> None:
        """Reads the outboxes, what is staged, and what is kept back."""
        department, meters = self._department, self._meters
        with reading(self._engine) as connection:
            now_ms = clock_ms(connection)
            for publication in self._publications:
                pending, oldest_ms = publication.outbox.pending(connection)
                labels = {"department": department, "record_type": publication.source.record_type}
                meters.set(m.OUTBOX_PENDING, pending, **labels)
                age_ms = 0 if oldest_ms is None else max(0, now_ms - oldest_ms)
                meters.set(m.OUTBOX_OLDEST, age_ms / 1000, **labels)
            views = read_authority_views(connection, self._views)
        waiting = self.relay.waiting_streams() if self.relay is not None else Counter[str]()
        for view, state in views.items():
            meters.set(m.STAGED, state.staged, department=department, view=view)
            meters.set(m.UNPUBLISHED, state.unpublished, department=department, view=view)
            labels = {"service": m.Service.RELAY.value, "department": department, "view": view}
            meters.set(m.STOPPED_STREAMS, state.stopped + waiting[view], **labels)
        if self.relay is not None:
            meters.set(m.LEASE, int(self.relay.holds_lease), department=department)
            for record_type, found in self.relay.capture_findings.items():
                meters.set(m.CAPTURE_FINDINGS, len(found), department=department, record_type=record_type)

    def paused(self) -> None:
        """The lease is let go of while the relay waits; what the database held is as old as the pause."""
        self._meters.set(m.LEASE, 0, department=self._department)


class ApplierWatch:
    """How a subscriber's applier stands."""

    def __init__(
        self,
        meters: Meters,
        department: str,
        engine: Engine,
        objectives: Mapping[str, float],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`objectives` gives, by view, within how many seconds a change is to be applied."""
        self._meters = meters
        self._department = department
        self._engine = engine
        self._objectives = objectives
        self._views = list(objectives)
        self._monotonic = monotonic
        self._at_end = dict.fromkeys(self._views, monotonic())
        self._late: set[str] = set()
        self.applier: Applier | None = None

    def applied(self, view: SubscribedView, applied: Applied) -> None:
        """Counts what a transaction did."""
        labels = {"department": self._department, "view": view.name}
        if applied.delays_ms:
            self._meters.propagation.observe_all(labels, (delay / 1000 for delay in applied.delays_ms))
        if applied.is_retry:
            return
        self._meters.observe(m.APPLY_DURATION, applied.seconds, **labels)
        for outcome, count in applied.outcomes.items():
            self._meters.count(m.CONSUMED, count, outcome=outcome, **labels)
        if applied.refused:
            self._meters.count(m.REFUSED, applied.refused, **labels)

    def refresh(self) -> None:
        """Reads the ledger's counts and what is parked, and how far the streams are from their ends."""
        with reading(self._engine) as connection:
            states = read_subscribed_states(connection, self._views, [state.value for state in COUNTED])
        meters, department = self._meters, self._department
        for view, state in states.items():
            labels = {"department": department, "view": view}
            for name, count in state.records.items():
                meters.set(m.RECORDS, count, state=name, **labels)
            for reason in Reason:
                meters.set(m.PARKED, state.parked.get(reason.value, 0), reason=reason.value, **labels)
            meters.set(m.PARKED_OLDEST, _seconds(state.oldest_parked_ms), **labels)
            meters.set(m.MISSING_SEQUENCES, state.missing, **labels)
            meters.set(m.UNLINKED_ROWS, state.unlinked_rows, **labels)
            meters.set(m.UNREADABLE_ROWS, state.unreadable_rows, **labels)
            meters.set(m.STOPPED_STREAMS, state.stopped, service=m.Service.APPLIER.value, **labels)
        self._tell_lag({} if self.applier is None else self.applier.lag())

    def paused(self) -> None:
        """How far it is behind is not known while it waits."""
        self._tell_lag({})

    def _tell_lag(self, lag: Mapping[str, int | None]) -> None:
        now = self._monotonic()
        for view in self._views:
            records = lag.get(view)
            if records == 0:
                self._at_end[view] = now
            labels = {"department": self._department, "view": view}
            self._meters.set(m.LAG_KNOWN, int(records is not None), **labels)
            self._meters.set(m.LAG_RECORDS, records, **labels)
            seconds = None if records is None else now - self._at_end[view]
            self._meters.set(m.LAG_SECONDS, seconds, **labels)
            if seconds is not None and records is not None:
                self._judge(view, seconds, records)

    def _judge(self, view: str, seconds: float, records: int) -> None:
        objective = self._objectives[view]
        if seconds > objective and view not in self._late:
            self._late.add(view)
            _log.warning(
                "subscription_late",
                department=self._department,
                view=view,
                seconds=round(seconds),
                objective_seconds=objective,
                records=records,
            )
        elif seconds <= objective and view in self._late:
            self._late.discard(view)
            _log.info("subscription_caught_up", department=self._department, view=view)


class ReconcilerWatch:
    """How the city stands, as the reconciler knows it."""

    def __init__(self, meters: Meters, topology: Topology, hearing: Hearing) -> None:
        self._meters = meters
        self._hearing = hearing
        self._subscriptions = [
            (department, view.name) for view in topology.views() for department in view.subscriptions
        ]
        self.reconciler: Reconciler | None = None

    def wrote(self, outputs: Iterable[Output]) -> None:
        """Counts the repairs that were ordered, and those that a proof has confirmed."""
        for output in outputs:
            match output:
                case RepairRequest():
                    self._count(m.REPAIRS_ORDERED, len(output.pseudonyms), output.department, output.view)
                case DivergenceEvent(state=DivergenceState.RESOLVED) if output.repairs:
                    self._count(m.REPAIRS_VERIFIED, 1, output.department, output.view)
                case _:
                    pass

    def _count(self, metric: m.Metric, amount: int, department: str, view: str) -> None:
        if (department, view) in self._subscriptions:
            self._meters.count(metric, amount, department=department, view=view)

    def refresh(self) -> None:
        """Takes the states of all streams, the divergences that nobody has accepted, and who gives signs of life."""
        self._hearing.listen()
        # Until the topics were read nothing is known, and no divergence so far would look like none at all.
        if self.reconciler is None or not self.reconciler.is_loaded:
            return
        streams: dict[tuple[str, str], list[StreamStatus]] = {each: [] for each in self._subscriptions}
        for status in self.reconciler.statuses:
            streams.setdefault((status.department, status.view), []).append(status)
        divergences: dict[tuple[str, str], list[DivergenceEvent]] = {each: [] for each in self._subscriptions}
        for one in self.reconciler.divergences:
            if one.state is not DivergenceState.ACCEPTED:
                divergences.setdefault((one.department, one.view), []).append(one)
        for department, view in self._subscriptions:
            labels = {"department": department, "view": view}
            self._tell_streams(streams[department, view], labels)
            found = divergences[department, view]
            for kind in DivergenceKind:
                self._meters.set(m.DIVERGENT, sum(one.kind is kind for one in found), kind=kind.value, **labels)
            oldest_ms = min((one.opened_at_ms for one in found), default=None)
            self._meters.set(m.DIVERGENCE_OLDEST, _seconds(oldest_ms), **labels)

    def _tell_streams(self, mine: Sequence[StreamStatus], labels: Mapping[str, str]) -> None:
        for state in StreamState:
            self._meters.set(m.STREAMS, sum(status.state is state for status in mine), state=state.value, **labels)
        marked = [status.marked_at_ms for status in mine if status.marked_at_ms is not None]
        attested = [status.attested_at_ms for status in mine if status.attested_at_ms is not None]
        self._meters.set(m.MARK_TIMESTAMP, _seconds(max(marked, default=None)), **labels)
        self._meters.set(m.ATTESTATION_TIMESTAMP, _seconds(max(attested, default=None)), **labels)

    def paused(self) -> None:
        """What it knew stays as old as the pause."""


def _seconds(at_ms: int | None) -> float | None:
    return None if at_ms is None else at_ms / 1000
