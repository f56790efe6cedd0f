"""Clerks of a department with an awkward table: what they do to rows, and whom they mean by it."""

import random

from apply.awkward_checker import Checker
from apply.awkward_people import Registry
from apply.awkward_tables import Cells, Key, Table
from apply.bench import WRITTEN_BORN

__all__ = ["Clerk"]


class Clerk:
    """Somebody at the department, who changes rows and means something by it."""

    def __init__(self, table: Table, registry: Registry, checker: Checker) -> None:
        self.table, self.registry, self.checker = table, registry, checker

    def do(self, step: str, rng: random.Random) -> str | None:
        """Do one thing; nothing where there is no row to do it to."""
        if step == "open":
            return self._open(rng)
        rows = self.table.rows()
        if not rows:
            return None
        # In the order in which they came, since keys may be drawn at random.
        key = rng.choice([key for key in self.checker.meant if key in rows])
        row = rows[key]
        if step == "load":
            return self._load(key, row)
        if step == "remove":
            self.table.remove(key)
            self._gone(key)
            return f"{key}"
        values = self._values(step, key, row, rng)
        if values is None or not self.table.change(key, **values):
            return None
        self.checker.dirty.add(key)
        return f"{key} {values} for {self.checker.meant[key]}"

    def _gone(self, key: Key) -> None:
        if key not in self.table.rows():
            self.checker.meant.pop(key)
        self.checker.dirty.add(key)

    def _values(self, step: str, key: Key, row: Cells, rng: random.Random) -> dict[str, str | None] | None:
        serial = self.checker.meant[key]
        values: dict[str, str | None] | None
        match step:
            case "close" | "reopen":
                values = {"state": "closed" if step == "close" else "open"}
            case "renumber" if serial is not None:
                values = {"number": rng.choice(sorted(self.registry.ever[serial]))}
            case "mistype":
                others = [person.number for person in self.registry.people]
                values = {"number": rng.choice((*others, *[f"7{rng.randrange(10**6)}"] * 4))}
            case "reuse":
                values = self._reuse(key, serial, rng)
            case "edit":
                values = {rng.choice(("name", "street")): f"C{rng.randrange(100)}"}
            case "note" if not row["note"]:
                values = {"note": rng.choice(("no", "frozen", "cut"))}
            case _:
                values = None
        return values

    def _reuse(self, key: Key, serial: int | None, rng: random.Random) -> dict[str, str | None] | None:
        person = rng.choice(self.registry.people)
        if person.serial == serial:
            return None
        values = {"number": person.number, "name": person.name, "street": person.street, "state": "open"}
        if not self.table.change(key, **values):
            return None
        self.checker.meant[key] = person.serial
        return values

    def _open(self, rng: random.Random) -> str | None:
        person = rng.choice(self.registry.people)
        has_one = person.serial in self.checker.meant.values()
        if has_one and not self.checker.shape.has_accounts:
            return None
        is_stranger = rng.random() < 0.1
        number = (
            f"8{rng.randrange(10**6)}" if is_stranger else rng.choice((person.number, person.number, *person.former))
        )
        values = {
            "number": number,
            "name": rng.choice((person.name, "Clerk's")),
            "born": WRITTEN_BORN,
            "street": person.street,
            "state": "open",
            "note": rng.choice(("", "", "", "", "", "no", "frozen", "cut")),
        }
        before = self.table.rows()
        if not self.table.insert(**values):
            return None
        (key,) = self.table.rows().keys() - before.keys()
        self.checker.meant[key] = None if is_stranger else person.serial
        self.checker.dirty.add(key)
        return f"{key} {values} for {self.checker.meant[key]}"

    def _load(self, key: Key, row: Cells) -> str | None:
        serial = self.checker.meant[key]
        self.table.remove(key)
        before = self.table.rows()
        if key in before:
            return None
        self._gone(key)
        if not self.table.insert(**row):
            return None
        (new,) = self.table.rows().keys() - before.keys()
        self.checker.meant[new] = serial
        self.checker.dirty.add(new)
        return f"{key} is {new}"
