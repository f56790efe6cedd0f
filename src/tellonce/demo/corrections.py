"""How many of the departments' own rows the services corrected: what the rows were before, against what they are."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Engine, select

from tellonce.declare.loading import load_bindings
from tellonce.demo.tables import tables_of
from tellonce.storage.database import reading
from tellonce.topology import Topology

__all__ = ["Corrections"]

Place = tuple[str, str]
"""Department and view."""
Values = tuple[object, ...]


class Corrections:
    """The rows that are bound to views, as they were when this was made."""

    def __init__(self, consumers_dir: Path, topology: Topology, engines: Mapping[str, Engine]) -> None:
        self._bindings = {
            department: load_bindings(consumers_dir, department)
            for department in topology.departments
            if topology.subscribed_by(department)
        }
        self._engines = engines
        self._before = self._rows()

    def counts(self) -> dict[Place, int]:
        """Gives, by department and view, how many of the rows that were there hold other values in bound columns."""
        now = self._rows()
        return {
            place: sum(key in now[place] and now[place][key] != values for key, values in before.items())
            for place, before in self._before.items()
        }

    def _rows(self) -> dict[Place, dict[Values, Values]]:
        found: dict[Place, dict[Values, Values]] = {}
        for department, bindings in self._bindings.items():
            tables = tables_of(department)
            with reading(self._engines[department]) as connection:
                for binding in bindings:
                    table = tables[binding.table]
                    key = list(table.primary_key.columns)
                    bound = [table.c[column.name] for column in binding.columns.values()]
                    rows = connection.execute(select(*key, *bound)).all()
                    found[department, binding.view] = {tuple(row[: len(key)]): tuple(row[len(key) :]) for row in rows}
        return found
