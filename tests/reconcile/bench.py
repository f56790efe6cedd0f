"""A reconciler between an authority and departments that answer at once."""

from collections.abc import Iterable
from typing import TypeVar

from reconcile.builders import AUTHORITY, FUND, HEALTH, Side, attestation, city, digest, ids, mark, pseudonym, side
from tellonce.control.messages import DivergenceEvent, Inquiry
from tellonce.model.divergence import DivergenceKind, DivergenceState
from tellonce.reconcile.core import Core, Output
from tellonce.reconcile.policy import ReconciliationPolicy
from tellonce.reconcile.status import StreamStatus
from tellonce.topology import Topology

T = TypeVar("T")
POLICY = ReconciliationPolicy(
    undecided_pause_seconds=1, drill_pause_seconds=5, drill_pause_longest_seconds=20, repair_check_seconds=30
)
HELD = {pseudonym(1): digest("same"), pseudonym(2): digest("same")}
EDITED = HELD | {pseudonym(2): digest("edited")}


class Bench:
    """A reconciler between an authority and departments that answer at once."""

    def __init__(self, topology: Topology | None = None, known: Iterable[DivergenceEvent] = ()) -> None:
        self.core = Core(topology or city(fund="flag"), POLICY, new_id=ids())
        self.sides: dict[str, Side] = {
            AUTHORITY: side(AUTHORITY, {1: "same", 2: "same"}),
            FUND: side(FUND, {1: "same", 2: "edited"}),
            HEALTH: side(HEALTH, {1: "same", 2: "same"}),
        }
        for event in known:
            self.core.load_divergence(event)
        self.now_ms = 10_000
        self.written: list[Output] = []

    def statements(self, *, fund: dict[str, str] | None = None, sequence: int = 5, at_ms: int = 0) -> "Bench":
        """The authority's mark and both departments' attestations of one position; the fund's is edited by default."""
        self.core.take_mark(mark(sequence, HELD, at_ms=at_ms))
        self.core.take_attestation(attestation(sequence, EDITED if fund is None else fund, at_ms=at_ms))
        self.core.take_attestation(attestation(sequence, HELD, department=HEALTH, at_ms=at_ms))
        return self

    def step(self, milliseconds: int = 0, *, answering: bool = True) -> list[Output]:
        """Lets time pass, and the sides answer what is asked, until nothing more comes."""
        self.now_ms += milliseconds
        written: list[Output] = []
        while outputs := self.core.advance(self.now_ms):
            written += outputs
            inquiries = [each for each in outputs if isinstance(each, Inquiry)]
            for inquiry in inquiries if answering else ():
                for name in inquiry.departments:
                    self.core.take_answer(self.sides[name].answer(inquiry, self.now_ms), self.now_ms)
        self.written += written
        return written

    def status(self, department: str = FUND) -> StreamStatus:
        (status,) = [each for each in self.core.statuses() if each.department == department]
        return status

    def changes(self) -> list[tuple[str, DivergenceKind, DivergenceState]]:
        return [(each.department, each.kind, each.state) for each in of(DivergenceEvent, self.written)]


def of(kind: type[T], outputs: Iterable[Output]) -> list[T]:
    return [each for each in outputs if isinstance(each, kind)]
