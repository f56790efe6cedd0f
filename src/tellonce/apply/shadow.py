"""Shadow mode: what would be written if the department switched on, with nothing written and no place in any group."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from tellonce.apply.batch import foresee
from tellonce.apply.deciding import Wanted
from tellonce.apply.incoming import Batch, read_batch
from tellonce.apply.subscription import SubscribedView
from tellonce.apply.transaction import offered_of
from tellonce.avro.catalogue import Catalogue
from tellonce.kafka.group import ReadMessage
from tellonce.model.divergence import Reason
from tellonce.model.position import Position, PositionTracker
from tellonce.storage.subscriber.decisions import Decision, Delete, Insert, Mark, Park, Pass, Update
from tellonce.storage.subscriber.facts import Known, Rank
from tellonce.storage.subscriber.store import Transaction

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
    equal: int
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
        views: Sequence[SubscribedView],
        catalogue: Catalogue,
        read_topic: Callable[[str], Iterable[tuple[int, ReadMessage]]],
    ) -> None:
        """`read_topic` gives partition and message of everything a topic holds, in order per partition."""
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
                with suppress(_NothingWrittenError), subscribed.store.transaction() as transaction:
                    counts.update(_fates(transaction, subscribed, self._catalogue, batch))
                    # Foreseeing notes in our own tables which numbers records answer to.
                    raise _NothingWrittenError
        return ShadowReport(
            view=subscribed.name,
            events=counts["events"],
            would_update=counts["update"],
            equal=counts["equal"],
            would_insert=counts["insert"],
            would_delete=counts["delete"],
            linked_by_earlier_number=counts[Reason.AWAITING_SNAPSHOT],
            out_of_scope=counts["out_of_scope"],
            ambiguous=counts[Reason.AMBIGUOUS],
            cannot_hold=counts[Reason.CANNOT_HOLD],
            other_trouble=counts["other"],
        )


class _NothingWrittenError(Exception):
    """Ends a transaction of which nothing shall stay."""


def _fates(transaction: Transaction, subscribed: SubscribedView, catalogue: Catalogue, batch: Batch) -> Counter[str]:
    offered = [offered_of(subscribed, catalogue, item, 0) for item in batch.newest.values()]
    wishes, known, decisions = foresee(transaction, subscribed.bound, offered)
    return Counter(_fate(decision, known[name], wishes[name]) for name, decision in decisions.items())


def _fate(decision: Decision, known: Known, wanted: Wanted) -> str:
    match decision:
        case Update(changed=changed):
            return "update" if changed else "equal"
        case Insert():
            return "insert"
        case Delete() | Mark():
            return "delete"
        case Pass(state=state):
            return state
        case Park(why=why) if why.reason is Reason.AWAITING_SNAPSHOT:
            # Here every record was not read yet, which holds up what differs, too, and what has an earlier number.
            held = {number for each in known.candidates for number in each.row.numbers}
            in_force = {number for number, each in wanted.numbers.items() if each.rank is Rank.IN_FORCE}
            return "update" if held & in_force else why.reason
        case Park(why=why):
            return why.reason if why.reason in {Reason.AMBIGUOUS, Reason.CANNOT_HOLD} else "other"
