"""Requests to departments: repairs by policy or by a person, with a cap and a dry run.

Nothing is sent from here: a plan says what would be, and whoever made it writes its messages.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tellonce.control.messages import MAX_PAGE_RECORDS, DivergenceEvent, RepairRequest
from tellonce.model.divergence import DivergenceKind, DivergenceState
from tellonce.model.errors import ConfigurationError
from tellonce.model.rounds import Rounds
from tellonce.reconcile.compare import StreamId
from tellonce.reconcile.transitions import accepted, repairing
from tellonce.topology import Topology
from tellonce.topology.topics import RECONCILER

__all__ = [
    "RepairChoice",
    "RepairPlan",
    "accept",
    "plan_by_person",
    "plan_by_policy",
    "render_plan",
    "request_by_decision",
    "why_not_by_policy",
]

# A request with more records is split: it stays well below what a broker takes by default.
_RECORDS_PER_REQUEST = MAX_PAGE_RECORDS

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
    """Requests to be made, which divergences they are for, and which are left alone and why."""

    requests: tuple[RepairRequest, ...]
    ordered: Mapping[str, str]
    """Order id by divergence id."""
    divergences: tuple[DivergenceEvent, ...]
    """The ones ordered, as they were before."""
    left_alone: tuple[tuple[DivergenceEvent, str], ...] = ()

    def events(self, now_ms: int) -> tuple[DivergenceEvent, ...]:
        """Gives the decisions that a person's command writes, from which the reconciler makes the requests."""
        requests = {request.order_id: request for request in self.requests}
        events: list[DivergenceEvent] = []
        for event in self.divergences:
            order_id = self.ordered[event.divergence_id]
            # The order's own id tells this decision from others.
            ordered = repairing(event, order_id, by=requests[order_id].by, now_ms=now_ms)
            events.append(ordered.model_copy(update={"decision_id": order_id, "note": requests[order_id].reason}))
        return tuple(events)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairChoice:
    """What a person chooses to be repaired: divergences by id, or all open ones of a department."""

    by: str
    reason: str
    ids: tuple[str, ...] = ()
    department: str | None = None
    cap: int = 1000
    """Most records of this choice; the rest is left alone and said to be."""


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
    """Gives the requests that the subscriptions' policies call for now, and counts them against their rounds."""
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
    choice: RepairChoice,
    *,
    new_id: Callable[[], str],
    now_ms: int,
) -> RepairPlan:
    """Gives the requests a person asks for; a dry run shows the plan and writes none of it.

    Divergences named by id are repaired whatever their state; of a whole department only those that are open, and of
    a kind that a repair helps with.

    Raises:
        ConfigurationError: an id is of no divergence that is open, or neither ids nor a known department are given.
    """
    known = {event.divergence_id: event for event in divergences}
    if choice.ids:
        candidates = [_by_id(known, each) for each in dict.fromkeys(choice.ids)]
    elif choice.department is not None:
        department = topology.department(choice.department).name
        candidates = sorted((event for event in known.values() if event.department == department), key=_age)
    else:
        msg = "expected the ids of divergences or a department whose divergences are to be repaired, found neither"
        raise ConfigurationError(msg)
    chosen: list[DivergenceEvent] = []
    left_alone: list[tuple[DivergenceEvent, str]] = []
    for event in candidates:
        why = _why_not_by_person(event, named=bool(choice.ids))
        if why is None and len(chosen) >= choice.cap:
            why = f"the cap of {choice.cap} records is used up"
        if why is None:
            chosen.append(event)
        else:
            left_alone.append((event, why))
    return _plan(chosen, left_alone, _Terms(by=choice.by, reason=choice.reason, new_id=new_id, now_ms=now_ms))


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
        f"order {request.order_id}: {request.view}/{request.partition}, {len(request.pseudonyms)} records,"
        f" for {request.department}"
        for request in plan.requests
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


def request_by_decision(event: DivergenceEvent, now_ms: int) -> RepairRequest:
    """Gives the request that follows from a divergence which a person decided to have repaired."""
    return RepairRequest(
        view=event.view,
        partition=event.partition,
        order_id=event.order_id or event.divergence_id,
        department=event.department,
        pseudonyms=(event.pseudonym,),
        by=event.by,
        reason=event.note or "ordered by a person",
        at_ms=now_ms,
    )


def _plan(
    chosen: Sequence[DivergenceEvent], left_alone: Sequence[tuple[DivergenceEvent, str]], terms: _Terms
) -> RepairPlan:
    """One request per department and stream: nobody learns what another has repaired."""
    groups: dict[tuple[StreamId, str], list[DivergenceEvent]] = {}
    for event in chosen:
        groups.setdefault((StreamId(event.view, event.partition), event.department), []).append(event)
    requests: list[RepairRequest] = []
    ordered: dict[str, str] = {}
    for (stream, department), events in sorted(groups.items()):
        for first in range(0, len(events), _RECORDS_PER_REQUEST):
            part = events[first : first + _RECORDS_PER_REQUEST]
            request = RepairRequest(
                view=stream.view,
                partition=stream.partition,
                order_id=terms.new_id(),
                department=department,
                pseudonyms=tuple(event.pseudonym for event in part),
                by=terms.by,
                reason=terms.reason,
                at_ms=terms.now_ms,
            )
            requests.append(request)
            ordered |= {event.divergence_id: request.order_id for event in part}
    return RepairPlan(
        requests=tuple(requests), ordered=ordered, divergences=tuple(chosen), left_alone=tuple(left_alone)
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
