"""The live load: changes that the authorities' own applications make while the services run."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from random import Random

from sqlalchemy import Connection, Engine, insert, update

from tellonce.demo.files import party_row, resident_row
from tellonce.demo.generation import City
from tellonce.demo.numbers import SHORT_LENGTH, NumberOffice, Sex
from tellonce.demo.people import DISTRICTS, TODAY, NameOffice, Resident
from tellonce.demo.tables import tables_of

__all__ = ["ChangeKind", "ChangeLoad", "Done"]


class ChangeKind(StrEnum):
    """What an authority's clerk did."""

    ID_UPGRADE = "id_upgrade"
    NAME_CORRECTION = "name_correction"
    MOVE = "move"
    DEATH = "death"
    MARRIAGE = "marriage"
    DIVORCE = "divorce"
    WRONG_CORRECTION = "wrong_correction"
    CORRECTION_UNDONE = "correction_undone"
    NEW_RESIDENT = "new_resident"
    ROLLED_BACK = "rolled_back"


# Of a hundred changes. A wrong correction and its undoing come in pairs, so they are planned together.
_SHARES: Mapping[ChangeKind, int] = {
    ChangeKind.ID_UPGRADE: 24,
    ChangeKind.NAME_CORRECTION: 16,
    ChangeKind.MOVE: 24,
    ChangeKind.DEATH: 4,
    ChangeKind.MARRIAGE: 8,
    ChangeKind.DIVORCE: 4,
    ChangeKind.NEW_RESIDENT: 6,
    ChangeKind.ROLLED_BACK: 4,
}
_PAIRS_IN_A_HUNDRED = 5
# A move often follows another change of the same person, so that one record has several versions under way.
_FOLLOW_UP = 0.3
_LONG_NAME = 0.08
_OLD = 60
_MARRYING_AGES = range(24, 61)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One transaction of the load, after it ended."""

    number: int
    kind: ChangeKind
    department: str
    record_type: str
    record_key: str
    committed: bool
    """False where the transaction was rolled back: nothing of it may ever be published."""
    committed_at_ms: int
    """This host's clock right after the commit or rollback, in epoch milliseconds."""


@dataclass(frozen=True, slots=True)
class _Undoing:
    resident_id: int
    id_number: str | None = None
    name: str | None = None


class _RolledBack(Exception):  # noqa: N818 - it only carries the wish to roll back out of the transaction
    pass


class ChangeLoad:
    """A fixed number of changes, drawn from a seed, each in its own transaction at an authority.

    It remembers what it did, so it runs once and expects nobody else to change the authorities' tables, but for the
    residents in `avoid`, which it leaves alone. Not thread safe.
    """

    def __init__(
        self,
        city: City,
        *,
        seed: int,
        changes: int,
        avoid: frozenset[int] = frozenset(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rng = Random(f"load {seed}")
        self._clock = clock
        self._changes = changes
        self._names = NameOffice(self._rng, seed + 1)
        self._numbers = NumberOffice(self._rng)
        self._people = {person.resident_id: person for person in city.population.residents}
        for person in self._people.values():
            self._numbers.reserve(person.next_id_number or person.id_number)
        usable = [person for person in city.population.residents if person.resident_id not in avoid]
        self._usable = [person.resident_id for person in usable]
        self._to_upgrade = deque(person.resident_id for person in usable if person.next_id_number)
        self._next_resident_id = max(self._people, default=0) + 1
        self._to_undo: deque[_Undoing] = deque()
        self._wrong_corrections = 0
        self._subject: Resident | None = None
        self._recent: deque[int] = deque(maxlen=20)
        self._marriages = _Marriages(city, frozenset(self._usable))

    def run(self, engines: Mapping[str, Engine]) -> Iterator[Done]:
        """Makes the changes and gives each after its transaction ended; the caller sets the pace by iterating."""
        makers: Mapping[ChangeKind, Callable[[Connection], str]] = {
            ChangeKind.ID_UPGRADE: self._upgrade,
            ChangeKind.NAME_CORRECTION: self._correct_name,
            ChangeKind.MOVE: self._move,
            ChangeKind.DEATH: self._register_death,
            ChangeKind.MARRIAGE: self._marry,
            ChangeKind.DIVORCE: self._divorce,
            ChangeKind.WRONG_CORRECTION: self._correct_wrongly,
            ChangeKind.CORRECTION_UNDONE: self._undo_correction,
            ChangeKind.NEW_RESIDENT: self._register_birth,
            ChangeKind.ROLLED_BACK: self._roll_back,
        }
        for number, planned in enumerate(self._plan()):
            kind = self._possible(planned)
            at_civil_affairs = kind in {ChangeKind.MARRIAGE, ChangeKind.DIVORCE}
            department = "civil-affairs" if at_civil_affairs else "public-security"
            record_key = ""
            with suppress(_RolledBack), engines[department].begin() as connection:
                record_key = makers[kind](connection)
                if kind is ChangeKind.ROLLED_BACK:
                    raise _RolledBack
            yield Done(
                number=number,
                kind=kind,
                department=department,
                record_type="marriage" if at_civil_affairs else "citizen",
                record_key=record_key,
                committed=kind is not ChangeKind.ROLLED_BACK,
                committed_at_ms=int(self._clock() * 1000),
            )

    def _plan(self) -> list[ChangeKind]:
        pairs = self._changes * _PAIRS_IN_A_HUNDRED // 100
        single = self._changes - 2 * pairs
        # One of each kind first, so that even a short load has every kind that fits.
        kinds = list(_SHARES)[:single]
        kinds += self._rng.choices(list(_SHARES), weights=list(_SHARES.values()), k=single - len(kinds))
        self._rng.shuffle(kinds)
        for _ in range(pairs):
            wrong = self._rng.randint(0, len(kinds))
            kinds.insert(wrong, ChangeKind.WRONG_CORRECTION)
            kinds.insert(self._rng.randint(wrong + 1, len(kinds)), ChangeKind.CORRECTION_UNDONE)
        return kinds

    def _possible(self, kind: ChangeKind) -> ChangeKind:
        # When all are upgraded, or nobody is left to marry, to divorce or to die, somebody moves instead.
        possible = True
        if kind is ChangeKind.ID_UPGRADE:
            possible = bool(self._to_upgrade)
        elif kind is ChangeKind.MARRIAGE:
            possible = self._marriages.next_couple(self._people) is not None
        elif kind is ChangeKind.DIVORCE:
            possible = self._marriages.has_marriage()
        elif kind is ChangeKind.DEATH:
            self._subject = self._someone_who(lambda person: person.alive and person.age > _OLD)
            possible = self._subject is not None
        elif kind is ChangeKind.WRONG_CORRECTION:
            under_way = {undoing.resident_id for undoing in self._to_undo}
            self._subject = self._someone_who(
                lambda person: len(person.id_number) > SHORT_LENGTH and person.resident_id not in under_way
            )
            possible = self._subject is not None
        elif kind is ChangeKind.CORRECTION_UNDONE:
            possible = bool(self._to_undo)
        return kind if possible else ChangeKind.MOVE

    def _someone(self) -> Resident:
        return self._people[self._rng.choice(self._usable)]

    def _someone_who(self, fits: Callable[[Resident], bool]) -> Resident | None:
        # Drawing often is quicker than looking through a large city, and misses only where hardly anybody fits.
        return next((person for person in (self._someone() for _ in range(300)) if fits(person)), None)

    def _save(self, connection: Connection, person: Resident) -> str:
        """Updates the register to `person`, with a history row in the same transaction where the number changes."""
        tables, before = tables_of("public-security"), self._people[person.resident_id]
        if person.id_number != before.id_number:
            # The history row goes first: capture reads the history when the register's row changes.
            old = {"resident_id": person.resident_id, "id_number": before.id_number, "replaced_on": TODAY}
            connection.execute(insert(tables["id_history"]).values(old))
            person = replace(person, former_id_numbers=(*before.former_id_numbers, before.id_number))
        new, known = resident_row(person), resident_row(before)
        changed = {column: value for column, value in new.items() if value != known[column]}
        register = tables["resident"]
        if changed:
            connection.execute(update(register).where(register.c.resident_id == person.resident_id).values(changed))
        self._people[person.resident_id] = person
        self._recent.append(person.resident_id)
        return str(person.resident_id)

    def _upgrade(self, connection: Connection) -> str:
        person = self._people[self._to_upgrade.popleft()]
        return self._save(
            connection, replace(person, id_number=person.next_id_number or person.id_number, next_id_number=None)
        )

    def _correct_name(self, connection: Connection) -> str:
        person = self._someone()
        return self._save(connection, replace(person, name=self._other_name(person)))

    def _other_name(self, person: Resident) -> str:
        while True:
            name = self._names.long_name() if self._rng.random() < _LONG_NAME else self._names.name(person.sex)
            if name != person.name:
                return name

    def _move(self, connection: Connection) -> str:
        follow_up = self._recent and self._rng.random() < _FOLLOW_UP
        person = self._people[self._rng.choice(self._recent)] if follow_up else self._someone()
        moved = replace(
            person, address=self._names.address(), district_code=self._rng.choice(DISTRICTS), moved_on=TODAY
        )
        return self._save(connection, moved)

    def _register_death(self, connection: Connection) -> str:
        return self._save(connection, replace(self._subject or self._someone(), alive=False))

    def _correct_wrongly(self, connection: Connection) -> str:
        person = self._subject or self._someone()
        self._wrong_corrections += 1
        if self._wrong_corrections % 2:
            self._to_undo.append(_Undoing(person.resident_id, id_number=person.id_number))
            other = self._numbers.reissue(person.id_number, person.birth_date, person.sex)
            return self._save(connection, replace(person, id_number=other))
        self._to_undo.append(_Undoing(person.resident_id, name=person.name))
        return self._save(connection, replace(person, name=self._other_name(person)))

    def _undo_correction(self, connection: Connection) -> str:
        undoing = self._to_undo.popleft()
        present = self._people[undoing.resident_id]
        return self._save(
            connection,
            replace(present, id_number=undoing.id_number or present.id_number, name=undoing.name or present.name),
        )

    def _register_birth(self, connection: Connection) -> str:
        birth_date = TODAY - timedelta(days=self._rng.randint(0, 60))
        sex: Sex = self._rng.choice(("male", "female"))
        person = Resident(
            resident_id=self._next_resident_id,
            id_number=self._numbers.issue(birth_date, sex),
            name=self._names.name(sex),
            sex=sex,
            birth_date=birth_date,
            alive=True,
            former_id_numbers=(),
            address=self._names.address(),
            district_code=self._rng.choice(DISTRICTS),
            moved_on=None,
            phone=None,
        )
        self._next_resident_id += 1
        connection.execute(insert(tables_of("public-security")["resident"]).values(resident_row(person)))
        self._people[person.resident_id] = person
        self._usable.append(person.resident_id)
        self._recent.append(person.resident_id)
        return str(person.resident_id)

    def _roll_back(self, connection: Connection) -> str:
        person = self._someone()
        record_key = self._save(connection, replace(person, name=self._other_name(person)))
        self._people[person.resident_id] = person
        return record_key

    def _marry(self, connection: Connection) -> str:
        return self._marriages.register(connection, self._rng, self._people)

    def _divorce(self, connection: Connection) -> str:
        return self._marriages.dissolve(connection, self._rng)


class _Marriages:
    """The marriage registry as the load changes it."""

    def __init__(self, city: City, usable: frozenset[int]) -> None:
        marriages = city.population.marriages
        self._together = {
            marriage.marriage_id: marriage.spouse_ids for marriage in marriages if marriage.status == "married"
        }
        self._next_id = max((marriage.marriage_id for marriage in marriages), default=500_000) + 1
        # Who is or was married has a file at civil affairs already, and does not marry again here.
        known = {resident_id for marriage in marriages for resident_id in marriage.spouse_ids}
        available = usable - known
        self._single = [
            person.resident_id
            for person in city.population.residents
            if person.resident_id in available and person.age in _MARRYING_AGES
        ]

    def has_marriage(self) -> bool:
        return bool(self._together)

    def next_couple(self, people: Mapping[int, Resident]) -> tuple[Resident, Resident] | None:
        alive = [person for person in map(people.__getitem__, self._single) if person.alive]
        man = next((person for person in alive if person.sex == "male"), None)
        woman = next((person for person in alive if person.sex == "female"), None)
        return None if man is None or woman is None else (man, woman)

    def register(self, connection: Connection, rng: Random, people: Mapping[int, Resident]) -> str:
        couple = self.next_couple(people)
        if couple is None:
            msg = "a marriage was planned although nobody is left to marry"
            raise RuntimeError(msg)
        tables, marriage_id = tables_of("civil-affairs"), self._next_id
        connection.execute(
            insert(tables["marriage"]).values(
                marriage_id=marriage_id,
                certificate_number=f"J{rng.choice(DISTRICTS)}-{TODAY.year}-{marriage_id:06d}",
                spouse_a_id_number=couple[0].id_number,
                spouse_b_id_number=couple[1].id_number,
                registered_on=TODAY,
                status="结婚",
            )
        )
        files = [party_row(one, number=one.id_number, name=one.name, filed_on=TODAY) for one in couple]
        connection.execute(insert(tables["party_file"]), files)
        self._next_id += 1
        spouses = (couple[0].resident_id, couple[1].resident_id)
        self._together[marriage_id] = spouses
        self._single = [resident_id for resident_id in self._single if resident_id not in spouses]
        return str(marriage_id)

    def dissolve(self, connection: Connection, rng: Random) -> str:
        marriage_id = rng.choice(list(self._together))
        registry = tables_of("civil-affairs")["marriage"]
        connection.execute(update(registry).where(registry.c.marriage_id == marriage_id).values(status="离婚"))
        del self._together[marriage_id]
        return str(marriage_id)
