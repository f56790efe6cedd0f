"""A deleted record is buried once, and a stream that ends in deletes stays the one that the authority knows."""

from structlog.testing import capture_logs

from contract.city import City, drive
from tellonce.control.messages import Order
from tellonce.kafka.reading import read_to_end
from tellonce.publish.graves import mark_graves
from tellonce.storage.database import writing


def nulls(city: City) -> list[tuple[int, str]]:
    """Partition and key of every null on the view's topic."""
    messages = read_to_end(city.kafka, city.topic)
    return sorted((m.partition() or 0, (m.key() or b"").decode()) for m in messages if m.value() is None)


def unpassed_graves(city: City) -> list[str]:
    """The keys of the nulls between which and their deletes nothing else stands."""
    found: list[str] = []
    messages = sorted(read_to_end(city.kafka, city.topic), key=lambda m: (m.partition() or 0, m.offset() or 0))
    for place, null in enumerate(messages):
        before = [m for m in messages[:place] if m.partition() == null.partition() and m.value() is not None]
        if null.value() is None and before[-1].key() == null.key():
            found.append((null.key() or b"").decode())
    return found


def order_burial(city: City) -> None:
    """Let everything that is deleted be buried, as an order of the reconciler does."""
    with writing(city.engines[city.names.registry]) as connection:
        for row in city.own_rows(city.names.registry, "stream"):
            order = Order(
                order_id=f"o{row['partition']}",
                view=city.names.view,
                partition=row["partition"],
                action="tombstones",
                reason="a test",
                by="reconciler",
                epoch=row["epoch"],
                up_to_sequence=row["staged_sequence"],
                at_ms=1,
            )
            mark_graves(connection, order)


def begun(city: City) -> City:
    """A city that has told of some residents and of the end of two."""
    city.begin_epoch()
    city.publish()
    city.add(1, 2, 3, 4)
    city.publish()
    city.execute(city.names.registry, "DELETE FROM resident WHERE resident_id IN (1, 2)")
    city.publish()
    return city


def test_each_delete_is_buried_once(city: City) -> None:
    """However often burying is ordered, a delete's null is sent once; a later delete of the record has its own."""
    begun(city)
    for _ in range(3):
        order_burial(city)
        city.publish()
    first = nulls(city)
    city.add(1)
    city.publish()
    city.execute(city.names.registry, "DELETE FROM resident WHERE resident_id = 1")
    city.publish()
    order_burial(city)
    city.publish()

    assert sorted(key for _, key in first) == sorted([city.pseudonym(1), city.pseudonym(2)])
    assert sorted(key for _, key in nulls(city)) == sorted([city.pseudonym(1), city.pseudonym(1), city.pseudonym(2)])


def test_stream_that_ends_in_a_delete_keeps_its_end(city: City) -> None:
    """Before the newest event is buried a marker follows it, so that the log's end is never what compaction removes."""
    begun(city)
    order_burial(city)

    with city.relay() as relay, capture_logs() as logs:
        drive(relay)

    buried = {(partition, key) for partition, key in nulls(city)}
    newest = {one.partition: one for one in city.log()}
    graves = {(partition, key) for partition, one in newest.items() for key in [one.key] if not one.is_marker}
    assert len(buried) == 2
    assert unpassed_graves(city) == []
    assert not buried & graves
    assert not [line for line in logs if line["event"] == "stream_stopped"]
    rows = city.own_rows(city.names.registry, "stream")
    ends = {one.partition: (one.header.epoch, one.header.sequence) for one in city.log()}
    assert {row["partition"]: (row["epoch"], row["confirmed_sequence"]) for row in rows} == ends
