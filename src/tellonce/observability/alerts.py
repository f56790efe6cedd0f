"""Prometheus' rules for a city: what wakes somebody, and what can wait for the morning.

They are made from the topology, since each subscription has an objective of its own. Burn rates (Google's SRE workbook,
chapter 5) tell of an objective that is being missed; a department with twenty changes a day has no rate to burn, so
absolute rules stand beside them.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ruamel.yaml import YAML

from tellonce.observability import metrics as m
from tellonce.topology import Subscription, Topology

__all__ = ["ALERTS", "Alert", "Rules", "burn_alerts", "render_rules", "rules_of"]

Rules = Mapping[str, object]
"""The document of rules, as its YAML has it."""

Severity = Literal["page", "ticket"]

FRESHNESS_OBJECTIVE = 0.99
"""Share of events that are applied within the subscription's objective."""
SUCCESS_OBJECTIVE = 0.999
"""Share of events that do not park."""
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
# How many times faster than allowed the budget is spent, over a long window and, so that it ends soon, a short one.
_BURNS: tuple[tuple[float, str, str, Severity], ...] = (
    (14.4, "1h", "5m", "page"),
    (6.0, "6h", "30m", "page"),
    (3.0, "1d", "2h", "ticket"),
    (1.0, "3d", "6h", "ticket"),
)
RUNBOOK = "docs/alerts.md"
"""Where each alert is explained, under its name; a city that keeps its own puts the address in front."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert: the expression that must hold for so long, and what is said of it.

    `description` may hold Prometheus' templates; its labels are departments, views and the like, never a record.
    """

    name: str
    expr: str
    for_: str
    severity: Severity
    summary: str
    description: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])

    def rule(self) -> Rules:
        """Gives it as Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.for_,
            # So that a value which crosses its limit again and again is one alert and not fifty.
            "keep_firing_for": "5m",
            "labels": {"severity": self.severity} | dict(self.labels),
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{RUNBOOK}#{self.name.lower()}",
            },
        }


_OBJECTIVE = f"max by (department, view) ({m.OBJECTIVE.name})"
# Two services of one department read the same database: each figure is taken once, and only then summed.
_PARKED_ONCE = f"max by ({', '.join(m.PARKED.labels)}) ({m.PARKED.name} >= 0)"

ALERTS: tuple[Alert, ...] = (
    Alert(
        name="TellonceBehind",
        # A comparison with 0 leaves out what is not known, which is NaN.
        expr=f"max by (department, view) ({m.LAG_SECONDS.name} >= 0) > on (department, view) {_OBJECTIVE}",
        for_="10m",
        severity="page",
        summary="{{ $labels.department }} is behind with {{ $labels.view }}",
        description="For {{ $value | humanizeDuration }} its applier has not reached the end of the view's streams.",
    ),
    Alert(
        name="TellonceLagUnknown",
        expr=f"max by (department, view) ({m.LAG_KNOWN.name}) == 0",
        for_="15m",
        severity="ticket",
        summary="nobody knows how far {{ $labels.department }} is behind with {{ $labels.view }}",
        description="No stream of the view is assigned to any applier of the department, or the broker says nothing.",
    ),
    Alert(
        name="TellonceParked",
        expr=f"sum by (department, view) ({_PARKED_ONCE}) > 0",
        for_="15m",
        severity="ticket",
        summary="{{ $labels.department }} holds {{ $value }} records of {{ $labels.view }} in an older state",
        description="Their newest events could not be applied; `tellonce parked list` names them with the reason.",
    ),
    Alert(
        name="TellonceUnpublished",
        expr=f"max by (department, view) ({m.UNPUBLISHED.name} >= 0) > 0",
        for_="15m",
        severity="ticket",
        summary="{{ $labels.department }} cannot publish {{ $value }} records of {{ $labels.view }}",
        description="Every subscriber holds an older state of them.",
    ),
    Alert(
        name="TellonceStreamStopped",
        expr=f"max by (service, department, view) ({m.STOPPED_STREAMS.name}) > 0",
        for_="1m",
        severity="page",
        summary="{{ $value }} streams of {{ $labels.view }} stand still at {{ $labels.department }}",
        description="The {{ $labels.service }}'s log has `stream_stopped` or `stream_waiting` with what mends it.",
    ),
    Alert(
        name="TellonceCaptureAltered",
        expr=f"max by (department, record_type) ({m.CAPTURE_FINDINGS.name} >= 0) > 0",
        for_="5m",
        severity="page",
        summary="changes of {{ $labels.record_type }} at {{ $labels.department }} may go unseen",
        description="Its capture is not as `tellonce install` makes it; the log's `capture_altered` says in what.",
    ),
    Alert(
        name="TellonceForged",
        expr=f"sum by (department, view) (increase({m.REFUSED.served_name}[15m])) > 0",
        for_="0m",
        severity="page",
        summary="{{ $labels.department }} refused messages of {{ $labels.view }} that are not its authority's",
        description="Somebody else writes to the view's topic, or the authority has a new key.",
    ),
    Alert(
        name="TellonceSpokenFor",
        expr=f"sum by (service, department) (increase({m.STATEMENTS_REFUSED.served_name}[15m])) > 0",
        for_="0m",
        severity="ticket",
        summary="the {{ $labels.service }} of {{ $labels.department }} refused statements on control topics",
        description="Somebody speaks for another, a key is not listed everywhere, or another version writes.",
    ),
    Alert(
        name="TellonceTopologyDrift",
        expr=f"max by (service, department) ({m.TOPOLOGY_DRIFT.name} >= 0) > 0",
        for_="15m",
        severity="ticket",
        summary="topics of the {{ $labels.service }} of {{ $labels.department }} are not as the topology says",
        description="They differ in {{ $value }} things from it; the log's `topology_drift_found` names the topics.",
    ),
    Alert(
        name="TelloncePaused",
        expr=f"min by (service, department) ({m.PAUSED.name}) == 1",
        for_="10m",
        severity="page",
        summary="the {{ $labels.service }} of {{ $labels.department }} waits for its database or the broker",
        description="The log's `service_paused` says for which.",
    ),
    Alert(
        name="TellonceHangs",
        expr=f"time() - max by (service, department) ({m.TURN_TIMESTAMP.name}) > 120",
        for_="5m",
        severity="page",
        summary="the {{ $labels.service }} of {{ $labels.department }} hangs",
        description="Its loop has not turned for {{ $value | humanizeDuration }}.",
    ),
    Alert(
        name="TellonceSilent",
        expr=f"time() - max by (service, department) ({m.HEARD_TIMESTAMP.name} >= 0) > 120",
        for_="5m",
        severity="page",
        summary="the {{ $labels.service }} of {{ $labels.department }} gives no sign of life",
        description="The reconciler heard it last {{ $value | humanizeDuration }} ago.",
    ),
    Alert(
        name="TellonceNoRelay",
        expr=f"sum by (department) ({m.LEASE.name} >= 0) != 1",
        for_="5m",
        severity="page",
        summary="{{ $value }} relays of {{ $labels.department }} may publish, not one",
        description="With none its changes wait; with two, one of them has not noticed that it lost its lease.",
    ),
    Alert(
        name="TellonceDiverged",
        expr=f"time() - max by (department, view) ({m.DIVERGENCE_OLDEST.name} >= 0) > 3600",
        for_="5m",
        severity="ticket",
        summary="{{ $labels.department }} holds records of {{ $labels.view }} that differ from the authority's",
        description="The oldest has been known for {{ $value | humanizeDuration }}; `tellonce divergences` names them.",
    ),
    Alert(
        name="TellonceNotCompared",
        expr=f'max by (department, view) ({m.STREAMS.name}{{state="unknown"}} >= 0) > 0',
        for_="30m",
        severity="ticket",
        summary="nobody can say whether {{ $labels.department }} holds {{ $labels.view }} as it should",
        description="Marks or attestations of {{ $value }} streams are missing, or an epoch's snapshot does not end.",
    ),
    Alert(
        name="TellonceSweepOverdue",
        expr=f"time() - max by (service, department) ({m.SWEEP_TIMESTAMP.name} >= 0) > 21600",
        for_="10m",
        severity="ticket",
        summary="the {{ $labels.service }} of {{ $labels.department }} has not swept its tables for hours",
        description="The last whole sweep was {{ $value | humanizeDuration }} ago; edits behind it are not found.",
    ),
)
"""The alerts that are the same for every city."""


def rules_of(topology: Topology) -> Rules:
    """Gives the rules of a city: ratios to look at, alerts on objectives, and alerts on what is."""
    return {
        "groups": [
            {
                # In one group, since only there the alerts are sure to see the ratios of this very moment.
                "name": "tellonce_objectives",
                "interval": "30s",
                "rules": [*_ratios(topology), *(each.rule() for each in burn_alerts())],
            },
            {
                "name": "tellonce_state",
                "interval": "30s",
                "rules": [each.rule() for each in (*ALERTS, *outbox_alerts(topology), *absence_alerts(topology))],
            },
        ]
    }


def render_rules(topology: Topology) -> str:
    """Gives the rules of a city as the file that Prometheus reads."""
    text = io.StringIO()
    yaml = YAML()
    yaml.width = 1_000
    yaml.dump(rules_of(topology), text)  # pyright: ignore[reportUnknownMemberType] - ruamel types it in part
    return f"# Made from topology.yaml by `tellonce topology rules`; not to be edited by hand.\n{text.getvalue()}"


def _ratios(topology: Topology) -> Iterator[Rules]:
    for view in topology.views():
        for subscription in view.subscriptions.values():
            for window in WINDOWS:
                yield from _ratios_of(subscription, window)


def _ratios_of(subscription: Subscription, window: str) -> Iterator[Rules]:
    chosen = f'department="{subscription.department}", view="{subscription.view}"'
    labels = {"department": subscription.department, "view": subscription.view}
    name = m.PROPAGATION.name
    edge = float(subscription.freshness_seconds)
    in_time = f'sum(rate({name}_bucket{{{chosen}, le="{edge}"}}[{window}]))'
    consumed = f"{m.CONSUMED.served_name}{{{chosen}}}[{window}]"
    parked = f'{m.CONSUMED.served_name}{{{chosen}, outcome="parked"}}[{window}]'
    yield {
        "record": f"department_view:tellonce_late:ratio_rate{window}",
        "expr": f"1 - {in_time} / sum(rate({name}_count{{{chosen}}}[{window}]))",
        "labels": dict(labels),
    }
    yield {
        "record": f"department_view:tellonce_parked:ratio_rate{window}",
        "expr": f"sum(rate({parked})) / sum(rate({consumed}))",
        "labels": dict(labels),
    }


def burn_alerts() -> Sequence[Alert]:
    """Gives the alerts on objectives that are being missed."""
    return [
        *_burns_of("late", "TellonceLate", FRESHNESS_OBJECTIVE, "are applied later than the subscription allows"),
        *_burns_of("parked", "TellonceParking", SUCCESS_OBJECTIVE, "park"),
    ]


def _burns_of(ratio: str, name: str, objective: float, what: str) -> Iterator[Alert]:
    for severity, speed in (("page", "Fast"), ("ticket", "Slow")):
        terms = [
            f"(department_view:tellonce_{ratio}:ratio_rate{long} > {factor * (1 - objective):.6g} "
            f"and department_view:tellonce_{ratio}:ratio_rate{short} > {factor * (1 - objective):.6g})"
            for factor, long, short, of in _BURNS
            if of == severity
        ]
        yield Alert(
            name=f"{name}{speed}",
            expr=" or ".join(terms),
            for_="2m" if severity == "page" else "15m",
            severity="page" if severity == "page" else "ticket",
            summary=f"too many events of {{{{ $labels.view }}}} {what} at {{{{ $labels.department }}}}",
            description=f"{{{{ $value | humanizePercentage }}}} of them; the objective is {objective:.1%} that do not.",
        )


def outbox_alerts(topology: Topology) -> Sequence[Alert]:
    """Gives an alert for each record type whose changes wait for longer than its strictest subscription allows."""
    return [
        Alert(
            name="TellonceOutboxOld",
            expr=f'max by (department, record_type) ({m.OUTBOX_OLDEST.name}{{record_type="{name}"}}) > {strictest}',
            for_="10m",
            severity="page",
            summary="changes of {{ $labels.record_type }} wait at {{ $labels.department }}",
            description="The oldest waits for {{ $value | humanizeDuration }} to be published.",
            labels={"record_type": name},
        )
        for name, record_type in topology.record_types.items()
        if (
            strictest := min(
                (each.freshness_seconds for view in record_type.views.values() for each in view.subscriptions.values()),
                default=0,
            )
        )
    ]


def absence_alerts(topology: Topology) -> Sequence[Alert]:
    """Gives an alert for each service of the city that Prometheus does not see at all."""
    return [
        Alert(
            name="TellonceAbsent",
            expr=f'absent({m.TURN_TIMESTAMP.name}{{service="{service}", department="{department}"}})',
            for_="5m",
            severity="page",
            summary=f"the {service} of {department} is not there",
            description="Prometheus has no sign of life of it: it does not run, or it is not scraped.",
            labels={"service": service.value, "department": department},
        )
        for service, department in m.services_of(topology)
    ]
