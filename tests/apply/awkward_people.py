"""The authority's side of a schedule on an awkward table: people, and the events that tell of them."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from apply.bench import BORN, KEYS
from contract.forms import id_number, short_number
from tellonce.avro.catalogue import Catalogue
from tellonce.model.change import ChangeEvent, Fields, Operation, Origin
from tellonce.model.digest import pseudonym_of
from tellonce.model.incoming import Incoming
from tellonce.model.position import Header

__all__ = ["Archive", "Person", "Registry", "Sent", "short_of"]


def short_of(number: str) -> str:
    """The 15 digits that a number of 18 had before; the number itself where it is none."""
    return number[:6] + number[8:17] if len(number) == 18 else number


@dataclass(kw_only=True)
class Person:
    """Somebody as the authority has them now."""

    serial: int
    number: str
    name: str
    street: str | None = None
    former: tuple[str, ...] = ()
    lives: bool = True
    version: int = 0


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What one event says, in plain words; `number` is "" where it is a delete."""

    serial: int
    version: int
    sequence: int
    number: str = ""
    name: str = ""
    street: str | None = None
    former: tuple[str, ...] = ()
    is_repair: bool = False

    @property
    def pseudonym(self) -> str:
        """The record's name on the wire."""
        return pseudonym_of(KEYS.pseudonym, str(self.serial))

    @property
    def earlier(self) -> set[str]:
        """The numbers that its row may have held before."""
        return {*self.former, short_of(self.number)} - {self.number, ""}


class Archive(Catalogue):
    """A catalogue that keeps each event under a payload that names it."""

    def __init__(self) -> None:  # pyright: ignore[reportMissingSuperCall] - it has no schemas
        self.events: dict[bytes, ChangeEvent] = {}

    def decode(
        self, data: bytes, *, view: str, wanted: frozenset[str] | None = None, with_before: bool = True
    ) -> ChangeEvent:
        """The event that was kept."""
        del view, wanted, with_before
        return self.events[data]

    def incoming(self, sent: Sent) -> Incoming:
        """The event as it arrives."""
        payload = f"{sent.serial} {sent.version} {sent.is_repair}".encode()
        after: Fields = {
            "id_number": sent.number,
            "name": sent.name,
            "born": BORN,
            "street": sent.street,
            "former_id_numbers": sent.former,
        }
        self.events[payload] = ChangeEvent(
            op=Operation.UPDATE if sent.number else Operation.DELETE,
            department="registry",
            record_type="citizen",
            view=KEYS.view,
            record_key=sent.pseudonym,
            epoch=1,
            version=sent.version,
            sequence=sent.sequence,
            origin=Origin.REPAIR if sent.is_repair else Origin.CAPTURE,
            committed_at_ms=1,
            published_at_ms=1,
            after=after if sent.number else None,
        )
        header = Header(epoch=1, version=sent.version, sequence=sent.sequence, settled=0, flagged=False)
        return Incoming(pseudonym=sent.pseudonym, header=header, payload=payload)


@dataclass
class Registry:
    """The authority: it changes people and says so."""

    people: list[Person] = field(default_factory=list[Person])
    names: dict[str, int] = field(default_factory=dict[str, int])
    """Whose name it is or was; no two people ever have the same."""
    ever: dict[int, set[str]] = field(default_factory=dict[int, set[str]])
    """Every number that somebody ever had."""
    sequence: int = 0
    drawn: int = 100

    def begin(self, rng: random.Random, count: int) -> list[Sent]:
        """Some people, half of them with numbers of 15 digits."""
        for serial in range(1, count + 1):
            number = short_number(serial) if rng.random() < 0.5 else id_number(serial)
            self.people.append(Person(serial=serial, number=number, name=""))
            self._name(self.people[-1])
        return [self._say(person) for person in self.people]

    def _name(self, person: Person) -> None:
        person.name = f"Wang{chr(64 + person.serial)}{len(self.names)}"
        self.names[person.name] = person.serial

    def _say(self, person: Person) -> Sent:
        self.sequence += 1
        person.version += 1
        if not person.lives:
            return Sent(serial=person.serial, version=person.version, sequence=self.sequence)
        self.ever.setdefault(person.serial, set()).update({person.number, short_of(person.number), *person.former})
        return self.newest(person)

    def newest(self, person: Person, *, is_repair: bool = False) -> Sent:
        """What the newest event of somebody says; as a repair with a sequence of its own."""
        self.sequence += is_repair
        if not person.lives:
            return Sent(serial=person.serial, version=person.version, sequence=self.sequence, is_repair=is_repair)
        return Sent(
            serial=person.serial,
            version=person.version,
            sequence=self.sequence,
            number=person.number,
            name=person.name,
            street=person.street,
            former=person.former,
            is_repair=is_repair,
        )

    def change(self, rng: random.Random) -> list[Sent]:
        """One change of the authority's, with an event for everybody whom it touches."""
        ways: Mapping[Callable[[random.Random, Person, Person], list[Person]], int] = {
            self._upgrade: 2,
            self._rename: 2,
            self._move: 1,
            self._renumber: 2,
            self._hand_over: 2,
            self._exchange: 2,
            self._end: 2,
            self._come_back: 2,
        }
        one, other = rng.sample(self.people, 2)
        (way,) = rng.choices(list(ways), list(ways.values()))
        return [self._say(person) for person in way(rng, one, other)]

    def _new_number(self) -> str:
        self.drawn += 1
        return id_number(self.drawn)

    def _upgrade(self, rng: random.Random, one: Person, other: Person) -> list[Person]:
        del other
        if len(one.number) == 15 and one.lives:
            # Nobody else has the number that is made of these digits.
            self._to(rng, one, id_number(int(one.number[-3:])))
            return [one]
        return []

    def _to(self, rng: random.Random, person: Person, number: str) -> None:
        if rng.random() < 0.7:
            person.former = tuple(dict.fromkeys((*person.former, person.number)))
        person.number = number
        person.former = tuple(each for each in person.former if each != number)

    def _rename(self, rng: random.Random, one: Person, other: Person) -> list[Person]:
        del rng, other
        self._name(one)
        return [one] if one.lives else []

    def _move(self, rng: random.Random, one: Person, other: Person) -> list[Person]:
        del other
        one.street = rng.choice((None, "Lane 1", "Lane 2"))
        return [one] if one.lives else []

    def _renumber(self, rng: random.Random, one: Person, other: Person) -> list[Person]:
        del other
        self._to(rng, one, self._new_number())
        return [one] if one.lives else []

    def _hand_over(self, rng: random.Random, one: Person, other: Person) -> list[Person]:
        number = one.number
        self._to(rng, one, self._new_number())
        self._to(rng, other, number)
        return [person for person in (one, other) if person.lives]

    def _exchange(self, rng: random.Random, one: Person, other: Person) -> list[Person]:
        number = one.number
        self._to(rng, one, other.number)
        self._to(rng, other, number)
        return [person for person in (one, other) if person.lives]

    def _end(self, rng: random.Random, one: Person, other: Person) -> list[Person]:
        del rng, other
        was, one.lives = one.lives, False
        return [one] if was else []

    def _come_back(self, rng: random.Random, one: Person, other: Person) -> list[Person]:
        del rng, one
        gone = next((person for person in self.people if not person.lives), None)
        if gone is None:
            return []
        gone.lives = True
        del other
        return [gone]
