"""The meters of each kind of service, with every label set that the topology gives it."""

from tellonce.cli.statistics_watch import STATISTICS
from tellonce.model.divergence import DivergenceKind, Reason
from tellonce.observability import metrics as m
from tellonce.observability.meters import LabelSets, Meters, every
from tellonce.reconcile.status import StreamState
from tellonce.storage.subscriber.entries import COUNTED, OUTCOMES
from tellonce.topology import Topology

__all__ = ["applier_meters", "reconciler_meters", "relay_meters"]

_OF_SERVICE = (
    m.TURN_DURATION,
    m.TURN_TIMESTAMP,
    m.PAUSED,
    m.PAUSES,
    m.STATEMENTS_REFUSED,
    m.TOPOLOGY_DRIFT,
    *STATISTICS,
    m.SWEEP_TIMESTAMP,
)


def _of_service(service: m.Service, department: str) -> LabelSets:
    own = [{"service": service.value, "department": department}]
    return dict.fromkeys(_OF_SERVICE, own)


def relay_meters(department: str, topology: Topology) -> Meters:
    """Gives the meters of an authority's relay."""
    views = topology.published_by(department)
    of_view = every(department=[department], view=[view.name for view in views])
    of_type = every(department=[department], record_type=dict.fromkeys(view.record_type for view in views))
    return Meters(
        m.Service.RELAY,
        {
            **_of_service(m.Service.RELAY, department),
            m.STOPPED_STREAMS: [{"service": m.Service.RELAY.value, **labels} for labels in of_view],
            m.OUTBOX_PENDING: of_type,
            m.OUTBOX_OLDEST: of_type,
            m.CAPTURE_FINDINGS: of_type,
            m.STAGED: of_view,
            m.PUBLISHED: of_view,
            m.UNPUBLISHED: of_view,
            m.LEASE: [{"department": department}],
        },
    )


def applier_meters(department: str, topology: Topology) -> Meters:
    """Gives the meters of a subscriber's applier."""
    subscriptions = topology.subscribed_by(department)
    names = [subscription.view for subscription in subscriptions]
    of_view = every(department=[department], view=names)
    meters = Meters(
        m.Service.APPLIER,
        {
            **_of_service(m.Service.APPLIER, department),
            m.STOPPED_STREAMS: [{"service": m.Service.APPLIER.value, **labels} for labels in of_view],
            m.CONSUMED: every(department=[department], view=names, outcome=OUTCOMES),
            m.REFUSED: of_view,
            m.APPLY_DURATION: of_view,
            m.PROPAGATION: of_view,
            m.OBJECTIVE: of_view,
            m.LAG_RECORDS: of_view,
            m.LAG_SECONDS: of_view,
            m.LAG_KNOWN: of_view,
            m.RECORDS: every(department=[department], view=names, state=[state.value for state in COUNTED]),
            m.UNLINKED_ROWS: of_view,
            m.UNREADABLE_ROWS: of_view,
            m.PARKED: every(department=[department], view=names, reason=[reason.value for reason in Reason]),
            m.PARKED_OLDEST: of_view,
            m.MISSING_SEQUENCES: of_view,
        },
        objectives={(department, each.view): float(each.freshness_seconds) for each in subscriptions},
    )
    for each in subscriptions:
        meters.set(m.OBJECTIVE, each.freshness_seconds, department=department, view=each.view)
    return meters


def reconciler_meters(topology: Topology) -> Meters:
    """Gives the reconciler's meters: of every subscription of the city."""
    of_view = [
        {"department": department, "view": view.name} for view in topology.views() for department in view.subscriptions
    ]
    states, kinds = [state.value for state in StreamState], [kind.value for kind in DivergenceKind]
    return Meters(
        m.Service.RECONCILER,
        {
            **_of_service(m.Service.RECONCILER, m.RECONCILER_DEPARTMENT),
            m.STREAMS: [{**labels, "state": state} for labels in of_view for state in states],
            m.DIVERGENT: [{**labels, "kind": kind} for labels in of_view for kind in kinds],
            m.DIVERGENCE_OLDEST: of_view,
            m.HEARD_TIMESTAMP: [
                {"service": service.value, "department": department}
                for service, department in m.services_of(topology)
                if service is not m.Service.RECONCILER
            ],
            m.MARK_TIMESTAMP: of_view,
            m.ATTESTATION_TIMESTAMP: of_view,
            m.REPAIRS_ORDERED: of_view,
            m.REPAIRS_VERIFIED: of_view,
        },
    )
