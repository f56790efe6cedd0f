"""The steps in the life of one divergence, each a pure function from one state to the next."""

from tellonce.control.messages import DivergenceEvent, PageEntry
from tellonce.model.divergence import DivergenceState, divergence_id
from tellonce.reconcile.compare import StreamId
from tellonce.reconcile.judge import Finding
from tellonce.reconcile.policy import ReconciliationPolicy
from tellonce.topology.topics import RECONCILER

__all__ = ["accepted", "found_again", "is_changed", "opened", "reopened", "repairing", "resolved"]

_NEVER_PUBLISHED = "the authority did not publish the repair in time"
_UNKNOWN_AT_AUTHORITY = "the authority published no repair, for it knows no such record; the department decides"
_DID_NOT_HELP = "the repair was applied and the department holds the same as before"
_IN_VAIN = "the repairs were applied and each time the department held something else; look for what changes it there"

_NOT_COMPARED = frozenset({"at_ms", "seen_at_ms"})


def is_changed(before: DivergenceEvent, after: DivergenceEvent) -> bool:
    """Tells whether anything but the times of looking is different, so that the new state is worth a message."""
    return before.model_dump(exclude=set(_NOT_COMPARED)) != after.model_dump(exclude=set(_NOT_COMPARED))


def opened(department: str, stream: StreamId, finding: Finding, now_ms: int) -> DivergenceEvent:
    """Gives a divergence that was not known, or that had been resolved; it has the same id each time."""
    blank = DivergenceEvent(
        view=stream.view,
        partition=stream.partition,
        divergence_id=divergence_id(stream.view, department, finding.pseudonym),
        department=department,
        pseudonym=finding.pseudonym,
        kind=finding.kind,
        state=DivergenceState.OPEN,
        authority_epoch=0,
        authority_version=0,
        authority_sequence=0,
        department_epoch=0,
        department_version=0,
        authority_digest=None,
        department_digest=None,
        opened_at_ms=now_ms,
        at_ms=now_ms,
    )
    return _seen(blank, finding)


def resolved(event: DivergenceEvent, now_ms: int, note: str | None = None) -> DivergenceEvent:
    """Gives a divergence that is over."""
    return _to(event, DivergenceState.RESOLVED, now_ms, note)


def reopened(event: DivergenceEvent, *, by: str, now_ms: int) -> DivergenceEvent:
    """Gives a divergence that a person takes up again after it was explained or accepted."""
    return _to(event, DivergenceState.OPEN, now_ms, None).model_copy(update={"by": by})


def repairing(event: DivergenceEvent, order_id: str, *, by: str, now_ms: int) -> DivergenceEvent:
    """Gives a divergence for which an order was given."""
    ordered = _to(event, DivergenceState.REPAIRING, now_ms, None)
    return ordered.model_copy(update={"order_id": order_id, "repairs": event.repairs + 1, "by": by})


def accepted(event: DivergenceEvent, *, by: str, reason: str, decision_id: str, now_ms: int) -> DivergenceEvent:
    """Gives a divergence that a person, for a reason, lets be as long as the authority's version stays."""
    after = _to(event, DivergenceState.ACCEPTED, now_ms, reason)
    return after.model_copy(update={"by": by, "decision_id": decision_id})


def found_again(
    before: DivergenceEvent, finding: Finding, policy: ReconciliationPolicy, now_ms: int
) -> DivergenceEvent:
    """Gives what becomes of a known divergence that was found once more."""
    after = _seen(before, finding)
    is_other_at_authority = _is_other_at_authority(before, after)
    match before.state:
        case DivergenceState.REPAIRING if not is_other_at_authority:
            return _after_order(before, after, finding, policy, now_ms)
        case DivergenceState.EXPLAINED if not is_other_at_authority and not _is_other_at_department(before, after):
            return after
        case DivergenceState.ACCEPTED if not is_other_at_authority:
            return after
        case DivergenceState.OPEN:
            return after
        case _:
            return _to(after, DivergenceState.OPEN, now_ms, None).model_copy(update={"repairs": 0, "order_id": None})


def _after_order(
    before: DivergenceEvent, after: DivergenceEvent, finding: Finding, policy: ReconciliationPolicy, now_ms: int
) -> DivergenceEvent:
    published = (after.authority_epoch, after.authority_sequence)
    if published <= (before.authority_epoch, before.authority_sequence):
        return _while_unpublished(before, after, policy, now_ms)
    if finding.department.place < published:
        # The repair is on its way; the sequence it was ordered at stays, so that it is known to have been published.
        kept = {"authority_epoch": before.authority_epoch, "authority_sequence": before.authority_sequence}
        return after.model_copy(update=kept)
    if not _is_other_at_department(before, after):
        return _to(after, DivergenceState.EXPLAINED, now_ms, _DID_NOT_HELP)
    if after.repairs >= policy.repairs_in_vain:
        return _to(after, DivergenceState.EXPLAINED, now_ms, _IN_VAIN)
    return _to(after, DivergenceState.OPEN, now_ms, None)


def _while_unpublished(
    before: DivergenceEvent, after: DivergenceEvent, policy: ReconciliationPolicy, now_ms: int
) -> DivergenceEvent:
    if now_ms - before.at_ms < policy.repair_patience_seconds * 1000:
        return after
    if not after.authority_version:
        return _to(after, DivergenceState.EXPLAINED, now_ms, _UNKNOWN_AT_AUTHORITY)
    return _to(after, DivergenceState.OPEN, now_ms, _NEVER_PUBLISHED)


def _is_other_at_authority(before: DivergenceEvent, after: DivergenceEvent) -> bool:
    # Without the epoch: publishing the same version again does not make it another.
    return (before.authority_version, before.authority_digest) != (after.authority_version, after.authority_digest)


def _is_other_at_department(before: DivergenceEvent, after: DivergenceEvent) -> bool:
    return (before.kind, before.department_digest) != (after.kind, after.department_digest)


def _to(event: DivergenceEvent, state: DivergenceState, now_ms: int, note: str | None) -> DivergenceEvent:
    return event.model_copy(update={"state": state, "by": RECONCILER, "note": note, "at_ms": now_ms})


def _seen(event: DivergenceEvent, finding: Finding) -> DivergenceEvent:
    ours, theirs = finding.authority.entry, finding.department.entry
    return event.model_copy(
        update={
            "kind": finding.kind,
            "authority_epoch": _epoch(ours),
            "authority_version": 0 if ours is None else ours.version,
            "authority_sequence": 0 if ours is None else ours.sequence,
            "department_epoch": _epoch(theirs),
            "department_version": 0 if theirs is None else theirs.version,
            "authority_digest": finding.authority.digest,
            "department_digest": finding.department.digest,
            "reason": finding.reason,
            "seen_at_ms": finding.seen_at_ms,
        }
    )


def _epoch(entry: PageEntry | None) -> int:
    return 0 if entry is None else entry.epoch
