"""The whole demonstration city: its people, every department's rows, and whose row each is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from tellonce.demo import check
from tellonce.demo.files import Ownership, departments_rows
from tellonce.demo.people import Population, populate
from tellonce.demo.tables import DEPARTMENTS, Row, create_and_fill

__all__ = ["City", "build_city"]


@dataclass(frozen=True, slots=True, kw_only=True)
class City:
    """A generated city; the same for the same seed and size."""

    seed: int
    population: Population
    rows: Mapping[str, Mapping[str, Sequence[Row]]]
    """Each department's rows by table, as they are before anything is shared."""
    ownership: Mapping[str, Ownership]

    def create_databases(self, engines: Mapping[str, Engine]) -> None:
        """Makes and fills every department's tables in its own, empty database.

        Raises:
            KeyError: a department has no engine.
        """
        for department in DEPARTMENTS:
            create_and_fill(engines[department], department, self.rows[department])

    def ownership_facts(self) -> dict[str, check.Ownership]:
        """The ownership by department as plain JSON values, for the independent check's `demo.json`."""
        return {
            department: {
                "owners": owned.owners,
                "undecidable": owned.undecidable,
                "untouchable": owned.untouchable,
                "strangers": owned.strangers,
            }
            for department, owned in self.ownership.items()
        }


def build_city(seed: int, residents: int) -> City:
    """The city of this seed and size, in memory: nothing is written.

    3,000 residents take about a tenth of a second, 100,000 some seconds.
    """
    population = populate(seed, residents)
    rows, ownership = departments_rows(seed, population)
    return City(seed=seed, population=population, rows=rows, ownership=ownership)
