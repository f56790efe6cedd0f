"""Deciding what each newest event asks of the department's table, before anything is written.

A record's row is found by its link; without one, by the match rules in their order.
A row found by an earlier or a derived number is linked only if no other record answers to that number, and only once
the epoch's snapshot was read to its end, because until then the other record may not have been seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import Connection

from tellonce.apply.incoming import Incoming, decode_incoming
from tellonce.apply.repairs import end_repairs, wanted_repairs
from tellonce.apply.subscription import SubscribedView
from tellonce.avro import UnknownSchemaError
from tellonce.avro.catalogue import Catalogue
from tellonce.declare import CannotHold, Current, Mirror, Raw
from tellonce.model.change import ChangeEvent, Fields, Operation, Origin
from tellonce.model.divergence import Reason, RecordState
from tellonce.model.errors import PoisonMessageError
from tellonce.storage.bound_table import RowKey
from tellonce.storage.ledger import Ledger
from tellonce.storage.subscriber.entries import Entry

__all__ = ["Decision", "Reason", "plan_batch"]

Action = Literal["none", "update", "insert", "delete"]


@dataclass(slots=True, kw_only=True)
class Decision:
    """What shall become of one record.

    `rows` are the rows to write, `links` the rows it is linked to afterwards (None: as before).
    `reason` and `detail` say why it is parked, if it is; a record may be written and stay listed.
    `is_settled` says that nothing of it shall be written.
    """

    incoming: Incoming
    old: Entry | None
    event: ChangeEvent | None = None
    action: Action = "none"
    state: RecordState = RecordState.HELD
    rows: list[RowKey] = field(default_factory=list[RowKey])
    links: list[RowKey] | None = None
    hashes: frozenset[str] | None = None
    values: dict[str, Raw] = field(default_factory=dict[str, Raw])
    event_digest: int | None = None
    reason: Reason | None = None
    detail: str = ""
    is_settled: bool = False

    @property
    def after(self) -> Fields:
        """The fields after the change."""
        return (self.event.after if self.event else None) or {}

    def park(self, reason: Reason, detail: str, state: RecordState = RecordState.PARKED) -> None:
        """Leaves the department's table as it is for this record, and says why."""
        self.action, self.state, self.reason, self.detail = "none", state, reason, detail
        self.is_settled = True


def plan_batch(
    connection: Connection,
    subscribed: SubscribedView,
    catalogue: Catalogue,
    incoming: Sequence[Incoming],
    *,
    is_retry: bool = False,
) -> tuple[list[Decision], int]:
    """Gives a decision per record whose event is to be applied, and how many events were superseded already.

    Nothing is written but match hashes and that no repair is wanted any more. An event of the ledger's own version
    counts as new where it is a repair that this department wants, and with `is_retry`.
    """
    ledger = Ledger(connection, subscribed.name)
    pseudonyms = [item.pseudonym for item in incoming]
    entries = ledger.entries(pseudonyms)
    wanted = wanted_repairs(connection, subscribed.name, pseudonyms)
    decisions: list[Decision] = []
    for item in incoming:
        old = entries.get(item.pseudonym)
        known = (old.epoch, old.version) if old else (0, -1)
        offered = (item.header.epoch, item.header.version)
        if offered < known:
            continue
        decision = Decision(incoming=item, old=old)
        try:
            decision.event = decode_incoming(subscribed, catalogue, item)
        except UnknownSchemaError as error:
            # Tried again: the next release of the contract may know it.
            decision.park(Reason.UNKNOWN_SCHEMA, str(error))
        except PoisonMessageError as error:
            decision.park(Reason.UNDECODABLE, str(error))
        is_repair = decision.event is not None and decision.event.origin == Origin.REPAIR
        if offered == known and not is_retry and not (is_repair and item.pseudonym in wanted):
            continue
        decisions.append(decision)
    if not is_retry:
        end_repairs(connection, subscribed.name, wanted & {one.incoming.pseudonym for one in decisions})
    _plan_values(subscribed, decisions)
    _plan_rows(connection, ledger, subscribed, decisions)
    return decisions, len(incoming) - len(decisions)


def _plan_values(subscribed: SubscribedView, decisions: Sequence[Decision]) -> None:
    for decision in decisions:
        event = decision.event
        if event is None:
            continue
        if event.op is Operation.DELETE or event.after is None:
            decision.state, decision.action = RecordState.DELETED, "delete"
            continue
        decision.event_digest = subscribed.element_of(event.record_key, event.after)
        for column in subscribed.table.columns:
            try:
                decision.values[column.column] = column.encode(event.after[column.field])
            except CannotHold as error:
                decision.reason, decision.detail = Reason.CANNOT_HOLD, str(error)
                if not column.else_keep:
                    decision.park(Reason.CANNOT_HOLD, str(error))
                    break
                decision.state = RecordState.PARKED


def _plan_rows(
    connection: Connection, ledger: Ledger, subscribed: SubscribedView, decisions: Sequence[Decision]
) -> None:
    links = ledger.links([decision.incoming.pseudonym for decision in decisions])
    linked = [key for keys in links.values() for key in keys]
    is_open = subscribed.table.probe(connection, linked, lock=False)
    unlinked: list[Decision] = []
    for decision in decisions:
        keys = links.get(decision.incoming.pseudonym, [])
        there = [key for key in keys if key in is_open]
        if decision.is_settled:
            continue
        if decision.action == "delete":
            decision.rows, decision.links, decision.hashes = there, [], frozenset()
        elif not there:
            unlinked.append(decision)
        elif any(is_open[key] for key in there):
            decision.rows = [key for key in there if is_open[key]]
            decision.action = "update"
        else:
            decision.state, decision.reason = RecordState.OUT_OF_SCOPE, None
    _Matcher(connection, ledger, subscribed).match(unlinked, links)


class _Matcher:
    """Finds the rows of records that have none yet."""

    def __init__(self, connection: Connection, ledger: Ledger, subscribed: SubscribedView) -> None:
        self._connection = connection
        self._ledger = ledger
        self._subscribed = subscribed
        self._binding = subscribed.binding

    def match(self, decisions: Sequence[Decision], links: Mapping[str, Sequence[RowKey]]) -> None:
        if not decisions:
            return
        for decision in decisions:
            decision.hashes = self._hashes(decision.after)
        self._ledger.save_hashes({d.incoming.pseudonym: d.hashes or frozenset() for d in decisions})
        left = list(decisions)
        for rule in self._binding.match:
            found = self._subscribed.table.find(
                self._connection, rule.identifier, [v for d in left for v in rule.local_values(d.after)]
            )
            hits = [(d, [v for v in rule.local_values(d.after) if v in found]) for d in left]
            self._link(
                [(d, values, list(dict.fromkeys(k for v in values for k in found[v]))) for d, values in hits if values],
                is_certain=isinstance(rule, Current),
            )
            left = [d for d, values in hits if not values]
        for decision in left:
            self._without_row(decision, was_linked=bool(links.get(decision.incoming.pseudonym)))

    def _hashes(self, fields: Fields) -> frozenset[str]:
        return self._subscribed.match_hashes(v for rule in self._binding.match for v in rule.local_values(fields))

    def _link(self, hits: Sequence[tuple[Decision, list[str], list[RowKey]]], *, is_certain: bool) -> None:
        if not hits:
            return
        taken = self._ledger.linked_to([key for _, _, keys in hits for key in keys])
        by_value: dict[str, str] = {}
        sharing: dict[str, set[str]] = {}
        if not is_certain:
            for value in {v for _, values, _ in hits for v in values}:
                (by_value[value],) = self._subscribed.match_hashes([value])
            sharing = self._ledger.sharing(list(by_value.values()))
        is_complete = is_certain or self._ledger.is_complete(self._subscribed.view.partitions)
        claimed: set[RowKey] = set()
        for decision, values, keys in hits:
            me = decision.incoming.pseudonym
            others = {p for v in values for p in sharing.get(by_value.get(v, ""), ())} - {me}
            if others:
                decision.park(Reason.AMBIGUOUS, "another record answers to the same number", RecordState.AMBIGUOUS)
            elif len(keys) > 1 and self._binding.rows == "one":
                decision.park(Reason.AMBIGUOUS, f"{len(keys)} rows hold the number", RecordState.AMBIGUOUS)
            elif any(taken.get(key, me) != me or key in claimed for key in keys):
                decision.park(Reason.COLLISION, "the row is another record's")
            elif not is_complete:
                decision.park(Reason.AWAITING_SNAPSHOT, "linked when every record of the epoch was read")
            else:
                claimed.update(keys)
                decision.rows = decision.links = keys
                decision.action = "update"

    def _without_row(self, decision: Decision, *, was_linked: bool) -> None:
        if isinstance(self._binding.scope, Mirror):
            decision.action = "insert"
        elif was_linked:
            # It was in scope, nothing says that its file was closed, and its row is gone: the record is missing.
            decision.state = RecordState.HELD
        else:
            decision.state, decision.reason = RecordState.OUT_OF_SCOPE, None
