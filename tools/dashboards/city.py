"""The first page: who is behind, who holds something else, since when, and whose turn it is."""

from collections.abc import Sequence

from dashboards import promql as q
from dashboards.page import Page, Variable, runbook, to
from dashboards.panels import Column, Link, Panel, counts, figure, rows, states, words
from tellonce.observability import metrics as m

__all__ = ["CITY", "OF", "STATE_WORDS", "THIS_LINE", "THIS_ROW", "TURN_WORDS", "standing"]

STATE_WORDS = words(q.STATES)
TURN_WORDS = words(q.TURNS, ("green", "blue", "orange", "red"))
OF = "$department"

_DEPARTMENT = ("department",)
THIS_ROW = to("department", "This department", "department=${__data.fields.department}")
THIS_LINE = to("department", "This department", "department=${__field.labels.department}")


def standing(by: Sequence[str], next_page: Link) -> list[Column]:
    """Gives the columns that tell how departments stand: the state and whose turn it is, then why and since when."""
    return [
        Column(title="state", query=q.state(OF, by), shows=STATE_WORDS, to=next_page),
        Column(title="whose turn", query=q.turn(OF, by), shows=TURN_WORDS),
        Column(title="behind for", query=q.lag_seconds(OF, by), unit="s"),
        Column(title="differing records", query=q.told(m.DIVERGENT, by, department=OF), shows=counts()),
        Column(
            title="differs since",
            query=q.oldest(m.DIVERGENCE_OLDEST, by, department=OF),
            unit="dateTimeFromNow",
            shows=words({}, missing="–"),
        ),
        Column(title="parked records", query=q.parked(OF, by), shows=counts()),
        Column(
            title="parked since",
            query=q.oldest(m.PARKED_OLDEST, by, department=OF),
            unit="dateTimeFromNow",
            shows=words({}, missing="–"),
        ),
    ]


def _subscriptions(state: int, says: str, next_page: Link) -> Panel:
    return figure(
        f"Subscriptions: {q.STATES[state]}",
        says,
        f"sum({q.state(OF)} == bool {state})",
        to=next_page,
    )


CITY = Page(
    name="city",
    title="City overview",
    description="Who is behind, who holds something else than the authority states, since when, and whose turn it is.",
    variables=[Variable(label="department", metric=m.LAG_KNOWN)],
    panels=[
        figure(
            "Alerts that wake somebody",
            "Alerts of severity page that fire now. Worry when it is not none: each says what to do in the runbook.",
            'count(ALERTS{alertstate="firing", severity="page"}) or vector(0)',
            to=Link(title="Runbook", url=runbook("all").url),
        ),
        _subscriptions(
            4,
            "Subscriptions of which a department holds records differently, and nobody has accepted that. "
            "Worry when it is not none.",
            to("reconciliation", "Reconciliation", "department"),
        ),
        _subscriptions(
            3,
            "Subscriptions of which nobody knows how they stand: no relay, applier or reconciler tells, or marks are "
            "missing. Worry when it stays above none for a quarter of an hour.",
            to("services", "Services", "department"),
        ),
        _subscriptions(
            2,
            "Subscriptions with records whose newest event could not be applied. Worry when it stays for an hour.",
            runbook("TellonceParked"),
        ),
        _subscriptions(
            1,
            "Subscriptions that are further behind than they may be, at the department or at the authority. "
            "Worry when it stays for ten minutes.",
            runbook("TellonceBehind"),
        ),
        figure(
            "Records that cannot be published",
            f"{m.UNPUBLISHED.help} Worry when {m.UNPUBLISHED.worry}.",
            f"sum({q.told(m.UNPUBLISHED)})",
            to=to("streams", "Streams and outbox"),
        ),
        rows(
            "Departments",
            "Each department by the worst of its subscriptions, and who has to do something: where several have, the "
            "first on the record's way. Equal means that nothing which was compared differs and that the lag is within "
            "the objective. Worry about what is not equal; a dash stands for a date where there is nothing.",
            _DEPARTMENT,
            standing(_DEPARTMENT, THIS_ROW),
            to=to("department", "One department"),
        ),
        states(
            "State of each department over time",
            "The worst state of a department's subscriptions. Worry about a bar that stays coloured.",
            {"{{department}}": q.state(OF, _DEPARTMENT)},
            shows=STATE_WORDS,
            each=THIS_LINE,
            to=to("reconciliation", "Reconciliation", "department"),
        ),
    ],
)
