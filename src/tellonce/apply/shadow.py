"""Shadow mode: what would be written if the department switched on, with nothing written and no place in any group."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Engine

from tellonce.apply.incoming import read_batch
from tellonce.apply.plan import plan_batch
from tellonce.apply.subscription import SubscribedView
from tellonce.avro.catalogue import Catalogue
from tellonce.kafka.group import ReadMessage
from tellonce.model.divergence import Reason
from tellonce.model.position import Position, PositionTracker

__all__ = ["Shadow", "ShadowReport"]

_BATCH = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowReport:
    """What the newest events of one view ask of the department's table, in records.

    `linked_by_earlier_number` are rows found by an earlier or derived number, which are linked, if no other record
    answers to it, once every record was read.
    """

    view: str
    events: int
    would_update: int
    would_insert: int
    would_delete: int
    linked_by_earlier_number: int
    out_of_scope: int
    ambiguous: int
    cannot_hold: int
    other_trouble: int


class Shadow:
    """Reads every subscribed view once, from its beginning to its present end, and plans without writing."""

    def __init__(
        self,
        engine: Engine,
        views: Sequence[SubscribedView],
        catalogue: Catalogue,
        read_topic: Callable[[str], Iterable[tuple[int, ReadMessage]]],
    ) -> None:
        """`read_topic` gives partition and message of everything a topic holds, in order per partition."""
        self._engine = engine
        self._views = list(views)
        self._catalogue = catalogue
        self._read_topic = read_topic
        self._reports: list[ShadowReport] = []

    def turn(self) -> bool:
        """Reads the next view, and tells whether there was one."""
        if len(self._reports) == len(self._views):
            return False
        self._reports.append(self._look_at(self._views[len(self._reports)]))
        return True

    def is_done(self) -> bool:
        """Tells whether every view was read."""
        return len(self._reports) == len(self._views)

    def pause(self) -> None:
        """Holds nothing that would have to be let go."""

    def report(self) -> list[ShadowReport]:
        """Gives what was found, a report per view."""
        return list(self._reports)

    def _look_at(self, subscribed: SubscribedView) -> ShadowReport:
        counts: Counter[str] = Counter()
        trackers: dict[int, PositionTracker] = {}
        messages = iter(self._read_topic(subscribed.view.topic))
        while some := list(islice(messages, _BATCH)):
            by_partition: dict[int, list[ReadMessage]] = {}
            for partition, message in some:
                by_partition.setdefault(partition, []).append(message)
            for partition, run in by_partition.items():
                tracker = trackers.setdefault(partition, PositionTracker(Position()))
                batch = read_batch(run, subscribed.seal(partition), tracker, lambda: 0)
                counts["events"] += batch.messages - batch.refused.total()
                # Planning notes how records may be found, in our own tables: the transaction is always rolled back.
                with self._engine.connect() as connection, connection.begin() as transaction:
                    decisions, _ = plan_batch(connection, subscribed, self._catalogue, list(batch.newest.values()))
                    transaction.rollback()
                for decision in decisions:
                    counts[decision.reason or (decision.action if decision.action != "none" else decision.state)] += 1
        known = (
            "update",
            "insert",
            "delete",
            "out_of_scope",
            Reason.AWAITING_SNAPSHOT,
            Reason.AMBIGUOUS,
            Reason.CANNOT_HOLD,
        )
        return ShadowReport(
            view=subscribed.name,
            events=counts["events"],
            would_update=counts["update"],
            would_insert=counts["insert"],
            would_delete=counts["delete"],
            linked_by_earlier_number=counts[Reason.AWAITING_SNAPSHOT],
            out_of_scope=counts["out_of_scope"],
            ambiguous=counts[Reason.AMBIGUOUS],
            cannot_hold=counts[Reason.CANNOT_HOLD],
            other_trouble=sum(n for name, n in counts.items() if name not in (*known, "events")),
        )
