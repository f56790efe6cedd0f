"""What the facts of one record's way say: how each hop stands, and which link is the first that is missing."""

from dataclasses import replace
from typing import Any

import pytest

from tellonce.cli.tracing import (
    Difference,
    Event,
    Ledger,
    Log,
    Origin,
    Passage,
    Record,
    Seal,
    Statement,
    Subscriber,
    first_missing,
    hops_of,
    sentence_of,
)
from tellonce.model.divergence import DivergenceKind, DivergenceState, RecordState

EVENT = Event(epoch=7, version=3, sequence=20, offset=41, settled=19, at_ms=1_000)
ORIGIN = Origin(
    is_in_table=True, stream_epoch=7, confirmed_sequence=20, published=Event(epoch=7, version=3, sequence=20)
)
LEDGER = Ledger(state=RecordState.HELD, epoch=7, version=3, applied_at_ms=2_000)
STATEMENT = Statement(epoch=7, sequence=20, at_ms=3_000)
OPEN = Difference(divergence_id="d1", kind=DivergenceKind.ALTERED, state=DivergenceState.OPEN)
FUND, CLINIC = Subscriber(department="fund", statement=STATEMENT), Subscriber(department="clinic", ledger=LEDGER)
WELL = Record(
    view="person.identity",
    record_type="person",
    authority="registry",
    pseudonym="a" * 32,
    partition=1,
    log=Log(newest=EVENT, seal=Seal.CHECKED),
    origin=ORIGIN,
    subscribers=(FUND, CLINIC),
)
UNSTATED = replace(FUND, statement=None)
AWAY = replace(FUND, statement=None, trouble="closed")


def with_origin(**facts: Any) -> Record:
    """All is well, but for this at the authority."""
    return replace(WELL, origin=replace(ORIGIN, **facts))


def with_log(**facts: Any) -> Record:
    """All is well, but for this in the topic."""
    return replace(WELL, log=replace(WELL.log, **facts))


def with_fund(**facts: Any) -> Record:
    """All is well, but for this that the topics say of the fund."""
    return replace(WELL, subscribers=(replace(FUND, **facts), CLINIC))


def with_ledger(**facts: Any) -> Record:
    """All is well, but for this in the clinic's database."""
    return replace(WELL, subscribers=(FUND, replace(CLINIC, ledger=replace(LEDGER, **facts))))


def differing(kind: DivergenceKind, state: DivergenceState = DivergenceState.OPEN) -> Record:
    """All is well, but for such a divergence at the fund."""
    return with_fund(difference=replace(OPEN, kind=kind, state=state))


def elsewhere(record: Record) -> Record:
    """The same, seen from where the authority's database is not."""
    return replace(record, origin=None)


def test_record_that_has_arrived() -> None:
    """Every hop has passed, in the order of the way, and nothing is missing."""
    hops = hops_of(WELL)

    assert [(hop.hop, hop.department) for hop in hops] == [
        ("authority", "registry"),
        ("topic of", "registry"),
        ("subscriber", "fund"),
        ("subscriber", "clinic"),
    ]
    assert {hop.stands for hop in hops} == {Passage.PASSED}
    assert first_missing(hops) is None
    assert sentence_of(None).startswith("nothing is missing")
    assert (hops[1].offset, hops[1].settled, hops[1].seal, hops[3].version) == (41, 19, Seal.CHECKED, 3)


@pytest.mark.parametrize(
    ("record", "hop", "stands", "todo"),
    [
        (
            with_origin(is_in_table=False, published=None),
            "authority",
            "missing",
            "compare the identifier or pseudonym",
        ),
        (with_origin(unpublished="cannot_encode"), "authority", "missing", "tellonce unpublished registry"),
        (with_origin(is_stopped=True), "authority", "missing", "tellonce resync person, if the relay's log says so"),
        (with_origin(stream_epoch=0, published=None), "authority", "missing", "tellonce snapshot registry"),
        (with_origin(waiting_since_ms=5), "authority", "missing", "tellonce relay registry"),
        (with_origin(published=None), "authority", "missing", "tellonce relay registry"),
        (with_origin(stream_epoch=8, confirmed_sequence=0), "authority", "missing", "tellonce relay registry"),
        (with_origin(confirmed_sequence=19), "authority", "missing", "tellonce relay registry"),
        (
            with_log(trouble="closed"),
            "topic of",
            "unknown",
            "tellonce trace person --department registry on its host",
        ),
        (with_log(newest=None), "topic of", "missing", "tellonce relay registry"),
        (
            elsewhere(with_log(newest=None)),
            "topic of",
            "missing",
            "tellonce trace person --department registry on its host",
        ),
        (with_log(newest=None, refused=2), "topic of", "missing", "tellonce doctor registry"),
        (with_log(newest=replace(EVENT, sequence=12)), "topic of", "missing", "tellonce relay registry"),
        (with_fund(statement=None), "fund", "missing", "tellonce status"),
        (with_fund(statement=replace(STATEMENT, sequence=19)), "fund", "missing", "tellonce status"),
        (with_fund(statement=replace(STATEMENT, epoch=6, sequence=99)), "fund", "missing", "tellonce status"),
        (
            with_fund(statement=None, trouble="closed"),
            "fund",
            "unknown",
            "tellonce trace person --department fund on its host",
        ),
        (
            with_fund(statement=replace(STATEMENT, unnamed=1)),
            "fund",
            "unknown",
            "tellonce parked list --view person.identity",
        ),
        (differing(DivergenceKind.ALTERED), "fund", "differs", "tellonce repair d1"),
        (differing(DivergenceKind.PARKED), "fund", "differs", "tellonce parked list --view person.identity"),
        (differing(DivergenceKind.UNPUBLISHED), "fund", "differs", "tellonce unpublished registry"),
        (
            differing(DivergenceKind.STALE, DivergenceState.REPAIRING),
            "fund",
            "differs",
            "tellonce divergences",
        ),
        (
            with_ledger(is_stopped=True),
            "clinic",
            "missing",
            "tellonce reread clinic person.identity, if its log says so",
        ),
        (with_ledger(state=None, epoch=0, version=0), "clinic", "missing", "tellonce consume clinic"),
        (with_ledger(version=2), "clinic", "missing", "tellonce consume clinic"),
        (with_ledger(epoch=6, version=9), "clinic", "missing", "tellonce consume clinic"),
        (
            with_ledger(version=2, parked="locked"),
            "clinic",
            "missing",
            "tellonce parked list --view person.identity",
        ),
    ],
)
def test_each_fact_that_is_wrong_is_the_first_missing_link(record: Record, hop: str, stands: str, todo: str) -> None:
    """The one fact alone decides which hop is named, how it stands, and what is run next."""
    missing = first_missing(hops_of(record))

    assert missing is not None
    assert hop in {missing.hop, missing.department}
    assert (missing.stands.value, missing.todo) == (stands, todo)
    assert missing.says in sentence_of(missing)
    assert sentence_of(missing).endswith(todo)


@pytest.mark.parametrize(
    "record",
    [
        with_fund(statement=replace(STATEMENT, epoch=8, sequence=1)),
        with_ledger(state=RecordState.OUT_OF_SCOPE),
        with_ledger(version=4),
        with_origin(is_deleted=True, stream_epoch=8, confirmed_sequence=0),
        elsewhere(WELL),
    ],
)
def test_what_is_as_it_should_be_is_not_missing(record: Record) -> None:
    """A newer epoch or version, a record out of scope, and a delete of an earlier epoch have passed."""
    assert first_missing(hops_of(record)) is None


def test_deleted_record_that_compaction_forgot() -> None:
    """Its topic holds nothing, and that is no missing link."""
    record = replace(with_origin(is_deleted=True), log=Log())

    assert hops_of(record)[1].stands is Passage.PASSED


def test_first_on_the_way_is_named_and_what_is_missing_before_what_is_unknown() -> None:
    """A hop that nobody here can tell of does not hide a later one that is known to be missing."""
    stale = replace(CLINIC, ledger=replace(LEDGER, version=1))
    unknown_first = first_missing(hops_of(replace(WELL, subscribers=(AWAY, stale))))
    both = first_missing(hops_of(replace(WELL, subscribers=(UNSTATED, stale))))

    assert unknown_first is not None
    assert both is not None
    assert (unknown_first.department, both.department) == ("clinic", "fund")


def test_nothing_published_is_not_applied() -> None:
    """Where no event is known, no department's statement counts as having passed it."""
    record = elsewhere(replace(WELL, log=Log(), subscribers=(FUND,)))

    assert [hop.stands.value for hop in hops_of(record)] == ["missing", "unknown"]


def test_department_whose_database_is_at_hand_needs_no_statement() -> None:
    """Its own user may read no divergences: the change has arrived all the same, and what is not known is said."""
    here = replace(CLINIC, trouble="closed")

    hops = hops_of(replace(WELL, subscribers=(here,)))
    behind = hops_of(replace(WELL, subscribers=(replace(here, ledger=replace(LEDGER, version=2)),)))

    assert (hops[-1].stands, hops[-1].todo) == (Passage.PASSED, "")
    assert hops[-1].says == "held; whether it differs is not known here: closed"
    assert first_missing(hops) is None
    assert behind[-1].stands is Passage.MISSING
