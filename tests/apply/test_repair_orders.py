"""What a department has repaired for itself: asked for, ordered, kept until it comes, and never for another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from sqlalchemy import Engine

from owntables import make_own_tables
from reconcile.builders import FUND, HEALTH, city, pseudonym
from tellonce.apply.repair_orders import RepairOrders
from tellonce.control.messages import Order, RepairRequest, decode_message
from tellonce.model.errors import RetryableError
from tellonce.model.partitioning import partition_of
from tellonce.storage.database import open_database, writing
from tellonce.storage.ledger import Ledger
from tellonce.storage.stores import department_store
from tellonce.storage.subscriber.department import DepartmentStore
from tellonce.storage.tables import own_tables
from tellonce.testing.channel import MemoryTopics
from tellonce.testing.repairs import MemoryDepartment
from tellonce.topology import View
from tellonce.topology.topics import orders, repairs

HOUR_MS = 60 * 60 * 1000


class SqlBooks:
    """What is wanted, in a database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.store: DepartmentStore = department_store(engine)

    def wanted(self, view: str, pseudonyms: Sequence[str]) -> frozenset[str]:
        """Those of these records that are wanted still."""
        with writing(self.engine) as connection:
            return Ledger(connection, view).wanted(pseudonyms)

    def came(self, view: str, pseudonym: str) -> None:
        """A record's event comes."""
        with writing(self.engine) as connection:
            Ledger(connection, view).came([pseudonym])

    def age(self, milliseconds: int) -> None:
        """Let everything wanted have been so for longer."""
        table = own_tables(self.engine.dialect.name).repair
        columns = {name: table.c[name] - milliseconds for name in ("wanted_at_ms", "order_at_ms")}
        with writing(self.engine) as connection:
            connection.execute(table.update().values(columns))


class MemoryBooks:
    """What is wanted, in memory."""

    def __init__(self) -> None:
        self.store = MemoryDepartment()

    def wanted(self, view: str, pseudonyms: Sequence[str]) -> frozenset[str]:
        """Those of these records that are wanted still."""
        return frozenset(name for name in pseudonyms if (view, name) in self.store.wants)

    def came(self, view: str, pseudonym: str) -> None:
        """A record's event comes."""
        del self.store.wants[view, pseudonym]

    def age(self, milliseconds: int) -> None:
        """Let everything wanted have been so for longer."""
        self.store.now_ms += milliseconds


Books = SqlBooks | MemoryBooks


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def books(request: pytest.FixtureRequest) -> Iterator[Books]:
    """A department's own tables, in each store."""
    if request.param == "memory":
        yield MemoryBooks()
        return
    engine = open_database(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_database"))
    make_own_tables(engine)
    yield SqlBooks(engine)
    engine.dispose()


@dataclass
class Desk:
    """One department's requests and orders, over topics in memory."""

    books: Books
    view: View = field(default_factory=lambda: next(iter(city(partitions=2, repair_cap=3).views())))
    topics: MemoryTopics = field(default_factory=MemoryTopics)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start the applier's part anew: it knows what the database knows."""
        channel = self.topics.channel(FUND)
        self.orders = RepairOrders(
            FUND, self.books.store, {self.view.name: self.view}, channel, monotonic=lambda: self.now
        )

    def ask(self, *numbers: int, department: str = FUND, topic: str = FUND, view: str | None = None) -> None:
        """Let the reconciler ask for records."""
        asked = RepairRequest(
            view=view or self.view.name,
            partition=0,
            order_id="o-1",
            department=department,
            pseudonyms=tuple(map(pseudonym, numbers)),
            by="reconciler",
            reason="policy",
            at_ms=1,
        )
        self.topics.append(repairs(topic), asked.model_dump_json().encode())

    def turn(self, *partitions: int) -> None:
        """Hear what was asked, and order what is due of these streams, of both where none is named."""
        self.orders.take_requests()
        self.orders.give([(self.view.name, number) for number in partitions or (0, 1)])

    def ordered(self) -> list[str]:
        """The records that were ordered, in the order of the orders."""
        given = [decode_message(Order, value) for value in self.topics.of(orders(FUND))]
        for one in given:
            assert one.action == "repair"
            assert {partition_of(each.encode(), 2) for each in one.pseudonyms} == {one.partition}
        return [each for one in given for each in one.pseudonyms]

    def wanted(self, *numbers: int) -> set[str]:
        """Those of these records that are wanted still."""
        return set(self.books.wanted(self.view.name, list(map(pseudonym, numbers))))

    def age(self, milliseconds: int) -> None:
        """Let everything wanted have been so for longer."""
        self.books.age(milliseconds)
        self.now += milliseconds / 1000


def names(*numbers: int) -> list[str]:
    """The pseudonyms of these records, sorted."""
    return sorted(map(pseudonym, numbers))


def test_what_the_reconciler_asks_for_is_ordered_once(books: Books) -> None:
    """The records are wanted until their events come, and their order is not given every turn."""
    desk = Desk(books)
    desk.ask(1, 2)
    desk.ask(2)

    for _ in range(3):
        desk.turn()
        desk.now += 100

    assert sorted(desk.ordered()) == names(1, 2)
    assert desk.wanted(1, 2, 3) == {*names(1, 2)}


@pytest.mark.parametrize(
    "asked", [{"department": HEALTH}, {"department": HEALTH, "topic": HEALTH}, {"view": "nobody.knows"}]
)
def test_what_is_not_this_departments_is_not_ordered(books: Books, asked: dict[str, str]) -> None:
    """Another's request, wherever it stands, and one about a view that is not subscribed to."""
    desk = Desk(books)
    desk.ask(1, **asked)

    desk.turn()

    assert desk.ordered() == []


def test_order_that_did_not_arrive_is_given_again(books: Books) -> None:
    """What was not acknowledged does not count as ordered."""
    desk = Desk(books)
    desk.ask(1)
    desk.orders.take_requests()
    desk.topics.failures = 1
    with pytest.raises(RetryableError):
        desk.turn()
    desk.now += 100

    desk.turn()

    assert desk.ordered() == names(1)


def test_request_is_neither_lost_nor_repeated_by_a_restart(books: Books) -> None:
    """What was heard is in the database before its place moves, and what was ordered stays so."""
    desk = Desk(books)
    desk.ask(1)
    desk.orders.take_requests()
    desk.start()
    desk.turn()
    desk.ask(2)
    desk.start()

    desk.turn()

    assert desk.ordered() == [*names(1), *names(2)]


def test_no_more_is_ordered_in_a_round_than_the_cap_and_the_rest_follows(books: Books) -> None:
    """An authority that has had enough refuses the rest, so nobody asks for more than it will give."""
    desk = Desk(books)
    desk.ask(*range(8))
    counts: list[int] = []

    for _ in range(4):
        desk.turn()
        desk.turn()
        counts.append(len(desk.ordered()))
        desk.now += 76

    assert counts == [3, 6, 8, 8]
    assert sorted(desk.ordered()) == names(*range(8))


def test_order_is_given_again_where_nothing_came_and_not_for_ever(books: Books) -> None:
    """An order or its event may be lost; and a record that its authority does not know never comes."""
    desk = Desk(books)
    desk.ask(1)
    desk.turn()

    desk.age(11 * 60 * 1000)
    desk.turn()
    again = desk.ordered()
    desk.age(25 * HOUR_MS)
    desk.turn()

    assert again == [*names(1), *names(1)]
    assert desk.ordered() == again
    assert desk.wanted(1) == set()


def test_each_process_orders_for_its_own_streams(books: Books) -> None:
    """Two appliers of one department share the work as they share the partitions."""
    desk = Desk(books)
    desk.ask(*range(3))
    by_partition = {n: [each for each in names(*range(3)) if partition_of(each.encode(), 2) == n] for n in (0, 1)}

    desk.turn(1)
    first = sorted(desk.ordered())
    desk.now += 100
    desk.turn(0)

    assert first == by_partition[1]
    assert sorted(desk.ordered()) == names(*range(3))


def test_what_has_come_is_not_wanted_any_more(books: Books) -> None:
    """Its event ends the want, and another record's does not."""
    desk = Desk(books)
    desk.ask(1, 2)
    desk.turn()

    books.came(desk.view.name, pseudonym(1))

    assert desk.wanted(1, 2) == {pseudonym(2)}


def test_sweep_and_reconciler_may_want_the_same(books: Books) -> None:
    """The record is ordered once."""
    desk = Desk(books)
    desk.ask(1)
    desk.turn()

    desk.orders.want(desk.view, [pseudonym(1)])
    desk.turn()

    assert desk.ordered() == names(1)
