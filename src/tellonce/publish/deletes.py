"""Deletes that wait for a person: nothing of a department's nightly job may empty the city.

A table that is emptied and loaded again is, for a while, a table of which every record is gone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, exists, select, update

from tellonce.declare import Source
from tellonce.model.change import Origin
from tellonce.model.errors import ConfigurationError
from tellonce.model.rounds import Rounds
from tellonce.publish.streams import PublishedView
from tellonce.storage.capture import why_not_gone
from tellonce.storage.database import clock_ms
from tellonce.storage.outbox import Outbox
from tellonce.storage.statements import among
from tellonce.storage.tables import own_tables

__all__ = ["HELD", "RELEASED", "DeleteGate", "DeleteLimits", "count_held", "held_among", "release_deletes"]

HELD = "mass_delete"
RELEASED = "delete_released"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteLimits:
    """How many of a view's records may go within a round; more wait, and so do all that follow, until one decides.

    It is a share of the records that are there, and at least and at most so many.
    """

    share: float = 0.01
    least: int = 20
    most: int = 1_000
    round_seconds: float = 600.0

    def rounds(self) -> Rounds:
        """Gives the count of what went in the present round."""
        return Rounds(self.round_seconds)

    def cap(self, records: int) -> int:
        """Gives how many of so many records may go."""
        return min(self.most, max(self.least, int(records * self.share)))


class DeleteGate:
    """Says which deletes of one staging transaction may go."""

    def __init__(self, connection: Connection, source: Source, limits: DeleteLimits, rounds: Rounds) -> None:
        self._connection = connection
        self._source = source
        self._limits = limits
        self._rounds = rounds
        self._is_looked_at = False
        self._is_holding: dict[str, bool] = {}
        self._reasons: dict[tuple[str, str], str] = {}

    def look_up(self, view: str, record_keys: Collection[str]) -> None:
        """Reads which of the records are listed; before anything is asked of them."""
        found = _listed_reasons(self._connection, view, record_keys)
        self._reasons |= {(view, key): reason for key, reason in found.items()}

    def reason(self, view: str, record_key: str) -> str | None:
        """Gives for which reason a record is listed."""
        return self._reasons.get((view, record_key))

    def admits(self, view: str, record_key: str, *, records: int, is_counted: bool, now_ms: int) -> bool:
        """Tells whether a record that is gone, of so many that are there, may be deleted at the departments.

        A whole epoch's deletes are not counted, since a person has ordered the epoch.

        Raises:
            ConfigurationError: the table is not the one that was looked at when capture was installed, or our triggers
                are off, so that what is missing may not be gone.
        """
        self._check_home()
        if not is_counted or self.reason(view, record_key) == RELEASED:
            return True
        if view not in self._is_holding:
            self._is_holding[view] = _holds_any(self._connection, view)
        place = (view, self._source.record_type)
        if self._is_holding[view] or not self._rounds.left(place, self._limits.cap(records), now_ms):
            self._is_holding[view] = True
            return False
        self._rounds.use(place, 1, now_ms)
        return True

    def _check_home(self) -> None:
        if self._is_looked_at:
            return
        why = why_not_gone(self._connection, self._source)
        if why is not None:
            msg = (
                f"{self._source.place}: expected every row of {self._source.table} to be seen before any is called "
                f"gone, found that {why}; run tellonce install"
            )
            raise ConfigurationError(msg, record_type=self._source.record_type)
        self._is_looked_at = True


def _listed_reasons(connection: Connection, view: str, record_keys: Collection[str]) -> Mapping[str, str]:
    """Gives the reasons for which some of the records are listed as not published as they are."""
    table = own_tables(connection.dialect.name).unpublished
    statement = select(table.c.record_key, table.c.reason).where(
        table.c.view == view, among(connection, table.c.record_key, record_keys)
    )
    return {str(key): str(reason) for key, reason in connection.execute(statement)} if record_keys else {}


def _holds_any(connection: Connection, view: str) -> bool:
    """Tells whether any delete of the view waits for a person."""
    table = own_tables(connection.dialect.name).unpublished
    held = select(table.c.record_key).where(table.c.view == view, table.c.reason == HELD)
    return bool(connection.execute(select(exists(held))).scalar_one())


def held_among(connection: Connection, views: Sequence[str], record_keys: Collection[str]) -> frozenset[str]:
    """Gives those of the records whose delete waits for a person in any of the views."""
    return frozenset(
        key
        for view in views
        for key, reason in _listed_reasons(connection, view, record_keys).items()
        if reason == HELD
    )


def count_held(connection: Connection, views: Sequence[PublishedView]) -> int:
    """Gives of how many records a delete waits for a person."""
    return len(_held_keys(connection, views))


def release_deletes(connection: Connection, outbox: Outbox, views: Sequence[PublishedView]) -> int:
    """Lets the deletes of a record type that wait be published, and gives of how many records they are.

    Who has come back meanwhile is not deleted: the relay looks at each again.
    """
    table = own_tables(connection.dialect.name).unpublished
    keys = _held_keys(connection, views)
    held = (table.c.view.in_([view.name for view in views]), table.c.reason == HELD)
    connection.execute(update(table).where(*held).values(reason=RELEASED))
    outbox.mark(connection, keys, Origin.SWEEP, clock_ms(connection))
    return len(keys)


def _held_keys(connection: Connection, views: Sequence[PublishedView]) -> list[str]:
    table = own_tables(connection.dialect.name).unpublished
    held = (table.c.view.in_([view.name for view in views]), table.c.reason == HELD)
    return [str(key) for key in connection.execute(select(table.c.record_key).distinct().where(*held)).scalars()]
