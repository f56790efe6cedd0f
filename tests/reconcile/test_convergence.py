"""Any schedule of changes, delays, faults and restarts: nothing false is ever found, and everything true at the end."""

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconcile.builders import FUND, HEALTH, pseudonym
from reconcile.faults import Faults
from reconcile.simulation import RECORDS, World
from tellonce.model.divergence import DivergenceKind, DivergenceState, RecordState
from tellonce.reconcile.status import StreamState

Operation = Callable[[World, int], None]

KEYS = [pseudonym(number) for number in range(RECORDS)]


def _change(world: World, n: int) -> None:
    key = KEYS[n % RECORDS]
    # A correction that is undone gives an old value under a new version.
    world.authority.publish(key, None if n % 5 == 0 else f"value {n // RECORDS % 3}")
    if n % 3:
        world.authority.end_batch(world.now_ms)


def _restore(world: World, n: int) -> None:
    if n % 2:
        world.authority.begin_epoch(None)
    else:
        Faults(world).lose(KEYS[n // 2 % RECORDS])
    world.authority.end_batch(world.now_ms)


def _read(world: World, n: int) -> None:
    department = world.departments[n % 2]
    for _ in range(1 + n // 2 % 4):
        department.read(world.authority.log, delay=n % 7 == 0)
        department.attest(world.now_ms)


def _catch(world: World, n: int) -> None:
    department = world.departments[n % 2]
    department.catch_delayed()
    department.attest(world.now_ms)


def _answer(world: World, n: int) -> None:
    side = (world.authority, *world.departments)[n % 3]
    world.answer(side, lose=n % 11 == 0, repeat=n % 13 == 0)


def _hear(world: World, n: int) -> None:
    for _ in range(1 + n % 3):
        world.hear_answer()


def _exchange(world: World, n: int) -> None:
    """All questions on their way are answered and heard, each side at a moment of its own."""
    world.advance(n % 1500)
    for side in (world.authority, *world.departments)[:: 1 if n % 2 else -1]:
        while world.inquiries[side.name]:
            world.answer(side)
        if n % 3 == 0:
            _change(world, n // 3)
        if n % 4 == 0:
            _read(world, n // 4)
    while world.answers:
        world.hear_answer()
    world.advance(1)


def _provoke(world: World, n: int) -> None:
    """A fault that shows at once: a drill-down begins while everything else goes on."""
    department = world.departments[n % 2]
    Faults(world).invent(department)
    while department.next < len(world.authority.log) or department.delayed:
        department.read(world.authority.log)
        department.catch_delayed()
    department.attest(world.now_ms)
    world.hear_statements(10**9)
    world.advance(n % 1500)


LIVE: dict[str, Operation] = {
    "exchange": _exchange,
    "change": _change,
    "read": _read,
    "catch": _catch,
    "answer": _answer,
    "hear": _hear,
    "statements": lambda world, n: world.hear_statements(1 + n % 5),
    "advance": lambda world, n: world.advance(n % 1500),
    "order": lambda world, _: world.carry_out_order(),
    "unsure": lambda world, n: world.departments[n % 2].set_unsure(unsure=n % 3 == 0),
    "epoch": _restore,
    "restart": lambda world, _: world.start(),
}
FAULTS: dict[str, Operation] = {
    "provoke": _provoke,
    "alter": lambda world, n: Faults(world).alter(world.departments[n % 2], KEYS[n // 2 % RECORDS]),
    "remove": lambda world, n: Faults(world).remove(world.departments[n % 2], KEYS[n // 2 % RECORDS]),
    "forget": lambda world, n: Faults(world).forget(world.departments[n % 2], KEYS[n // 2 % RECORDS]),
    "set back": lambda world, n: Faults(world).set_back(world.departments[n % 2], KEYS[n // 2 % RECORDS]),
    "invent": lambda world, n: Faults(world).invent(world.departments[n % 2]),
    "park": lambda world, n: Faults(world).park(
        world.departments[n % 2],
        KEYS[n // 2 % RECORDS],
        RecordState.PARKED if n % 3 else RecordState.AMBIGUOUS,
    ),
    "stubborn": lambda world, n: Faults(world).be_stubborn(world.departments[n % 2], KEYS[n // 2 % RECORDS]),
    "spoil": lambda world, n: Faults(world).spoil(KEYS[n % RECORDS]),
}

# Reading, answering and hearing are what most time goes by with; rare steps are rare.
OFTEN = ["change", "change", "read", "answer", "answer", "hear", "statements", "advance", "exchange", "exchange"]
SELDOM = ["catch", "order", "order", "unsure", "restart"]
STEPS = st.integers(0, 9_999)


def schedules(*names: str) -> st.SearchStrategy[list[tuple[str, int]]]:
    operations = st.sampled_from([*OFTEN, *OFTEN, *SELDOM, *names])
    return st.lists(st.tuples(operations, STEPS), min_size=60, max_size=160)


def play(world: World, schedule: list[tuple[str, int]]) -> None:
    # A first change that all have read, so that there is something to compare.
    _change(world, 1)
    for department in world.departments:
        department.read(world.authority.log)
    for name, n in schedule:
        (LIVE | FAULTS)[name](world, n)


thoroughly = settings(
    max_examples=settings().max_examples * 3 // 2,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@given(schedules("epoch", "provoke", "provoke", "provoke"))
@thoroughly
def test_beside_an_orphan_nothing_is_accused(schedule: list[tuple[str, int]]) -> None:
    """While drill-downs for invented records run, records that are merely on their way are never found to differ."""
    world = World()

    play(world, [(name, n | 1 if name == "epoch" else n) for name, n in schedule])
    world.settle()

    assert {event.kind for event in world.written} <= {DivergenceKind.ORPHANED}
    world.check_findings()


@given(schedules("epoch"))
@thoroughly
def test_equal_data_is_never_accused(schedule: list[tuple[str, int]]) -> None:
    """Without a fault nothing is ever found, whatever the interleaving, and all is proved at the end."""
    world = World()

    play(world, [(name, n | 1 if name == "epoch" else n) for name, n in schedule])
    world.settle()

    assert world.written == []
    assert world.states() == {StreamState.PROVED}


@given(schedules("epoch", "provoke", "provoke", *FAULTS))
@thoroughly
def test_every_fault_is_named_with_its_kind(schedule: list[tuple[str, int]]) -> None:
    """With faults planted at any moment exactly the records that differ are named, each with the right kind."""
    world = World()

    play(world, schedule)
    world.settle()

    world.check_findings()
    for department in (FUND, HEALTH):
        expected = StreamState.DIVERGED if world.status(department).divergences else StreamState.PROVED
        assert world.status(department).state is expected
        assert world.status(department).is_explained


@given(schedules("epoch", "provoke", "provoke", *FAULTS))
@thoroughly
def test_repairs_by_policy_leave_only_what_a_repair_cannot_help(schedule: list[tuple[str, int]]) -> None:
    """With repairs by policy, what is left at that department is explained, or of a kind that needs a person."""
    world = World(on_divergence="repair")

    play(world, schedule)
    world.settle()

    world.check_findings()
    for left in world.core.divergences():
        if left.department == FUND:
            needs_person = left.kind in {DivergenceKind.PARKED, DivergenceKind.AMBIGUOUS, DivergenceKind.UNPUBLISHED}
            is_tried = left.state is DivergenceState.EXPLAINED or world.is_hopeless(left)
            assert needs_person or is_tried
