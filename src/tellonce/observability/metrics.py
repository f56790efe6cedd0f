"""Every metric that tellonce serves, each said once: what it is called, what it counts, and when to worry.

Labels take their values from closed sets: the topology's departments, record types and views, and the states, outcomes
and reasons of the code. No key, no name of a file and no text of an error is ever a label.
"""

from tellonce.observability.metric import Kind, Metric, Service, counter, gauge
from tellonce.topology import Topology

__all__ = [
    "APPLY_BUCKETS",
    "HEARTBEAT",
    "METRICS",
    "PORTS",
    "PROPAGATION_BUCKETS",
    "RECONCILER_DEPARTMENT",
    "Kind",
    "Metric",
    "Service",
    "services_of",
]

APPLY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds of one transaction or one turn."""

PROPAGATION_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
"""Seconds from the authority's commit to the department's; every subscription's objective is an edge, too."""

RECONCILER_DEPARTMENT = "reconciler"
"""What stands for a department where a service is of none."""

PORTS = {Service.RELAY: 9821, Service.APPLIER: 9822, Service.RECONCILER: 9823}
"""Where each kind of service answers unless told otherwise."""

_ALL = tuple(Service)
_TABLES = (Service.RELAY, Service.APPLIER)

BUILD = gauge(
    "tellonce_build_info",
    _ALL,
    ("service", "department", "version", "python", "librdkafka", "schemas"),
    "1; its labels say which release runs, on what, with which published schemas (none at the reconciler).",
    "departments that share a view differ in schemas for days",
)
TURN_DURATION = Metric(
    name="tellonce_turn_duration_seconds",
    kind=Kind.HISTOGRAM,
    services=_ALL,
    labels=("service", "department"),
    help="How long one turn of the service's loop took.",
    worry="it nears the lease, which is twice the message timeout",
    buckets=APPLY_BUCKETS,
)
TURN_TIMESTAMP = gauge(
    "tellonce_turn_timestamp_seconds",
    _ALL,
    ("service", "department"),
    "When the service's loop last turned, paused or not.",
    "it stands still: the service hangs",
)
PAUSED = gauge(
    "tellonce_paused",
    _ALL,
    ("service", "department"),
    "1 while the service waits for its database or the broker, else 0.",
    "it stays 1 for minutes",
)
PAUSES = counter(
    "tellonce_pauses",
    _ALL,
    ("service", "department"),
    "How often the service began to wait, or waited once more.",
    "it grows all day: something restarts again and again",
)
STATEMENTS_REFUSED = counter(
    "tellonce_refused_statements",
    _ALL,
    ("service", "department"),
    "Messages on control topics that are not what their speaker may say there, or bear no signature of it.",
    "it grows: somebody speaks for another, or a key was not listed everywhere",
)
TOPOLOGY_DRIFT = gauge(
    "tellonce_topology_drift",
    _ALL,
    ("service", "department"),
    "Differences found between the topology and the service's topics; NaN where none was and not all is shown.",
    "it is not 0: `tellonce doctor` names them",
)
# Of librdkafka's statistics (its STATISTICS.md), of the client by which a service gives its signs of life: it sends one
# every few seconds, so what it meets is the way to the broker and not how much there is to do.
KAFKA_ROUND_TRIP = gauge(
    "tellonce_kafka_round_trip_seconds",
    _ALL,
    ("service", "department"),
    "Time within which the slowest broker answers 99 of 100 requests for signs of life; NaN while none was answered.",
    "it is more than 1 s: the network or the broker is slow",
)
KAFKA_QUEUED = gauge(
    "tellonce_kafka_queued_messages",
    _ALL,
    ("service", "department"),
    "Signs of life that wait in the Kafka client; NaN where it tells nothing.",
    "it grows: the broker does not take them",
)
KAFKA_UNANSWERED = gauge(
    "tellonce_kafka_unanswered_requests",
    _ALL,
    ("service", "department"),
    "Requests for signs of life that a broker has and has not answered; NaN where the Kafka client tells nothing.",
    "it stays above 0 for minutes",
)
KAFKA_TIMEOUTS = gauge(
    "tellonce_kafka_timed_out_requests",
    _ALL,
    ("service", "department"),
    "Requests for signs of life that no broker answered in time, since the Kafka client was made.",
    "it grows: the network loses packets, or a broker hangs",
)
KAFKA_SEND_ERRORS = gauge(
    "tellonce_kafka_send_errors",
    _ALL,
    ("service", "department"),
    "Errors of sending signs of life to a broker, since the Kafka client was made.",
    "it grows",
)
KAFKA_RECEIVE_ERRORS = gauge(
    "tellonce_kafka_receive_errors",
    _ALL,
    ("service", "department"),
    "Errors of receiving a broker's answers to signs of life, since the Kafka client was made.",
    "it grows",
)
KAFKA_DISCONNECTS = gauge(
    "tellonce_kafka_disconnects",
    _ALL,
    ("service", "department"),
    "Connections for signs of life that ended, since the Kafka client was made; brokers end those that rest.",
    "it grows every minute",
)
STOPPED_STREAMS = gauge(
    "tellonce_stopped_streams",
    _TABLES,
    ("service", "department", "view"),
    "Streams that stand still: `stream_stopped` names the command that mends one, `stream_waiting` what it waits for.",
    "it is not 0",
)
SWEEP_TIMESTAMP = gauge(
    "tellonce_sweep_finished_timestamp_seconds",
    _TABLES,
    ("service", "department"),
    "When the service last finished a whole sweep of its tables; NaN until it has.",
    "it is older than three rests between sweeps",
)
OUTBOX_PENDING = gauge(
    "tellonce_outbox_pending_records",
    (Service.RELAY,),
    ("department", "record_type"),
    "Changes that wait to be published.",
    "it grows",
)
OUTBOX_OLDEST = gauge(
    "tellonce_outbox_oldest_age_seconds",
    (Service.RELAY,),
    ("department", "record_type"),
    "Age of the oldest change that waits to be published; 0 where none waits.",
    "it is more than a subscription's objective",
)
STAGED = gauge(
    "tellonce_staged_events",
    (Service.RELAY,),
    ("department", "view"),
    "Events that have their place in a stream and are not acknowledged yet.",
    "it stays above 0 for minutes",
)
PUBLISHED = counter(
    "tellonce_published_events",
    (Service.RELAY,),
    ("department", "view"),
    "Events that the broker has acknowledged.",
    "it stands still while changes wait",
)
UNPUBLISHED = gauge(
    "tellonce_unpublished_records",
    (Service.RELAY,),
    ("department", "view"),
    "Records whose newest state cannot be published.",
    "it is not 0: every subscriber holds an older state",
)
CAPTURE_FINDINGS = gauge(
    "tellonce_capture_findings",
    (Service.RELAY,),
    ("department", "record_type"),
    "Ways in which a table's capture is not as `tellonce install` makes it; NaN until the relay has looked.",
    "it is not 0: changes may go unseen until the next sweep",
)
LEASE = gauge(
    "tellonce_lease_held",
    (Service.RELAY,),
    ("department",),
    "1 where this relay may publish, 0 where it waits for another's lease to end.",
    "the sum over an authority's relays is not 1",
)

CONSUMED = counter(
    "tellonce_consumed_events",
    (Service.APPLIER,),
    ("department", "view", "outcome"),
    "Events by what became of them: applied, superseded, out_of_scope or parked.",
    "parked grows",
)
REFUSED = counter(
    "tellonce_refused_messages",
    (Service.APPLIER,),
    ("department", "view"),
    "Messages on a view's topic that its authority did not write there as they are; no row changes by them.",
    "it grows: somebody else writes to the view's topic, or the authority has a new key",
)
APPLY_DURATION = Metric(
    name="tellonce_apply_duration_seconds",
    kind=Kind.HISTOGRAM,
    services=(Service.APPLIER,),
    labels=("department", "view"),
    help="How long one transaction took that applied events.",
    worry="it grows: the department's database is slow, or a batch meets locks",
    buckets=APPLY_BUCKETS,
)
PROPAGATION = Metric(
    name="tellonce_propagation_delay_seconds",
    kind=Kind.HISTOGRAM,
    services=(Service.APPLIER,),
    labels=("department", "view"),
    help="Time from the authority's commit to the department's, of every applied event.",
    worry="too few events are below the subscription's objective",
    buckets=PROPAGATION_BUCKETS,
)
OBJECTIVE = gauge(
    "tellonce_freshness_objective_seconds",
    (Service.APPLIER,),
    ("department", "view"),
    "The subscription's objective for that time.",
    "never: it is the topology's",
)
LAG_RECORDS = gauge(
    "tellonce_lag_records",
    (Service.APPLIER,),
    ("department", "view"),
    "Messages in this applier's streams that it has not applied; NaN where that is not known.",
    "it grows",
)
LAG_SECONDS = gauge(
    "tellonce_lag_seconds",
    (Service.APPLIER,),
    ("department", "view"),
    "For how long this applier has been behind the end of its streams; 0 at the end, NaN where that is not known.",
    "it is more than the objective",
)
LAG_KNOWN = gauge(
    "tellonce_lag_known",
    (Service.APPLIER,),
    ("department", "view"),
    "1 where the lag is known, so that its 0 can be believed, else 0.",
    "it stays 0: no stream is assigned, or the broker says nothing",
)
RECORDS = gauge(
    "tellonce_records",
    (Service.APPLIER,),
    ("department", "view", "state"),
    "Records of the view by how the department stands to them: held, out_of_scope, parked or ambiguous.",
    "ambiguous grows, or held falls",
)
UNLINKED_ROWS = gauge(
    "tellonce_unlinked_rows",
    (Service.APPLIER,),
    ("department", "view"),
    "Rows of the department's table that are no record's, as its last whole sweep found; NaN until one was through.",
    "it grows: rows carry identifiers that the authority does not know",
)
UNREADABLE_ROWS = gauge(
    "tellonce_unreadable_rows",
    (Service.APPLIER,),
    ("department", "view"),
    "Open rows with a bound column that its codec does not understand, as the last whole sweep found; NaN until then.",
    "it is not 0: no proof speaks of what stands in such a column",
)
PARKED = gauge(
    "tellonce_parked_records",
    (Service.APPLIER,),
    ("department", "view", "reason"),
    "Records whose newest event could not be applied, by reason.",
    "it is not 0 for an hour: `tellonce parked list` names them",
)
PARKED_OLDEST = gauge(
    "tellonce_parked_oldest_timestamp_seconds",
    (Service.APPLIER,),
    ("department", "view"),
    "Since when the record that has been parked longest is; NaN where none is.",
    "it is days ago",
)
MISSING_SEQUENCES = gauge(
    "tellonce_missing_sequences",
    (Service.APPLIER,),
    ("department", "view"),
    "Sequences that this department has not seen below the highest that it has; nothing is attested while there are.",
    "it stays above 0 for minutes while the relay runs",
)

STREAMS = gauge(
    "tellonce_streams",
    (Service.RECONCILER,),
    ("department", "view", "state"),
    "Streams of a subscription by state: proved, behind, unknown or diverged.",
    "diverged is not 0, or unknown stays above 0",
)
DIVERGENT = gauge(
    "tellonce_divergent_records",
    (Service.RECONCILER,),
    ("department", "view", "kind"),
    "Records that a department holds differently and that nobody has accepted, by kind.",
    "it is not 0: `tellonce divergences` names them",
)
DIVERGENCE_OLDEST = gauge(
    "tellonce_divergence_oldest_timestamp_seconds",
    (Service.RECONCILER,),
    ("department", "view"),
    "Since when the oldest divergence that nobody has accepted is known; NaN where there is none.",
    "it is an hour ago",
)
MARK_TIMESTAMP = gauge(
    "tellonce_mark_timestamp_seconds",
    (Service.RECONCILER,),
    ("department", "view"),
    "When the authority's newest mark of the view was made; NaN until there is one.",
    "it is older than the relay's last change",
)
ATTESTATION_TIMESTAMP = gauge(
    "tellonce_attestation_timestamp_seconds",
    (Service.RECONCILER,),
    ("department", "view"),
    "When the department's newest attestation of the view was made; NaN until there is one.",
    "it falls behind the view's mark",
)
HEARD_TIMESTAMP = gauge(
    "tellonce_heard_timestamp_seconds",
    (Service.RECONCILER,),
    ("service", "department"),
    "When the reconciler last heard a sign of life of a department's relay or applier; NaN until it has.",
    "it is more than a minute ago: the service does not run, or does not reach the broker",
)
REPAIRS_ORDERED = counter(
    "tellonce_repairs_ordered",
    (Service.RECONCILER,),
    ("department", "view"),
    "Records that were ordered to be published again for the department.",
    "it grows without end: the same records differ again",
)
REPAIRS_VERIFIED = counter(
    "tellonce_repairs_verified",
    (Service.RECONCILER,),
    ("department", "view"),
    "Ordered records that were then proved equal.",
    "it falls far behind those ordered",
)

HEARTBEAT = (
    PAUSED,
    STOPPED_STREAMS,
    OUTBOX_PENDING,
    OUTBOX_OLDEST,
    UNPUBLISHED,
    LAG_RECORDS,
    LAG_SECONDS,
    PARKED,
    PARKED_OLDEST,
    STREAMS,
    DIVERGENT,
    DIVERGENCE_OLDEST,
)
"""The gauges that a service tells with each sign of life, for those who ask the topics and not Prometheus."""

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""Every metric, in the order in which they are declared here."""


def services_of(topology: Topology) -> list[tuple[Service, str]]:
    """Gives every service that a city runs, with its department."""
    return [
        *((Service.RELAY, name) for name in topology.departments if topology.published_by(name)),
        *((Service.APPLIER, name) for name in topology.departments if topology.subscribed_by(name)),
        (Service.RECONCILER, RECONCILER_DEPARTMENT),
    ]
