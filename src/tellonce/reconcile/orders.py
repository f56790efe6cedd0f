"""Orders to the authority's relay: repairs by policy or by a person, with a cap and a dry run.

Nothing is sent from here: a plan says what would be, and whoever made it writes its messages.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tellonce.control.messages import MAX_PAGE_RECORDS, DivergenceEvent, Order
from tellonce.model.divergence import DivergenceKind, DivergenceState
from tellonce.model.errors import ConfigurationError
from tellonce.model.rounds import Rounds
from tellonce.reconcile.compare import StreamId
from tellonce.reconcile.transitions import accepted, repairing
from tellonce.topology import Topology
from tellonce.topology.topics import RECONCILER

__all__ = [
    "RepairPlan",
    "RepairRequest",
    "accept",
    "plan_by_person",
    "plan_by_policy",
    "render_plan",
    "why_not_by_policy",
]

# An order with more records is split: it stays well below what a broker takes by default.
_RECORDS_PER_ORDER = MAX_PAGE_RECORDS

_NO_HELP = {
    DivergenceKind.PARKED: (
        "the department could not apply the newest event, and the same event would park again;"
        " see `tellonce parked list`"
    ),
    DivergenceKind.AMBIGUOUS: (
        "several rows of the department match, and a repair cannot choose; a person at the department decides"
    ),
    DivergenceKind.UNPUBLISHED: "the authority cannot publish the record as it is; it must be corrected there",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairPlan:
    """Orders to be given, which divergences they are for, and which are left alone and why."""

    orders: tuple[Order, ...]
    ordered: Mapping[str, str]
    """Order id by divergence id."""
    divergences: tuple[DivergenceEvent, ...]
    """The ones ordered, as they were before."""
    left_alone: tuple[tuple[DivergenceEvent, str], ...] = ()

    def events(self, now_ms: int) -> tuple[DivergenceEvent, ...]:
        """Gives the decisions that a person's command writes, after the orders themselves."""
        by = {order.order_id: order.by for order in self.orders}
        events: list[DivergenceEvent] = []
        for event in self.divergences:
            order_id = self.ordered[event.divergence_id]
            # The order's own id tells this decision from others.
            ordered = repairing(event, order_id, by=by[order_id], now_ms=now_ms)
            events.append(ordered.model_copy(update={"decision_id": order_id}))
        return tuple(events)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairRequest:
    """What a person asks to be repaired: divergences by id, or all open ones of a department."""

    by: str
    reason: str
    ids: tuple[str, ...] = ()
    department: str | None = None
    cap: int = 1000
    """Most records of this request; the rest is left alone and said to be."""


def why_not_by_policy(event: DivergenceEvent, topology: Topology) -> str | None:
    """Gives why the reconciler does not order a repair of this divergence by itself; None if it does."""
    subscription = topology.view(event.view).subscriptions.get(event.department)
    if subscription is None:
        return "the department does not subscribe to the view any more"
    if event.state is not DivergenceState.OPEN:
        return f"it is {event.state}"
    if event.kind in _NO_HELP:
        return _NO_HELP[event.kind]
    if subscription.on_divergence == "flag":
        return "the subscription says flag: a person decides"
    return None


def plan_by_policy(
    divergences: Iterable[DivergenceEvent],
    topology: Topology,
    rounds: Rounds,
    *,
    new_id: Callable[[], str],
    now_ms: int,
) -> RepairPlan:
    """Gives the orders that the subscriptions' policies call for now, and counts them against their rounds."""
    chosen: list[DivergenceEvent] = []
    left_alone: list[tuple[DivergenceEvent, str]] = []
    for event in sorted(divergences, key=_age):
        why = why_not_by_policy(event, topology)
        if why is None:
            subscription = (event.department, event.view)
            cap = topology.view(event.view).subscriptions[event.department].repair_cap
            if rounds.left(subscription, cap, now_ms):
                rounds.use(subscription, 1, now_ms)
                chosen.append(event)
                continue
            why = f"this round's cap of {cap} records is used up"
        left_alone.append((event, why))
    terms = _Terms(by=RECONCILER, reason="policy: on_divergence is repair", new_id=new_id, now_ms=now_ms)
    return _plan(chosen, left_alone, terms)


def plan_by_person(
    divergences: Iterable[DivergenceEvent],
    topology: Topology,
    request: RepairRequest,
    *,
    new_id: Callable[[], str],
    now_ms: int,
) -> RepairPlan:
    """Gives the orders a person asks for; a dry run shows the plan and writes none of it.

    Divergences named by id are repaired whatever their state; of a whole department only those that are open, and of
    a kind that a repair helps with.

    Raises:
        ConfigurationError: an id is of no divergence that is open, or neither ids nor a known department are given.
    """
    known = {event.divergence_id: event for event in divergences}
    if request.ids:
        candidates = [_by_id(known, each) for each in dict.fromkeys(request.ids)]
    elif request.department is not None:
        department = topology.department(request.department).name
        candidates = sorted((event for event in known.values() if event.department == department), key=_age)
    else:
        msg = "expected the ids of divergences or a department whose divergences are to be repaired, found neither"
        raise ConfigurationError(msg)
    chosen: list[DivergenceEvent] = []
    left_alone: list[tuple[DivergenceEvent, str]] = []
    for event in candidates:
        why = _why_not_by_person(event, named=bool(request.ids))
        if why is None and len(chosen) >= request.cap:
            why = f"the cap of {request.cap} records is used up"
        if why is None:
            chosen.append(event)
        else:
            left_alone.append((event, why))
    return _plan(chosen, left_alone, _Terms(by=request.by, reason=request.reason, new_id=new_id, now_ms=now_ms))


def accept(
    divergences: Iterable[DivergenceEvent],
    ids: Sequence[str],
    *,
    by: str,
    reason: str,
    new_id: Callable[[], str],
    now_ms: int,
) -> tuple[DivergenceEvent, ...]:
    """Gives the messages by which a person accepts these divergences for as long as the authority's version stays.

    Raises:
        ConfigurationError: an id is of no divergence that is open, or no reason is given.
    """
    if not reason.strip():
        msg = "expected a reason for accepting a divergence, found none; it is what the next person will read"
        raise ConfigurationError(msg)
    known = {event.divergence_id: event for event in divergences}
    return tuple(
        accepted(_by_id(known, each), by=by, reason=reason, decision_id=new_id(), now_ms=now_ms)
        for each in dict.fromkeys(ids)
    )


def render_plan(plan: RepairPlan) -> str:
    """Gives a plan as lines for a person; what a dry run prints."""
    counts = Counter((event.department, event.view, event.kind) for event in plan.divergences)
    lines = [
        f"repair {number} {kind} of {view} for {department}"
        for (department, view, kind), number in sorted(counts.items())
    ]
    lines += [
        f"order {order.order_id}: {order.view}/{order.partition}, {len(order.pseudonyms)} records,"
        f" for {', '.join(order.departments)}"
        for order in plan.orders
    ]
    reasons = Counter((event.department, event.view, event.kind, why) for event, why in plan.left_alone)
    lines += [
        f"leave alone {number} {kind} of {view} at {department}: {why}"
        for (department, view, kind, why), number in sorted(reasons.items())
    ]
    return "\n".join(lines) or "nothing to repair"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    by: str
    reason: str
    new_id: Callable[[], str]
    now_ms: int


def _plan(
    chosen: Sequence[DivergenceEvent], left_alone: Sequence[tuple[DivergenceEvent, str]], terms: _Terms
) -> RepairPlan:
    """One order per stream and set of departments: a record that several need is published once for all of them."""
    needed: dict[tuple[StreamId, str], dict[str, str]] = {}
    for event in chosen:
        stream = StreamId(event.view, event.partition)
        needed.setdefault((stream, event.pseudonym), {})[event.department] = event.divergence_id
    groups: dict[tuple[StreamId, tuple[str, ...]], list[str]] = {}
    for (stream, pseudonym), of in needed.items():
        groups.setdefault((stream, tuple(sorted(of))), []).append(pseudonym)
    orders: list[Order] = []
    ordered: dict[str, str] = {}
    for (stream, departments), pseudonyms in sorted(groups.items()):
        for first in range(0, len(pseudonyms), _RECORDS_PER_ORDER):
            part = tuple(pseudonyms[first : first + _RECORDS_PER_ORDER])
            order = _order(stream, departments, part, terms)
            orders.append(order)
            ordered |= {id_: order.order_id for each in part for id_ in needed[stream, each].values()}
    return RepairPlan(orders=tuple(orders), ordered=ordered, divergences=tuple(chosen), left_alone=tuple(left_alone))


def _order(stream: StreamId, departments: tuple[str, ...], pseudonyms: tuple[str, ...], terms: _Terms) -> Order:
    return Order(
        view=stream.view,
        partition=stream.partition,
        order_id=terms.new_id(),
        action="repair",
        pseudonyms=pseudonyms,
        departments=departments,
        by=terms.by,
        reason=terms.reason,
        at_ms=terms.now_ms,
    )


def _why_not_by_person(event: DivergenceEvent, *, named: bool) -> str | None:
    if event.kind is DivergenceKind.UNPUBLISHED:
        return _NO_HELP[event.kind]
    if named:
        return None
    return _NO_HELP.get(event.kind) or (None if event.state is DivergenceState.OPEN else f"it is {event.state}")


def _by_id(known: Mapping[str, DivergenceEvent], divergence_id: str) -> DivergenceEvent:
    event = known.get(divergence_id)
    if event is None:
        msg = f"expected the id of a divergence that is not resolved, found {divergence_id}; see `tellonce divergences`"
        raise ConfigurationError(msg, divergence_id=divergence_id)
    return event


def _age(event: DivergenceEvent) -> tuple[int, str]:
    return event.opened_at_ms, event.divergence_id
