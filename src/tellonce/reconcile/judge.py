"""One record, as the authority and as a department answered for it: is it a divergence, and of which kind?

Both answers are true, each at its own position, so a department that is merely not there yet must not be accused, nor
one that is already further.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tellonce.control.messages import PageEntry
from tellonce.model.divergence import DivergenceKind, RecordState

__all__ = ["Answered", "Finding", "Place", "Standing", "Verdict", "judge"]


class Place(NamedTuple):
    """The position at which a page is true: nothing at or below it is missing."""

    epoch: int
    position: int


class Standing(StrEnum):
    """The verdicts that name no divergence."""

    EQUAL = "equal"
    UNDECIDED = "undecided"


Verdict = DivergenceKind | Standing


class Answered(NamedTuple):
    """A record in a page, or its absence from it, and the page's place."""

    entry: PageEntry | None
    place: Place

    @property
    def digest(self) -> str | None:
        """What the record adds to this side's sum."""
        return None if self.entry is None else self.entry.digest

    @property
    def version(self) -> tuple[int, int]:
        """The record's version at this side; below every other where it is absent."""
        return (0, 0) if self.entry is None else (self.entry.epoch, self.entry.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A record that a department holds differently."""

    pseudonym: str
    kind: DivergenceKind
    authority: Answered
    department: Answered
    seen_at_ms: int
    """When, by the department's clock, it was so."""

    @property
    def reason(self) -> str | None:
        """What the side that is in trouble says of it."""
        side = self.authority if self.kind is DivergenceKind.UNPUBLISHED else self.department
        return None if side.entry is None else side.entry.reason


def judge(authority: Answered, department: Answered) -> Verdict:
    """Gives the verdict on one record; the answers may have been given at different times.

    Equal digests are equal data, whatever the versions and positions say.
    Undecided is what the two positions leave open: it is asked again.
    """
    if authority.digest == department.digest:
        return Standing.EQUAL
    if not _is_comparable(authority.place, department.place):
        return Standing.UNDECIDED
    if authority.entry is None:
        return _unknown_to_authority(authority.place, department)
    return _known_to_authority(authority.entry, department)


def _is_comparable(authority: Place, department: Place) -> bool:
    return authority.epoch == department.epoch and authority.position > 0 and department.position > 0


def _unknown_to_authority(authority_place: Place, department: Answered) -> Verdict:
    held = department.entry
    if held is None or held.epoch > authority_place.epoch:
        return Standing.UNDECIDED
    if held.epoch < authority_place.epoch:
        return _hindered(held) or DivergenceKind.ORPHANED
    # At or past the page's position, too: an authority may forget a deleted record whose delete is still on its way.
    if held.sequence <= authority_place.position <= department.place.position:
        return _hindered(held) or DivergenceKind.ORPHANED
    return Standing.UNDECIDED


def _known_to_authority(entry: PageEntry, department: Answered) -> Verdict:
    if department.version > (entry.epoch, entry.version):
        # The department is already past the authority's page: a newer event than the page knows has been applied.
        return Standing.UNDECIDED
    match entry.state:
        case RecordState.UNPUBLISHED:
            return DivergenceKind.UNPUBLISHED
        case RecordState.DELETED:
            return _deleted(entry, department)
        case _:
            return _live(entry, department)


def _deleted(entry: PageEntry, department: Answered) -> Verdict:
    # Whoever is in a later epoch has read all that was sent in the earlier one.
    if department.version < (entry.epoch, entry.version) and department.place < (entry.epoch, entry.sequence):
        return Standing.UNDECIDED
    return _hindered(department.entry) or DivergenceKind.ORPHANED


def _live(entry: PageEntry, department: Answered) -> Verdict:
    held = department.entry
    has_passed = department.place.epoch == entry.epoch and department.place.position >= entry.sequence
    if held is None or held.state is RecordState.DELETED:
        return DivergenceKind.MISSING if has_passed else Standing.UNDECIDED
    is_lower = department.version < (entry.epoch, entry.version)
    if is_lower and not has_passed:
        return Standing.UNDECIDED
    if held.digest is None:
        return _hindered(held) or DivergenceKind.MISSING
    return _hindered(held) or (DivergenceKind.STALE if is_lower else DivergenceKind.ALTERED)


def _hindered(entry: PageEntry | None) -> DivergenceKind | None:
    """The kind of a record whose newest event the department has, and could not apply."""
    if entry is None:
        return None
    return {
        RecordState.PARKED: DivergenceKind.PARKED,
        RecordState.AMBIGUOUS: DivergenceKind.AMBIGUOUS,
    }.get(entry.state)
