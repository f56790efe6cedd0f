"""An error that nobody foresaw is told by class, code and places, and never by words that may quote a record."""

import ctypes
import errno
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from tellonce.observability.unforeseen import Facts, describe, lines_of, tell_stray_errors

CANARY = "Canary-110105491231002"
HERE = Path(__file__).name


class SilentError(Exception):
    """Cannot be asked anything."""

    def __str__(self) -> str:
        raise ValueError(CANARY)

    __repr__ = __str__

    def __getattr__(self, name: str) -> object:
        raise ValueError(CANARY)


class ServerError(Exception):
    """A driver's error, as psycopg has them."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(f"Key (gmsfhm)=({CANARY}) already exists")
        self.sqlstate = sqlstate


def missing_key() -> None:
    """A mapping that lacks a record's value."""
    held: dict[str, int] = {}
    held[CANARY]


def refused_row() -> None:
    """A real statement that the database refuses, with a record's value among its parameters."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE account (number TEXT PRIMARY KEY)"))
        for _ in range(2):
            connection.execute(text("INSERT INTO account VALUES (:number)"), {"number": CANARY})


def unforeseen_row() -> None:
    """The same, from which a further error arises."""
    try:
        refused_row()
    except DBAPIError as error:
        msg = f"no room for {CANARY}"
        raise RuntimeError(msg) from error


def missing_file() -> None:
    """A file that is named after a record."""
    Path(f"/nowhere/{CANARY}").read_text(encoding="utf-8")


def several() -> None:
    """Two errors at once, one of them in a group of its own."""
    raise ExceptionGroup(CANARY, [KeyError(CANARY), ExceptionGroup(CANARY, [OSError(errno.ENOSPC, CANARY)])])


def error_from_c() -> None:
    """What Python raises where a library in C breaks its rules."""
    ctypes.pythonapi.PyErr_BadInternalCall()


def endless(value: str = CANARY) -> None:
    """A recursion that never ends."""
    endless(value + "1")


def silent() -> None:
    """An error that fails itself when it is shown, with notes."""
    error = SilentError(CANARY)
    error.__notes__ = [CANARY]
    raise error


def caught(fault: Callable[[], object]) -> BaseException:
    """What a fault raises."""
    try:
        fault()
    except BaseException as error:  # noqa: BLE001 - the tests are about whatever comes
        return error
    raise AssertionError


@contextmanager
def deep_stack() -> Iterator[None]:
    """Room for thousands of frames."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before + 3000)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def said(facts: Facts) -> str:
    """All that an operator can see of it, either way."""
    return "\n".join([*lines_of(facts), repr(facts.as_fields())])


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (missing_key, "KeyError"),
        (refused_row, "sqlalchemy.exc.IntegrityError (SQLITE_CONSTRAINT_PRIMARYKEY)"),
        (unforeseen_row, "RuntimeError"),
        (missing_file, "FileNotFoundError (ENOENT)"),
        (several, "ExceptionGroup"),
        (error_from_c, "SystemError"),
        (endless, "RecursionError"),
        (silent, f"{SilentError.__module__}.SilentError"),
    ],
)
def test_error_is_named_and_its_text_is_not_shown(fault: Callable[[], None], name: str) -> None:
    """Whatever is raised, its class and code are told with where it arose, and nothing that its text may quote."""
    with deep_stack():
        facts = describe(caught(fault))

    assert facts.name == name
    assert facts.frames[0].startswith(f"{HERE}:")
    assert facts.frames[0].endswith(" caught")
    assert any(f" {fault.__name__}" in frame for frame in facts.frames)
    assert CANARY not in said(facts)
    assert "110105" not in said(facts)


def test_causes_are_told_with_their_codes_and_places() -> None:
    """The classes of the whole chain are there, with the database's code and where each arose."""
    outer, inner = describe(caught(unforeseen_row)).related

    assert outer.startswith("caused by sqlalchemy.exc.IntegrityError (SQLITE_CONSTRAINT_PRIMARYKEY) at sqlalchemy/")
    assert inner.startswith("caused by sqlite3.IntegrityError (SQLITE_CONSTRAINT_PRIMARYKEY) at sqlalchemy/engine/")


def test_error_during_handling_is_told_with_what_was_handled() -> None:
    """An error that arises while another is handled does not hide it, unless the code says that it shall."""

    def handling() -> None:
        try:
            missing_key()
        except KeyError:
            missing_file()

    def hiding() -> None:
        try:
            missing_key()
        except KeyError:
            raise ValueError from None

    assert [line.partition(" at ")[0] for line in describe(caught(handling)).related] == ["while handling KeyError"]
    assert describe(caught(hiding)).related == ()


def test_parts_of_a_group_are_told() -> None:
    """Each error of a group is told, those of a group within it too."""
    assert describe(caught(several)).related == (
        "a part of it is KeyError",
        "a part of it is ExceptionGroup",
        "a part of it is OSError (ENOSPC)",
    )


def test_sqlstate_is_told_of_the_driver_and_through_sqlalchemy() -> None:
    """PostgreSQL's code is told wherever it stands; five letters that are none are not taken for one."""
    error = ServerError("23505")

    assert describe(error).code == "SQLSTATE 23505"
    assert describe(DBAPIError("INSERT", CANARY, error)).code == "SQLSTATE 23505"
    assert describe(ServerError("zhang")).code is None


def test_output_is_bounded() -> None:
    """Thousands of frames, causes and parts become a few lines, with the entry and the end of each."""
    with deep_stack():
        endless_facts = describe(caught(endless))
    chain: Exception = KeyError()
    for _ in range(5000):
        above = ValueError()
        above.__cause__ = chain
        chain = above
    group = ExceptionGroup(CANARY, [KeyError(CANARY)] * 2 + [KeyError(CANARY) for _ in range(5000)])

    assert len(endless_facts.frames) == 21
    assert "frames are left out" in endless_facts.frames[4]
    assert endless_facts.frames[-1].endswith(" endless")
    for error in (chain, group):
        assert len(describe(error).related) == 9
        assert describe(error).related[-1] == "(more are left out)"


def test_circle_of_causes_ends() -> None:
    """Two errors that name each other as cause are each told once."""
    first, second = KeyError(), ValueError()
    first.__cause__, second.__cause__ = second, first

    assert describe(first).related == ("caused by ValueError",)


def test_class_with_a_strange_name_stays_one_short_line() -> None:
    """A name that was made while the program ran can neither break a line nor fill a page."""
    strange = type("A\n\x1b[31m" + "B" * 5000, (Exception,), {})

    assert "\n" not in describe(strange()).error
    assert "\x1b" not in describe(strange()).error
    assert len(describe(strange()).error) <= 160


def test_files_of_ours_and_of_libraries_are_named_within_their_package() -> None:
    """Our files are told by their path in the package, libraries' in theirs, and no folder of the machine is named."""
    from tellonce.topology import load_topology  # noqa: PLC0415 - only to have a frame of ours

    facts = describe(caught(lambda: load_topology(Path(f"/nowhere/{CANARY}"))))
    frames = (*facts.frames, *describe(caught(refused_row)).frames)

    assert any(frame.startswith("tellonce/topology/") for frame in frames)
    assert any(frame.startswith("sqlalchemy/engine/") for frame in frames)
    assert not [frame for frame in frames if frame.startswith("/") or "site-packages" in frame]


@pytest.mark.parametrize("exits", [False, True])
def test_error_of_a_thread_is_told(exits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that ends a thread is told like any other, and one that only ends itself is none."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    told: list[Facts] = []
    tell_stray_errors(told.append)

    thread = threading.Thread(target=sys.exit if exits else missing_key)
    thread.start()
    thread.join()

    assert [facts.name for facts in told] == ([] if exits else ["KeyError"])
    assert not [facts for facts in told if CANARY in said(facts)]


def test_error_that_cannot_be_raised_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an object raises while it is taken away, which Python would print with its text, is told without it."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    told: list[Facts] = []
    tell_stray_errors(told.append)

    class Leaving:
        def __del__(self) -> None:
            missing_key()

    Leaving()

    assert [facts.name for facts in told] == ["KeyError"]
    assert CANARY not in said(told[0])
