"""A plain checker of what a service did to an awkward table: it keeps whom each row is for, and knows no law's code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from apply.awkward_people import Registry, Sent
from apply.awkward_tables import Awkward, Cells, Key, key_of
from apply.bench import WRITTEN_BORN
from tellonce.model.digest import MODULUS
from tellonce.model.divergence import RecordState
from tellonce.storage.subscriber.entries import Entry, StreamRow
from tellonce.storage.subscriber.facts import Held

__all__ = ["Checker", "plain"]

SHARED = ("number", "name", "born", "street")


def plain(number: str | None) -> str:
    """A number without its spelling."""
    return (number or "").strip().upper()


@dataclass
class Checker:
    """What clerks meant, what was delivered, and what is wrong so far."""

    shape: Awkward
    registry: Registry
    meant: dict[Key, int | None] = field(default_factory=dict[Key, int | None])
    """Whom a row was opened or reused for; None: somebody whom the authority does not know."""
    marked: set[Key] = field(default_factory=set[Key])
    """The rows that the service has marked, and that still are as it left them for all that it can see."""
    dirty: set[Key] = field(default_factory=set[Key])
    """The rows that clerks have touched since the last whole sweep."""
    had: dict[str, set[Key]] = field(default_factory=dict[str, set[Key]])
    """The rows that were a record's at any time since the last whole sweep."""
    fresh: set[str] = field(default_factory=set[str])
    """The records whose newest event came in this step, so that no clerk was at their rows since."""
    known: dict[int, Sent] = field(default_factory=dict[int, Sent])
    """The newest event of each record that was delivered."""
    taken: int = 0
    """How many rows went to somebody else under a number that nobody else claimed."""
    faults: list[str] = field(default_factory=list[str])

    def deliver(self, some: Sequence[Sent]) -> None:
        """Take note of events that a transaction has committed."""
        for sent in some:
            if sent.serial not in self.known or self.known[sent.serial].version < sent.version:
                self.known[sent.serial] = sent
                self.fresh.add(sent.pseudonym)

    def written(self, before: Mapping[Key, Cells], after: Mapping[Key, Cells]) -> None:
        """Judge what the service wrote."""
        # Not by their keys, which a database may draw at random: the next step is to be the same whatever they are.
        cells = {**before, **after}
        for key in sorted(cells, key=lambda each: (cells[each]["name"] or "", each)):
            old, new = before.get(key), after.get(key)
            if old == new:
                continue
            if old is None and new is not None:
                self._inserted(key, new)
            elif new is None and old is not None:
                self._removed(key, old)
            elif old is not None and new is not None:
                self._changed(key, old, new, before)

    def _inserted(self, key: Key, new: Cells) -> None:
        person = self.registry.names.get(new["name"] or "")
        self.meant[key] = person
        if self.shape.scope == "existing":
            self.faults.append(f"1: a row was inserted into a table that holds existing files only: {key}")
        elif person is None or not self._equals(new, self.known.get(person)):
            self.faults.append(f"1: a row was inserted that is nobody's newest event: {key} {dict(new)}")

    def _removed(self, key: Key, old: Cells) -> None:
        person = self.meant.pop(key)
        self.marked.discard(key)
        if self._is_closed(old):
            self.faults.append(f"2: a closed row was deleted: {key}")
        if self.shape.on_delete != "delete" or person is None or not self._has_ended(person):
            self.faults.append(f"1: a row was deleted whose person {person} has not ended: {key}")

    def _changed(self, key: Key, old: Cells, new: Cells, before: Mapping[Key, Cells]) -> None:
        if self._is_closed(old) and not (key in self.marked and self.shape.unmarks and new["state"] == "open"):
            self.faults.append(f"2: a closed row was written: {key} {dict(old)} {dict(new)}")
        if old["state"] != new["state"]:
            self._marked(key, new)
        if old["note"] != new["note"]:
            self.faults.append(f"1: a column that is not the service's was written: {key}")
        # A trigger may cut what was there when the service writes no more than a mark.
        is_cut = new["note"] == "cut" and {**new, "name": None} == {**old, "name": None, "state": new["state"]}
        if any(old[name] != new[name] for name in SHARED) and not (is_cut and old["state"] != new["state"]):
            self._filled(key, old, new, before)

    def _marked(self, key: Key, new: Cells) -> None:
        person = self.meant[key]
        if new["state"] != self.shape.mark:
            self.marked.discard(key)
            return
        self.marked.add(key)
        if self.shape.on_delete != "mark" or person is None or not self._has_ended(person):
            self.faults.append(f"1: a row was marked whose person {person} has not ended: {key}")

    def _filled(self, key: Key, old: Cells, new: Cells, before: Mapping[Key, Cells]) -> None:
        person, got = self.meant[key], self.registry.names.get(new["name"] or "")
        if got is None or not self._equals(new, self.known.get(got)):
            self.faults.append(f"1: a row was written that is nobody's newest event: {key} {dict(new)}")
        elif person != got:
            number = plain(old["number"])
            if number in self.registry.ever[got] and not self._claims(person, number, key, before):
                self.taken += 1
                self.meant[key] = got
            else:
                self.faults.append(f"1: the row {key} of {person} got the data of {got}: {dict(old)} {dict(new)}")

    def _claims(self, person: int | None, number: str, key: Key, before: Mapping[Key, Cells]) -> bool:
        """Whether somebody answers to a number by their newest event, and has no other file under the one in force."""
        sent = None if person is None else self.known.get(person)
        if sent is None or not sent.number:
            return False
        if number == sent.number:
            return True
        others = (row for each, row in before.items() if each != key and self.meant.get(each) == person)
        has_other = any(not self._is_closed(row) and plain(row["number"]) == sent.number for row in others)
        return number in sent.earlier and not has_other

    def _has_ended(self, person: int) -> bool:
        sent = self.known.get(person)
        return sent is not None and not sent.number

    def _is_closed(self, row: Cells) -> bool:
        return self.shape.scope == "existing" and row["state"] != "open"

    @staticmethod
    def _equals(row: Cells, sent: Sent | None) -> bool:
        return (
            sent is not None
            and bool(sent.number)
            and plain(row["number"]) == sent.number
            and (row["name"], row["born"], row["street"]) == (sent.name, WRITTEN_BORN, sent.street)
        )

    def told(
        self, held: Sequence[Held], listed: set[str], stream: StreamRow, rows: Mapping[Key, Cells], *, swept: bool
    ) -> None:
        """Judge what the ledger says; after a whole sweep it knows of everything that clerks did."""
        by_name = {sent.pseudonym: sent for sent in self.known.values()}
        if swept:
            self.dirty.clear()
            self.had.clear()
        for one in held:
            if one.entry.state is RecordState.HELD and one.entry.pseudonym not in listed:
                self._held(one, by_name.get(one.entry.pseudonym), rows, swept=swept)
        self.fresh.clear()
        self._summed([one.entry for one in held], stream)

    def _held(self, one: Held, sent: Sent | None, rows: Mapping[Key, Cells], *, swept: bool) -> None:
        keys = {key_of(link.key) for link in one.links}
        # What a clerk reused may have become somebody else's meanwhile, whom the ledger then links it to.
        had = self.had.setdefault(one.entry.pseudonym, set())
        had |= keys
        found = [rows[key] for key in keys if key in rows and not self._is_closed(rows[key])]
        is_equal = bool(found) and all(self._equals(row, sent) for row in found)
        says_equal = one.entry.row_digest is not None and one.entry.row_digest == one.entry.event_digest
        if sent is None or one.entry.version != sent.version:
            self.faults.append(f"3: held in version {one.entry.version}, and {sent} was delivered")
        elif one.entry.pseudonym in self.fresh and found and not is_equal:
            self.faults.append(f"3: held since {sent}, but its rows are {[dict(row) for row in found]}")
        elif had & self.dirty:
            return
        elif says_equal and not is_equal:
            self.faults.append(f"3: said to be equal to {sent}, but its rows are {[dict(row) for row in found]}")
        elif swept and is_equal and not says_equal:
            self.faults.append(f"3: said to differ from {sent}, but its rows are equal")

    def _summed(self, entries: Sequence[Entry], stream: StreamRow) -> None:
        digests: list[str] = []
        for entry in entries:
            counts = {RecordState.OUT_OF_SCOPE: entry.event_digest}
            counts |= dict.fromkeys((RecordState.HELD, RecordState.PARKED), entry.row_digest)
            digest = counts.get(entry.state)
            digests += [] if digest is None else [digest]
        total = sum(int(digest, 16) for digest in digests) % MODULUS
        if (stream.sum, stream.count) != (total, len(digests)):
            self.faults.append(f"5: the sum of {stream.count} is not that of the {len(digests)} entries")
        for state, count in stream.states.items():
            if count != sum(entry.state is state for entry in entries):
                self.faults.append(f"5: {count} records are said to be {state}, and are not")

    def rested(self, held: Sequence[Held], listed: set[str], rows: Mapping[Key, Cells]) -> None:
        """Judge a table at rest: every open row under somebody's number in force is accounted for."""
        linked = {key_of(link.key) for one in held for link in one.links}
        for key, row in rows.items():
            claimants = [sent for sent in self.known.values() if sent.number and sent.number == plain(row["number"])]
            if self._is_closed(row) or key in linked or not claimants:
                continue
            # Who has the better claim to it may wait, for the row refuses what is written; then it is told of, too.
            answering = [s for s in self.known.values() if plain(row["number"]) in {s.number, *s.earlier}]
            if not any(sent.pseudonym in listed for sent in answering):
                self.faults.append(f"L2: nobody has the open row {key} {dict(row)} of {[s.serial for s in claimants]}")
