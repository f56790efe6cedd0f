"""Faults that are planted into a simulated world, each with what may be found because of it."""

from reconcile.builders import digest, pseudonym
from reconcile.parties import Subscriber
from reconcile.simulation import World
from tellonce.control.messages import PageEntry
from tellonce.model.divergence import DivergenceKind, RecordState


class Faults:
    """Plants faults into a world, and writes down what may be found because of them."""

    def __init__(self, world: World) -> None:
        self.world = world

    def _may_be(self, department: Subscriber, key: str, *kinds: DivergenceKind) -> None:
        self.world.allowed[department.name, key].update(kinds)

    def _edit(self, department: Subscriber, key: str, **changes: object) -> PageEntry | None:
        entry = department.records.get(key)
        if entry is None or entry.digest is None or entry.state is not RecordState.HELD:
            return None
        department.records[key] = entry.model_copy(update=changes)
        return entry

    def alter(self, department: Subscriber, key: str) -> None:
        """Edits a row behind the service's back."""
        if self._edit(department, key, digest=digest(("edited", next(self.world.planted)))):
            # A delete that the department has applied already makes the edited row an orphan.
            self._may_be(department, key, DivergenceKind.ALTERED)

    def remove(self, department: Subscriber, key: str) -> None:
        """Deletes a row behind the service's back."""
        if self._edit(department, key, digest=None):
            self._may_be(department, key, DivergenceKind.MISSING)

    def forget(self, department: Subscriber, key: str) -> None:
        """Loses a record with its place in the ledger, as a partial restore does."""
        if department.records.pop(key, None):
            # An older event that was put off may then come in again, even of a record deleted since.
            self._may_be(department, key, DivergenceKind.MISSING, DivergenceKind.STALE, DivergenceKind.ORPHANED)

    def set_back(self, department: Subscriber, key: str) -> None:
        """Puts row and ledger back to what they were before the last event, as a partial restore does."""
        earlier = department.earlier.get(key)
        if earlier is None:
            return
        department.records[key] = earlier
        # Of a record deleted since, the older version is an orphan; of one created since, there is none.
        self._may_be(department, key, DivergenceKind.STALE, DivergenceKind.ORPHANED, DivergenceKind.MISSING)

    def invent(self, department: Subscriber) -> None:
        """Makes a record that the authority does not have."""
        if not department.epoch:
            return
        key = pseudonym(next(self.world.planted))
        department.records[key] = PageEntry(
            pseudonym=key,
            epoch=department.epoch,
            version=1,
            sequence=1,
            digest=digest(key),
            state=RecordState.HELD,
        )
        self._may_be(department, key, DivergenceKind.ORPHANED)

    def park(self, department: Subscriber, key: str, state: RecordState) -> None:
        """Lets a record's next events park."""
        department.parks[key] = state
        self._may_be(department, key, DivergenceKind(state.value))

    def be_stubborn(self, department: Subscriber, key: str) -> None:
        """Lets a trigger at the department change what is written, each time in the same way."""
        department.stubborn.add(key)
        self._may_be(department, key, DivergenceKind.ALTERED)

    def spoil(self, key: str) -> None:
        """Gives a record a value that the authority cannot publish."""
        for department in self.world.departments:
            self._may_be(department, key, DivergenceKind.UNPUBLISHED)
        self.world.authority.publish(key, f"bad {next(self.world.planted)}", bad=True)

    def lose(self, key: str) -> None:
        """Restores the authority from a backup that does not know a record, with a new epoch."""
        for department in self.world.departments:
            self._may_be(department, key, DivergenceKind.ORPHANED)
        self.world.authority.begin_epoch(key)
