"""The services: which run, on what, whether they turn or wait, and when they last swept their tables."""

from dashboards import promql as q
from dashboards.city import THIS_ROW
from dashboards.page import Page, Variable, runbook, to
from dashboards.panels import Column, counts, figure, lines, rows, states, words
from tellonce.observability import metrics as m

__all__ = ["SERVICES"]

_CHOSEN = {"service": "$service", "department": "$department"}
_SERVICE = ("service", "department")
_WITH_SCHEMAS = f"{q.pick(m.BUILD, **_CHOSEN)} unless {q.pick(m.BUILD, schemas='')}"
_LEGEND = "{{department}} {{service}}"
_PAUSED = words({0: "works", 1: "waits"}, ("green", "orange"))
_CITY = to("city", "City overview")

SERVICES = Page(
    name="services",
    title="Services",
    description="Which services run, on what, whether they turn or wait, and when they last swept their tables.",
    variables=[
        Variable(label="service", metric=m.TURN_TIMESTAMP),
        Variable(label="department", metric=m.TURN_TIMESTAMP),
    ],
    panels=[
        figure(
            "Services seen",
            "Services of which Prometheus has a sign of life. Worry when it is less than the topology needs.",
            f"count({q.newest(m.TURN_TIMESTAMP, _SERVICE, **_CHOSEN)})",
            shows=words({}),
            to=runbook("TellonceAbsent"),
        ),
        figure(
            "Services that hang",
            "Services whose loop has not turned for two minutes, not even to wait. Worry when it is not none.",
            f"sum({q.age(m.TURN_TIMESTAMP, _SERVICE, **_CHOSEN)} > bool 120)",
            to=runbook("TellonceHangs"),
        ),
        figure(
            "Services that wait",
            f"{m.PAUSED.help} Worry when {m.PAUSED.worry}.",
            f"sum(min by (service, department) ({q.pick(m.PAUSED, **_CHOSEN)}))",
            to=runbook("TelloncePaused"),
        ),
        figure(
            "Longest since a sweep",
            "Time since the whole sweep of tables that is longest ago; unknown until one was through. "
            f"Worry when {m.SWEEP_TIMESTAMP.worry}.",
            f"max({q.age(m.SWEEP_TIMESTAMP, _SERVICE, **_CHOSEN)})",
            unit="s",
            shows=words({}),
            to=runbook("TellonceSweepOverdue"),
        ),
        figure(
            "Releases in use",
            "Releases of tellonce that run side by side. Worry when it stays above 1 for days.",
            f"count(count by (version) ({q.pick(m.BUILD, **_CHOSEN)}))",
            shows=words({}),
            to=_CITY,
        ),
        figure(
            "Sets of schemas in use",
            "Sets of published schemas among relays and appliers; the reconciler has none. "
            f"Worry when {m.BUILD.worry}.",
            f"count(count by (schemas) ({_WITH_SCHEMAS})) or vector(0)",
            shows=words({}),
            to=_CITY,
        ),
        rows(
            "Services",
            "Each service by how long ago its loop turned, whether it waits for its database or the broker, "
            "and how long ago the reconciler heard of it. "
            f"Worry when a turn or sign of life is minutes ago, or {m.PAUSED.worry}.",
            _SERVICE,
            [
                Column(
                    title="last turn",
                    query=q.age(m.TURN_TIMESTAMP, _SERVICE, **_CHOSEN),
                    unit="s",
                    to=THIS_ROW,
                ),
                Column(
                    title="waits",
                    query=f"min by (service, department) ({q.pick(m.PAUSED, **_CHOSEN)})",
                    shows=_PAUSED,
                ),
                Column(title="heard of", query=q.age(m.HEARD_TIMESTAMP, _SERVICE, **_CHOSEN), unit="s"),
                Column(title="pauses in an hour", query=q.recently(m.PAUSES, _SERVICE, **_CHOSEN), unit="short"),
                Column(
                    title="statements refused in an hour",
                    query=q.recently(m.STATEMENTS_REFUSED, _SERVICE, **_CHOSEN),
                    unit="short",
                ),
                Column(
                    title="differences in topics",
                    query=q.told(m.TOPOLOGY_DRIFT, _SERVICE, **_CHOSEN),
                    shows=counts(),
                ),
                Column(
                    title="longest turns",
                    query=q.quantile(0.99, m.TURN_DURATION, _SERVICE, **_CHOSEN),
                    unit="s",
                ),
                Column(
                    title="last sweep",
                    query=q.at(m.SWEEP_TIMESTAMP, _SERVICE, **_CHOSEN),
                    unit="dateTimeFromNow",
                ),
            ],
            to=_CITY,
        ),
        states(
            "Waiting over time",
            f"{m.PAUSED.help} Worry when {m.PAUSED.worry}.",
            {_LEGEND: f"min by (service, department) ({q.pick(m.PAUSED, **_CHOSEN)})"},
            shows=_PAUSED,
            to=runbook("TelloncePaused"),
        ),
        lines(
            "Longest turns",
            f"{m.TURN_DURATION.help} Of 100 turns 99 took less. Worry when {m.TURN_DURATION.worry}.",
            {_LEGEND: q.quantile(0.99, m.TURN_DURATION, _SERVICE, **_CHOSEN)},
            unit="s",
            to=runbook("TellonceHangs"),
        ),
        lines(
            "Pauses within an hour",
            f"{m.PAUSES.help} Worry when {m.PAUSES.worry}.",
            {_LEGEND: q.recently(m.PAUSES, _SERVICE, **_CHOSEN)},
            unit="short",
            to=runbook("TelloncePaused"),
        ),
        lines(
            "Topics that are not as the topology says",
            f"{m.TOPOLOGY_DRIFT.help} Worry when {m.TOPOLOGY_DRIFT.worry}.",
            {_LEGEND: q.told(m.TOPOLOGY_DRIFT, _SERVICE, **_CHOSEN)},
            unit="short",
            to=runbook("TellonceTopologyDrift"),
        ),
        lines(
            "Round trip to Kafka",
            f"{m.KAFKA_ROUND_TRIP.help} Worry when {m.KAFKA_ROUND_TRIP.worry}.",
            {_LEGEND: q.newest(m.KAFKA_ROUND_TRIP, _SERVICE, **_CHOSEN)},
            unit="s",
            to=runbook("TelloncePaused"),
        ),
        lines(
            "What waits for Kafka",
            f"{m.KAFKA_QUEUED.help} {m.KAFKA_UNANSWERED.help} Worry when it stays above 0 for minutes.",
            {
                f"{_LEGEND}: {title}": q.newest(metric, _SERVICE, **_CHOSEN)
                for title, metric in (("messages", m.KAFKA_QUEUED), ("unanswered requests", m.KAFKA_UNANSWERED))
            },
            unit="short",
            to=runbook("TelloncePaused"),
        ),
        lines(
            "Trouble with Kafka",
            "Timeouts, errors and disconnects of the client that gives signs of life, since it was made. "
            "Worry when one grows every minute.",
            {
                f"{_LEGEND}: {title}": q.newest(metric, _SERVICE, **_CHOSEN)
                for title, metric in (
                    ("timeouts", m.KAFKA_TIMEOUTS),
                    ("send errors", m.KAFKA_SEND_ERRORS),
                    ("receive errors", m.KAFKA_RECEIVE_ERRORS),
                    ("disconnects", m.KAFKA_DISCONNECTS),
                )
            },
            unit="short",
            to=runbook("TelloncePaused"),
        ),
        rows(
            "What runs where",
            f"{m.BUILD.help} Worry when {m.BUILD.worry}.",
            m.BUILD.labels,
            [
                Column(
                    title="runs",
                    query=f"max by ({', '.join(m.BUILD.labels)}) ({q.pick(m.BUILD, **_CHOSEN)})",
                    shows=words({1: "runs"}),
                ),
                Column(
                    title="instances", query=f"count by ({', '.join(m.BUILD.labels)}) ({q.pick(m.BUILD, **_CHOSEN)})"
                ),
            ],
            to=_CITY,
        ),
    ],
)
