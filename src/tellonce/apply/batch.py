"""A batch of newest events, carried out in one transaction of a store: asked, decided, written, kept."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from tellonce.apply.deciding import Wanted, decide
from tellonce.apply.renewing import renewal_of
from tellonce.apply.settling import Settled, accept, settle
from tellonce.apply.wanted import terms_of, wanted_of
from tellonce.model.change import ChangeEvent
from tellonce.model.divergence import Reason
from tellonce.model.position import Header
from tellonce.model.quick import quick
from tellonce.storage.subscriber.decisions import Decision, Delete, Insert, Mark, Park, Update, Why, Write
from tellonce.storage.subscriber.entries import StreamRow
from tellonce.storage.subscriber.facts import Asked, Known, Row, RowKey
from tellonce.storage.subscriber.renewal import Renewal, Standing
from tellonce.storage.subscriber.store import Record, Transaction
from tellonce.storage.subscriber.view import BoundView

__all__ = ["Offered", "carry_out", "foresee"]


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """The newest event of one record; where it could not be decoded, why."""

    pseudonym: str
    partition: int
    header: Header
    payload: bytes
    event: ChangeEvent | Why


_TWICE = Why(reason=Reason.COLLISION, detail="another record of the same batch has the row")


def carry_out(
    transaction: Transaction,
    view: BoundView,
    streams: Mapping[int, StreamRow],
    offered: Sequence[Offered],
    *,
    standings: Mapping[str, Standing] = MappingProxyType({}),
    around: Collection[str] = (),
) -> Mapping[str, Record]:
    """Carries events of these streams out and keeps what became of each; the streams' sums and counts move with them.

    What the `standings` show to be plain is renewed, and the rest is decided about. Of the records `around` rows that
    hold their numbers are looked for though they have a row already.
    """
    renewed = _renew(transaction, view, streams, offered, standings)
    left = [each for each in offered if each.pseudonym not in renewed]
    return {**renewed, **_decide(transaction, view, streams, left, around)} if left else renewed


def _renew(
    transaction: Transaction,
    view: BoundView,
    streams: Mapping[int, StreamRow],
    offered: Sequence[Offered],
    standings: Mapping[str, Standing],
) -> dict[str, Record]:
    if not standings:
        return {}
    now_ms = transaction.clock_ms()
    renewals: list[Renewal] = []
    for each in offered:
        standing = standings[each.pseudonym]
        if standing.row is not None:
            event = _settled(view, each, now_ms)
            renewal = renewal_of(event, wanted_of(view, each.event), standing, now_ms)
            renewals += [] if renewal is None else [renewal]
    done = transaction.renew(renewals)
    records: dict[str, Record] = {}
    for one in renewals:
        name = one.entry.pseudonym
        if name in done:
            streams[one.entry.partition].move(standings[name].entry, one.entry)
            records[name] = Record(entry=one.entry, links=None, claims=None, others=one.others, listed=None)
    return records


def _decide(
    transaction: Transaction,
    view: BoundView,
    streams: Mapping[int, StreamRow],
    offered: Sequence[Offered],
    around: Collection[str],
) -> dict[str, Record]:
    wishes, known, decisions = foresee(transaction, view, offered, around=around)

    def judge(name: str, rows: Sequence[Row | None]) -> Why | None:
        return accept(decisions[name], wishes[name], known[name], rows)

    results = transaction.write(_writes(decisions), judge)
    now_ms = transaction.clock_ms()
    records: dict[str, Record] = {}
    for each in offered:
        name = each.pseudonym
        records[name] = settle(
            _settled(view, each, now_ms),
            wishes[name],
            known[name],
            decisions[name],
            results.get(name),
            digest_of=partial(view.row_element, name),
            now_ms=now_ms,
        )
        streams[each.partition].move(known[name].entry, records[name].entry)
    transaction.save(records)
    transaction.hasten(_rivals(known, records))
    return records


def foresee(
    transaction: Transaction, view: BoundView, offered: Sequence[Offered], *, around: Collection[str] = ()
) -> tuple[Mapping[str, Wanted], Mapping[str, Known], Mapping[str, Decision]]:
    """Gives what the events want, what is known of their records, and what shall become of each; writes claims only."""
    wishes = {each.pseudonym: wanted_of(view, each.event) for each in offered}
    asked = [
        Asked(pseudonym=name, numbers=wish.numbers, others=wish.others, looks_around=name in around)
        for name, wish in wishes.items()
    ]
    transaction.claim(asked)
    known = transaction.know(asked)
    decisions = _decisions(view, wishes, known)
    return wishes, known, decisions


def _rivals(known: Mapping[str, Known], records: Mapping[str, Record]) -> set[str]:
    """Gives who waits for it to be known whose rows these are, where a record has its own now, or needs none."""
    settled = (name for name, record in records.items() if record.listed is None)
    return {rival.pseudonym for name in settled for each in known[name].candidates for rival in each.rivals}


def _decisions(view: BoundView, wishes: Mapping[str, Wanted], known: Mapping[str, Known]) -> dict[str, Decision]:
    terms = terms_of(view)
    taken: set[RowKey] = set()
    decisions: dict[str, Decision] = {}
    for name, wish in wishes.items():
        decision = decide(wish, known[name], terms)
        rows = _rows_of(decision)
        decisions[name] = Park(why=_TWICE) if taken & set(rows) else decision
        taken.update(rows)
    return decisions


def _rows_of(decision: Decision) -> tuple[RowKey, ...]:
    match decision:
        case Update(changed=changed, equal=equal) | Mark(changed=changed, equal=equal):
            return (*changed, *equal)
        case Delete(rows=rows):
            return rows
        case _:
            return ()


def _writes(decisions: Mapping[str, Decision]) -> dict[str, Write]:
    return {
        name: decision
        for name, decision in decisions.items()
        if isinstance(decision, Insert | Delete) or (isinstance(decision, Update | Mark) and decision.changed)
    }


def _settled(view: BoundView, offered: Offered, now_ms: int) -> Settled:
    event = offered.event
    after = None if isinstance(event, Why) else event.after
    return Settled(
        pseudonym=offered.pseudonym,
        partition=offered.partition,
        header=offered.header,
        payload=offered.payload,
        committed_at_ms=now_ms if isinstance(event, Why) else event.committed_at_ms,
        digest=None if after is None else view.element_of(offered.pseudonym, after),
    )
