"""What becomes of a record, from what its newest event says and what the store knows: pure, a record at a time.

The rules of rows are in `docs/architecture.md`; L1 to L10 are their names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tellonce.declare.codec import Raw
from tellonce.model.change import Value
from tellonce.model.divergence import Reason, RecordState
from tellonce.model.quick import quick
from tellonce.storage.subscriber.decisions import Decision, Delete, Insert, Mark, Park, Pass, Update, Why
from tellonce.storage.subscriber.facts import Candidate, Claim, Known, Link, Number, Rank, Row

__all__ = ["Terms", "Wanted", "decide"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a binding holds its records; `others_of` hashes the shared fields that are no identifier, "" if one lacks.

    `spelt` are the columns by field in which a value that is there already keeps its spelling.
    """

    is_mirror: bool
    rows: Literal["one", "many"]
    on_delete: Literal["keep", "mark", "delete"]
    others_of: Callable[[Mapping[str, Value]], str]
    mark: Mapping[str, Raw]
    unmark: Mapping[str, Raw]
    spelt: Mapping[str, str]


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A record as its newest event wants it: values by field and, encoded, by column; without the columns left alone.

    `numbers` are by hash what it answers to, `number` is the hash of the first identifier in force, `others` that of
    its other fields. `why` says what the event leaves to be done, where a column keeps what it cannot take, and
    `refused` why nothing of the event can be written.
    """

    is_delete: bool
    fields: Mapping[str, Value]
    values: Mapping[str, Raw]
    numbers: Mapping[str, Number]
    number: str
    others: str
    why: Why | None = None
    refused: Why | None = None
    """Why nothing of the event can be written."""


_REASSIGNED = Why(
    reason=Reason.ROW_REASSIGNED,
    detail="the row that was this record's holds another's number and other fields; a person must say whose it is",
)
_LOCKED = Why(reason=Reason.LOCKED, detail="another transaction holds the row")
_TAKEN = Why(reason=Reason.COLLISION, detail="the row is another record's")
_CONTESTED = Why(reason=Reason.AMBIGUOUS, detail="another record answers to the same number")
_TOO_EARLY = Why(reason=Reason.AWAITING_SNAPSHOT, detail="linked when every record of the epoch was read")


def decide(wanted: Wanted, known: Known, terms: Terms) -> Decision:
    """Gives what becomes of a record."""
    if wanted.refused is not None or known.is_locked:
        return Park(why=wanted.refused or _LOCKED)
    there = [link for link in known.links if link.row is not None]
    answering = [link for link in there if _answers(link, wanted, known, terms)]
    # L1: an open row that answers to nothing of the record's is somebody else's by now.
    is_reassigned = any(_is_open(link) for link in there if link not in answering)
    if wanted.is_delete:
        return _end([link for link in answering if _is_open(link)], known, terms, is_reassigned=is_reassigned)
    # L3: a closed row is written only if the record's own delete has closed it, and the binding says how it opens.
    own = [link for link in answering if _is_open(link) or (link.is_ended and terms.unmark)]
    if is_reassigned:
        return _update(wanted, terms, own, [], _REASSIGNED) if own else Park(why=_REASSIGNED)
    found, doubt = _weigh(wanted, known, terms, own)
    rows = [row for link in own if (row := link.row) is not None]
    if doubt is None and found and terms.rows == "one" and len(rows) + len(found) > 1:
        doubt = Why(reason=Reason.AMBIGUOUS, detail=f"{len(rows) + len(found)} rows hold the number")
        found = []
    if own or (found and doubt is None):
        # L2: while it is not known which of several rows is meant, the one that is linked goes on being written.
        return _update(wanted, terms, own, found, doubt)
    if doubt is not None:
        return Park(why=doubt)
    return _without_row(wanted, known, terms, has_closed=bool(there))


def _without_row(wanted: Wanted, known: Known, terms: Terms, *, has_closed: bool) -> Decision:
    if has_closed:
        return Pass(state=RecordState.OUT_OF_SCOPE)
    if terms.is_mirror:
        return Insert(values=wanted.values, why=wanted.why)
    was_closed = known.entry is not None and known.entry.state is RecordState.OUT_OF_SCOPE
    # A row that was open when it was last seen, and is gone though nothing was deleted, is missing.
    return Pass(state=RecordState.HELD if known.links and not was_closed else RecordState.OUT_OF_SCOPE)


def _end(targets: Sequence[Link], known: Known, terms: Terms, *, is_reassigned: bool) -> Decision:
    if terms.on_delete == "keep":
        return Pass(state=RecordState.DELETED, unlinks=True)
    if is_reassigned and not targets:
        return Park(why=_REASSIGNED)
    if not targets:
        # L3: what is closed stays as it is; a mark of an earlier delete stays known, to be taken back.
        return Pass(state=RecordState.DELETED, unlinks=not any(link.is_ended for link in known.links))
    keys = [link.key for link in targets]
    if terms.on_delete == "delete":
        return Delete(rows=tuple(keys))
    equal = {link.key for link in targets if link.row is not None and link.row.is_marked}
    return Mark(
        changed=tuple(key for key in keys if key not in equal),
        equal=tuple(key for key in keys if key in equal),
        values=terms.mark,
    )


def _update(wanted: Wanted, terms: Terms, own: Sequence[Link], found: Sequence[Row], doubt: Why | None) -> Update:
    rows = [*(link.row for link in own if link.row is not None), *found]
    ended = {link.key for link in own if link.is_ended and link.row is not None and link.row.is_marked}
    # L8: what holds the event's values already is not written.
    changed = [row for row in rows if row.key in ended or not _equals(row, wanted.fields)]
    same = {name for name in wanted.fields if all(_holds(row, name, wanted.fields[name]) for row in changed)}
    left = {column for name, column in terms.spelt.items() if name in same}
    values = {column: raw for column, raw in wanted.values.items() if column not in left}
    return Update(
        changed=tuple(row.key for row in changed),
        equal=tuple(row.key for row in rows if row not in changed),
        values={**values, **(terms.unmark if ended else {})},
        why=doubt or wanted.why,
    )


def _weigh(wanted: Wanted, known: Known, terms: Terms, own: Sequence[Link]) -> tuple[list[Row], Why | None]:
    """Gives the rows found that are the record's, and what is in doubt about others."""
    linked = {link.key for link in own}
    around = [(each, _rank(each, wanted)) for each in known.candidates if each.row.key not in linked]
    # L6: a row with the other fields of somebody who answers to it as well is nobody's own before that is decided.
    loose = (each.row for each, _ in around if not _fits_a_rival(each, wanted, terms))
    rows = [*(link.row for link in own if link.row is not None), *loose]
    in_force = {each for each, number in wanted.numbers.items() if number.rank is Rank.IN_FORCE}
    has_own_row = any(row.is_open and row.numbers & in_force for row in rows)
    found: list[Row] = []
    doubt: Why | None = None
    for candidate, rank in around:
        verdict = _whose(candidate, rank, wanted, known, terms, has_own_row=has_own_row)
        if verdict == "mine":
            found.append(candidate.row)
        elif verdict != "another's":
            doubt = verdict
    return found, doubt


def _whose(
    candidate: Candidate, rank: Rank, wanted: Wanted, known: Known, terms: Terms, *, has_own_row: bool
) -> Literal["mine", "another's"] | Why:
    others = terms.others_of(candidate.row.fields)
    owner = next((rival for rival in candidate.rivals if rival.pseudonym == candidate.owner), None)
    if candidate.owner is not None and owner is None:
        return _TAKEN
    if owner is not None and owner.rank is Rank.IN_FORCE and rank is Rank.EARLIER:
        return "another's"
    rivals = [rival for rival in candidate.rivals if rival is owner or not _is_settled(rival)]
    if rivals and has_own_row and rank is Rank.EARLIER:
        # L6: who has a row under the number in force claims no other by an earlier one.
        return "another's"
    if rivals:
        # L6: where the other fields are those of exactly one who claims the row, it is that one's.
        equal = [rival for rival in rivals if others and rival.others == others]
        is_mine = bool(others) and others == wanted.others
        if is_mine == bool(equal):
            return _CONTESTED
        if equal:
            return "another's" if len(equal) == 1 else _CONTESTED
    # Until every record of the epoch was read, one that is not known yet may have the better claim.
    is_sure = rank is Rank.IN_FORCE and _equals(candidate.row, wanted.fields)
    return "mine" if known.is_complete or is_sure else _TOO_EARLY


def _fits_a_rival(candidate: Candidate, wanted: Wanted, terms: Terms) -> bool:
    others = terms.others_of(candidate.row.fields)
    return bool(others) and others != wanted.others and any(rival.others == others for rival in candidate.rivals)


def _is_settled(rival: Claim) -> bool:
    return rival.rank is Rank.EARLIER and rival.has_own_row


def _rank(candidate: Candidate, wanted: Wanted) -> Rank:
    ranks = {wanted.numbers[each].rank for each in candidate.row.numbers if each in wanted.numbers}
    return Rank.IN_FORCE if Rank.IN_FORCE in ranks else Rank.EARLIER


def _answers(link: Link, wanted: Wanted, known: Known, terms: Terms) -> bool:
    row = link.row
    if row is None:
        return False
    numbers = {*wanted.numbers, *known.claims, link.number}
    if not link.by_person and _is_anothers_by_now(link, row, wanted, terms):
        return False
    return (
        link.by_person
        or bool(row.numbers & numbers)
        or bool(link.others and terms.others_of(row.fields) == link.others)
    )


def _is_anothers_by_now(link: Link, row: Row, wanted: Wanted, terms: Terms) -> bool:
    """Tells whether a row that was the record's has been given what somebody else answers to (L6).

    That is the other one's number with all other fields, or with any where nothing is as it was last written.
    """
    others = terms.others_of(row.fields)
    if others in ("", wanted.others, link.others):
        return False
    return any(rival.others == others or link.number not in row.numbers for rival in link.rivals)


def _is_open(link: Link) -> bool:
    return link.row is not None and link.row.is_open


def _equals(row: Row, fields: Mapping[str, Value]) -> bool:
    return all(_holds(row, name, value) for name, value in fields.items())


def _holds(row: Row, name: str, value: Value) -> bool:
    return name in row.fields and row.fields[name] == value and type(row.fields[name]) is type(value)
