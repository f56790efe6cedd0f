"""What the reconciler leaves for assessment: each state of a divergence, and when a stream began or ceased to agree."""

from tellonce.control.messages import DivergenceEvent, Evidence
from tellonce.model.divergence import RecordState
from tellonce.reconcile.status import StreamStatus
from tellonce.topology.topics import RECONCILER

__all__ = ["evidence_of_divergence", "evidence_of_status"]


def evidence_of_divergence(event: DivergenceEvent) -> Evidence:
    """Gives the evidence of one state of one divergence."""
    return Evidence(
        source=RECONCILER,
        kind="divergence",
        facts={
            "divergence_id": event.divergence_id,
            "department": event.department,
            "view": event.view,
            "partition": event.partition,
            "kind": event.kind.value,
            "state": event.state.value,
            "epoch": event.authority_epoch,
            "version": event.authority_version,
            "repairs": event.repairs,
            "by": event.by,
            "opened_at_ms": event.opened_at_ms,
        },
        at_ms=event.at_ms,
    )


def evidence_of_status(status: StreamStatus, now_ms: int) -> Evidence:
    """Gives the evidence of a stream's state; `held` is of how many records a proof speaks."""
    return Evidence(
        source=RECONCILER,
        kind="stream_state",
        facts={
            "department": status.department,
            "view": status.view,
            "partition": status.partition,
            "state": status.state.value,
            "since_ms": status.since_ms,
            "proved_epoch": status.proved_epoch,
            "proved_sequence": status.proved_sequence,
            "divergences": sum(status.divergences.values()),
            "unlinked_rows": status.unlinked_rows,
            "unreadable_rows": status.unreadable_rows,
            **{state.value: status.states.get(state, 0) for state in (RecordState.HELD, RecordState.OUT_OF_SCOPE)},
            **{state.value: status.states.get(state, 0) for state in (RecordState.PARKED, RecordState.AMBIGUOUS)},
        },
        at_ms=now_ms,
    )
