"""One department: how it stands to each view that it subscribes to, and how its applier works."""

from dashboards import promql as q
from dashboards.city import OF, STATE_WORDS, TURN_WORDS, standing
from dashboards.page import Page, Variable, runbook, to
from dashboards.panels import Column, figure, lines, rows, words
from tellonce.observability import metrics as m

__all__ = ["DEPARTMENT"]

_DEPARTMENT = ("department",)
_VIEW = "{{view}}"

DEPARTMENT = Page(
    name="department",
    title="One department",
    description="How one department stands to each view that it subscribes to, and how its applier works.",
    variables=[Variable(label="department", metric=m.LAG_KNOWN, is_single=True)],
    panels=[
        figure(
            "State",
            "The worst state of its subscriptions. Worry when it is not equal.",
            q.state(OF, _DEPARTMENT),
            shows=STATE_WORDS,
            to=to("reconciliation", "Reconciliation", "department"),
        ),
        figure(
            "Whose turn",
            "Who has to do something; where several have, the first on the record's way. Worry when it is yours.",
            q.turn(OF, _DEPARTMENT),
            shows=TURN_WORDS,
            to=runbook("TellonceDiverged"),
        ),
        figure(
            "Records held",
            "Records of all its views that it holds. Worry when it falls.",
            q.told(m.RECORDS, _DEPARTMENT, department=OF, state="held"),
            unit="short",
            shows=words({}),
            to=to("reconciliation", "Reconciliation", "department"),
        ),
        figure(
            "Parked records",
            f"{m.PARKED.help} Worry when {m.PARKED.worry}.",
            q.parked(OF, _DEPARTMENT),
            to=runbook("TellonceParked"),
        ),
        figure(
            "Missing sequences",
            f"{m.MISSING_SEQUENCES.help} Worry when {m.MISSING_SEQUENCES.worry}.",
            q.told(m.MISSING_SEQUENCES, _DEPARTMENT, department=OF),
            to=to("streams", "Streams and outbox"),
        ),
        figure(
            "Unlinked rows",
            f"{m.UNLINKED_ROWS.help} Worry when {m.UNLINKED_ROWS.worry}.",
            q.told(m.UNLINKED_ROWS, _DEPARTMENT, department=OF),
            to=to("reconciliation", "Reconciliation", "department"),
        ),
        figure(
            "Unreadable rows",
            f"{m.UNREADABLE_ROWS.help} Worry when {m.UNREADABLE_ROWS.worry}.",
            q.told(m.UNREADABLE_ROWS, _DEPARTMENT, department=OF),
            to=to("reconciliation", "Reconciliation", "department"),
        ),
        rows(
            "Subscriptions",
            "How the department stands to each view, and whose turn it is. Worry about what is not equal; a dash "
            "stands for a date where there is nothing.",
            q.SUBSCRIPTION,
            [
                *standing(
                    q.SUBSCRIPTION,
                    to(
                        "reconciliation",
                        "How it was compared",
                        "department=${__data.fields.department}",
                        "view=${__data.fields.view}",
                    ),
                ),
                Column(title="objective", query=q.newest(m.OBJECTIVE, department=OF), unit="s"),
                Column(title="lag", query=q.known_sum(m.LAG_RECORDS, department=OF), unit="short"),
            ],
            to=to("reconciliation", "Reconciliation", "department"),
            height=8,
        ),
        lines(
            "Behind for",
            f"{m.LAG_SECONDS.help} Worry when {m.LAG_SECONDS.worry}.",
            {_VIEW: q.lag_seconds(OF), f"objective of {_VIEW}": q.newest(m.OBJECTIVE, department=OF)},
            unit="s",
            to=runbook("TellonceBehind"),
        ),
        lines(
            "From the authority's commit to this department's",
            f"{m.PROPAGATION.help} Within this time 99 of 100 events are applied; unknown while none is. "
            f"Worry when {m.PROPAGATION.worry}.",
            {_VIEW: q.quantile(0.99, m.PROPAGATION, department=OF)},
            unit="s",
            to=runbook("TellonceLateFast"),
        ),
        lines(
            "Events a second, by what became of them",
            f"{m.CONSUMED.help} Worry when {m.CONSUMED.worry}.",
            {"{{outcome}}": q.per_second(m.CONSUMED, ("outcome",), department=OF)},
            unit="ops",
            to=to("streams", "Streams and outbox"),
        ),
        lines(
            "Time of a transaction",
            f"{m.APPLY_DURATION.help} Of 100 transactions 99 took less; unknown while there is none. "
            f"Worry when {m.APPLY_DURATION.worry}.",
            {_VIEW: q.quantile(0.99, m.APPLY_DURATION, department=OF)},
            unit="s",
            to=to("services", "Services", "department"),
        ),
        lines(
            "Records by how the department stands to them",
            f"{m.RECORDS.help} Worry when {m.RECORDS.worry}.",
            {"{{view}} {{state}}": q.told(m.RECORDS, ("view", "state"), department=OF)},
            unit="short",
            to=to("reconciliation", "Reconciliation", "department"),
        ),
        lines(
            "Parked records by reason",
            f"{m.PARKED.help} Worry when {m.PARKED.worry}.",
            {"{{view}} {{reason}}": q.told(m.PARKED, ("view", "reason"), department=OF)},
            unit="short",
            to=runbook("TellonceParked"),
        ),
    ],
)
