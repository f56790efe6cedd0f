"""Reconciliation: what was compared, what differs and since when, and what became of the repairs."""

from dashboards import promql as q
from dashboards.city import OF, THIS_LINE, THIS_ROW
from dashboards.page import Page, Variable, runbook, to
from dashboards.panels import GREEN_TO_RED, Column, Panel, counts, figure, lines, rows, states, words
from tellonce.observability import metrics as m
from tellonce.reconcile.status import StreamState

__all__ = ["RECONCILIATION"]

_CHOSEN = {"department": OF, "view": "$view"}
_PAIR = "{{department}} {{view}}"
_OLDEST = words({}, missing="–")


def _streams(state: StreamState, says: str, alert: str) -> Panel:
    is_well = state in {StreamState.PROVED, StreamState.BEHIND}
    return figure(
        f"Streams: {state}",
        says,
        f"sum({q.told(m.STREAMS, state=state, **_CHOSEN)})",
        unit="short",
        shows=words({}) if is_well else counts(),
        to=runbook(alert),
    )


RECONCILIATION = Page(
    name="reconciliation",
    title="Reconciliation",
    description="What was compared, what differs and since when, and what became of the repairs.",
    variables=[Variable(label="department", metric=m.STREAMS), Variable(label="view", metric=m.STREAMS)],
    panels=[
        _streams(
            StreamState.PROVED, "Streams that are equal at the newest mark. Worry when it is 0.", "TellonceNotCompared"
        ),
        _streams(
            StreamState.BEHIND,
            "Streams that were equal at the last comparison, and whose authority is further. Worry when it stays high.",
            "TellonceBehind",
        ),
        _streams(
            StreamState.UNKNOWN,
            "Streams of which nothing of the newest epoch can be compared. Worry when it stays above none.",
            "TellonceNotCompared",
        ),
        _streams(
            StreamState.DIVERGED,
            "Streams whose sums differ, accepted divergences included. Worry when it is more than the accepted ones.",
            "TellonceDiverged",
        ),
        figure(
            "Differing records",
            f"{m.DIVERGENT.help} Worry when {m.DIVERGENT.worry}.",
            f"sum({q.told(m.DIVERGENT, **_CHOSEN)})",
            to=runbook("TellonceDiverged"),
        ),
        figure(
            "Repairs not proved yet",
            "Records that were ordered to be published again and not proved equal since, as this reconciler has "
            f"counted. Worry when {m.REPAIRS_VERIFIED.worry}.",
            f"sum({q.pick(m.REPAIRS_ORDERED, **_CHOSEN)}) - sum({q.pick(m.REPAIRS_VERIFIED, **_CHOSEN)})",
            to=to("services", "Services", "department"),
        ),
        rows(
            "Subscriptions",
            "What each department holds differently, since when, and how old the statements are that were compared. "
            f"Worry when an attestation's age grows and its mark's does not: {m.ATTESTATION_TIMESTAMP.worry}.",
            q.SUBSCRIPTION,
            [
                Column(
                    title="differing records",
                    query=q.told(m.DIVERGENT, **_CHOSEN),
                    shows=counts(),
                    to=THIS_ROW,
                ),
                Column(
                    title="since",
                    query=q.oldest(m.DIVERGENCE_OLDEST, **_CHOSEN),
                    unit="dateTimeFromNow",
                    shows=_OLDEST,
                ),
                Column(title="unknown streams", query=q.told(m.STREAMS, state="unknown", **_CHOSEN), shows=counts()),
                Column(title="marked", query=q.at(m.MARK_TIMESTAMP, **_CHOSEN), unit="dateTimeFromNow"),
                Column(title="attested", query=q.at(m.ATTESTATION_TIMESTAMP, **_CHOSEN), unit="dateTimeFromNow"),
                Column(title="repairs ordered", query=q.total(m.REPAIRS_ORDERED, **_CHOSEN), unit="short"),
                Column(title="repairs proved", query=q.total(m.REPAIRS_VERIFIED, **_CHOSEN), unit="short"),
            ],
            to=to("department", "One department"),
        ),
        states(
            "Subscriptions over time",
            "Whether a subscription has records that differ. Worry about a bar that stays coloured.",
            {_PAIR: f"{q.told(m.DIVERGENT, **_CHOSEN)} > bool 0"},
            shows=words({0: "equal", 1: "differs"}, (GREEN_TO_RED[0], GREEN_TO_RED[-1])),
            to=to("city", "City overview", "department"),
            each=THIS_LINE,
        ),
        lines(
            "Differing records by kind",
            f"{m.DIVERGENT.help} Worry when {m.DIVERGENT.worry}.",
            {"{{kind}}": q.told(m.DIVERGENT, ("kind",), **_CHOSEN)},
            unit="short",
            to=runbook("TellonceDiverged"),
        ),
        lines(
            "Streams by state",
            f"{m.STREAMS.help} Worry when {m.STREAMS.worry}.",
            {"{{state}}": q.told(m.STREAMS, ("state",), **_CHOSEN)},
            unit="short",
            to=runbook("TellonceNotCompared"),
        ),
        lines(
            "How much older the attestation is than the mark",
            "Time by which the department's newest attestation is older than the authority's newest mark; below 0 it "
            f"is newer. Worry when it grows: {m.ATTESTATION_TIMESTAMP.worry}.",
            {_PAIR: f"{q.newest(m.MARK_TIMESTAMP, **_CHOSEN)} - {q.newest(m.ATTESTATION_TIMESTAMP, **_CHOSEN)}"},
            unit="s",
            to=runbook("TellonceNotCompared"),
        ),
        lines(
            "Repairs within an hour",
            f"{m.REPAIRS_ORDERED.help} Worry when {m.REPAIRS_ORDERED.worry}.",
            {
                "{{department}} ordered": q.recently(m.REPAIRS_ORDERED, ("department",), **_CHOSEN),
                "{{department}} proved": q.recently(m.REPAIRS_VERIFIED, ("department",), **_CHOSEN),
            },
            unit="short",
            to=to("department", "One department"),
        ),
    ],
)
