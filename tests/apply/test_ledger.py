"""What a store tells and keeps of our own tables alone, on every store."""

from dataclasses import replace
from typing import Literal

import pytest

from apply.bench import Bench, MakeBench, Shape
from contract.forms import id_number
from tellonce.apply.answers import answer_inquiry
from tellonce.control.messages import Answer, Inquiry
from tellonce.model.digest import from_hex
from tellonce.model.divergence import Reason, RecordState
from tellonce.model.errors import RetryableError
from tellonce.model.incoming import Incoming

A, B = id_number(1), id_number(2)


def due(bench: Bench) -> list[Incoming]:
    """The events that are to be tried now."""
    with bench.store.ledger() as ledger:
        return [incoming for some in ledger.due(1).values() for incoming in some]


def ask(bench: Bench, what: Literal["buckets", "records"], partition: int = 0) -> Answer | None:
    """Ask what the department holds of a stream."""
    inquiry = Inquiry(
        view=bench.view.name,
        partition=partition,
        inquiry_id="i",
        departments=("clinic",),
        ask=what,
        at_ms=0,
    )
    return answer_inquiry(bench.subscribed(), inquiry)


def test_record_that_waits_for_the_snapshot_is_due_at_its_end_as_it_came(bench: Bench) -> None:
    """Nothing else wakes it, and it is tried with the bytes and the place that it came with."""
    bench.row(A, "Other")
    event = replace(bench.event(1, A), payload=b"as it came")
    bench.apply(event, is_complete=False)
    before = due(bench)

    bench.be_complete(is_complete=True)

    assert bench.reason(1) is Reason.AWAITING_SNAPSHOT
    assert before == []
    (found,) = due(bench)
    assert (found.pseudonym, found.payload, found.order) == (bench.name(1), b"as it came", (1, 1, 1))


def test_records_that_want_each_others_values_are_due_together(bench_of: MakeBench) -> None:
    """However far apart they parked: alone neither gets what the other has."""
    bench = bench_of(Shape(scope="mirror", is_unique=True))
    bench.apply(bench.event(1, A), bench.event(2, B))
    bench.apply(bench.event(1, B))
    before = due(bench)
    bench.apply(bench.event(2, A))

    with bench.store.transaction() as transaction:
        transaction.hasten([bench.name(2)])

    assert before == []
    assert {incoming.pseudonym for incoming in due(bench)} == {bench.name(1), bench.name(2)}


def test_partition_that_somebody_added_is_not_waited_for(bench: Bench) -> None:
    """The topology says how many streams a view has, and not the broker."""
    bench.row(A, "Other")
    with bench.store.transaction() as transaction:
        transaction.lock_stream(1)

    bench.apply(bench.event(1, A))

    assert bench.reason(1) is None
    assert bench.names() == {A: "Wang"}


def test_record_that_is_not_tried_by_itself_is_due_when_it_is_hastened(bench: Bench) -> None:
    """What it met has changed; and it is due no more once it was tried."""
    for _ in range(2):
        bench.row(A)
    event = bench.event(1, A)
    bench.apply(event)
    before = due(bench)

    with bench.store.transaction() as transaction:
        transaction.hasten([bench.name(1), bench.name(2)])
    hastened = due(bench)
    bench.apply(event)

    assert before == []
    assert [each.pseudonym for each in hastened] == [bench.name(1)]
    assert due(bench) == []


def test_stream_is_stopped_and_goes_on(bench: Bench) -> None:
    """The sentence is kept until it is taken away."""
    bench.store.stop(0, "the log begins behind the place reached")
    stopped = bench.store.stream(0).stopped

    bench.store.stop(0, None)

    assert stopped == "the log begins behind the place reached"
    assert bench.store.stream(0).stopped is None


def test_stream_that_was_never_read_is_nobodys_to_speak_of(bench: Bench) -> None:
    """A department that has not begun to read says nothing, and not that it holds nothing."""
    before = ask(bench, "buckets", partition=7)

    bench.store.stream(7)

    answer = ask(bench, "buckets", partition=7)
    assert before is None
    assert answer is not None
    assert answer.buckets == ()


def test_answer_is_what_the_stream_holds(bench: Bench) -> None:
    """The sums of the buckets are the stream's, and each record is told with how it stands and why."""
    bench.row(A)
    for _ in range(2):
        bench.row(B)
    bench.apply(bench.event(1, A), bench.event(2, B))

    sums, records = ask(bench, "buckets"), ask(bench, "records")

    assert sums is not None
    assert records is not None
    (bucket,) = sums.buckets
    assert (from_hex(bucket.sum), bucket.count) == (bench.stream().sum, 1)
    told = {each.pseudonym: (each.state, each.reason) for each in records.records}
    assert told == {
        bench.name(1): (RecordState.HELD, None),
        bench.name(2): (RecordState.AMBIGUOUS, Reason.AMBIGUOUS),
    }


def test_what_is_wanted_has_come_only_with_its_transaction(bench: Bench) -> None:
    """A rolled back batch leaves the want, or the repair would be passed over when it is read again."""
    name = bench.name(1)
    bench.department.want(bench.view.name, 1, [name])

    with pytest.raises(RetryableError), bench.store.transaction() as transaction:
        transaction.came([name])
        raise RetryableError("the database is away")
    with bench.store.transaction() as transaction:
        wanted = transaction.wanted([name, bench.name(2)])
        transaction.came([name])
    with bench.store.transaction() as transaction:
        left = transaction.wanted([name])

    assert (wanted, left) == (frozenset([name]), frozenset())
