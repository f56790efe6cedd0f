"""What nobody foresaw, as an operator may see it: classes, codes and places, never an error's own words.

An error's text, its arguments and the source line that raised it may each quote a record, and so may a library's; the
names of classes, files and functions are the program's own.
"""

import errno
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from traceback import walk_tb
from typing import cast

__all__ = ["Facts", "describe", "lines_of", "tell_stray_errors"]

_PACKAGE = Path(__file__).parents[1]
_LIBRARIES = ("site-packages", "dist-packages")

# Where a recursion ran away, its entry and its end say all; the thousand frames between them are alike.
_OUTERMOST_FRAMES = 4
_INNERMOST_FRAMES = 16
_MOST_RELATED = 8
_MOST_CHARACTERS = 160

_SQLSTATE = re.compile("[0-9A-Z]{5}")
_SQLITE_NAME = re.compile("SQLITE_[A-Z_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What may be said of an error: nothing of it is longer than some twenty short lines, however large the error."""

    error: str
    """Its class, with the module unless Python's own."""
    code: str | None = None
    """`SQLSTATE 23505` of PostgreSQL, `SQLITE_CONSTRAINT_UNIQUE` of SQLite, or `ENOENT` of the operating system."""
    frames: tuple[str, ...] = ()
    """`file:line function`, innermost last."""
    related: tuple[str, ...] = ()
    """What caused it, what was handled when it arose, and the parts of a group: class, code and innermost frame."""

    @property
    def name(self) -> str:
        """Class and code."""
        return self.error if self.code is None else f"{self.error} ({self.code})"

    def as_fields(self) -> dict[str, object]:
        """The fields of a log line."""
        fields: dict[str, object] = {"error": self.error, "code": self.code}
        fields |= {"frames": list(self.frames), "related": list(self.related)}
        return {name: value for name, value in fields.items() if value}


def describe(error: BaseException) -> Facts:
    """Gives what may be said of an error; calls nothing of it that could fail or speak, such as its `__str__`."""
    return Facts(
        error=_class_name(type(error)),
        code=_code_of(error),
        frames=_frames_of(error),
        related=tuple(_related_to(error)),
    )


def lines_of(facts: Facts, *, stopped: bool = True) -> list[str]:
    """Gives lines for a person, the sentence last, where a terminal leaves the eye."""
    sentence = (
        f"tellonce: {'stopped by' if stopped else 'went on after'} {facts.name}, which nobody foresaw; report it with "
        "the lines above; its text is not shown, since it may quote a record"
    )
    end = "; nothing that was not committed is kept" if stopped else ""
    return [*(f"  {line}" for line in facts.related), *(f"  at {line}" for line in facts.frames), sentence + end]


def tell_stray_errors(tell: Callable[[Facts], None]) -> None:
    """Has errors told that end a thread, or that Python can raise nowhere; it would print them with their text."""

    def tell_either(kind: type[BaseException], error: BaseException | None) -> None:
        # A thread that ends itself is no error.
        if not issubclass(kind, SystemExit):
            tell(Facts(error=_class_name(kind)) if error is None else describe(error))

    threading.excepthook = lambda stray: tell_either(stray.exc_type, stray.exc_value)
    sys.unraisablehook = lambda stray: tell_either(stray.exc_type, stray.exc_value)


def _class_name(kind: type[BaseException]) -> str:
    return _clean(kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}")


def _code_of(error: BaseException) -> str | None:
    # SQLAlchemy's errors keep the driver's, which has the code.
    for each in (error, _attribute(error, "orig")):
        state, name = _attribute(each, "sqlstate"), _attribute(each, "sqlite_errorname")
        if isinstance(state, str) and _SQLSTATE.fullmatch(state):
            return f"SQLSTATE {state}"
        if isinstance(name, str) and _SQLITE_NAME.fullmatch(name):
            return name
    number = _attribute(error, "errno") if isinstance(error, OSError) else None
    return errno.errorcode.get(number, f"errno {number}") if isinstance(number, int) else None


def _attribute(owner: object, name: str) -> object:
    try:
        return getattr(owner, name, None)
    except Exception:  # noqa: BLE001 - whatever a strange class does when it is asked, it has no code then
        return None


def _frames_of(error: BaseException) -> tuple[str, ...]:
    first: list[str] = []
    last: deque[str] = deque(maxlen=_INNERMOST_FRAMES)
    count = 0
    for count, (frame, line) in enumerate(walk_tb(error.__traceback__), start=1):
        place = f"{_file_name(frame.f_code.co_filename)}:{line} {_clean(frame.f_code.co_qualname)}"
        (first if count <= _OUTERMOST_FRAMES else last).append(place)
    left_out = count - len(first) - len(last)
    between = [f"({left_out} frames are left out)"] if left_out else []
    return (*first, *between, *last)


def _file_name(text: str) -> str:
    """Gives a file's path within the package or library that it belongs to, and of any other file its name."""
    path = Path(text)
    if path.is_relative_to(_PACKAGE):
        return _clean(str(path.relative_to(_PACKAGE.parent)))
    roots = [place for place, part in enumerate(path.parts) if part in _LIBRARIES]
    return _clean("/".join(path.parts[roots[-1] + 1 :]) if roots else path.name)


def _related_to(error: BaseException) -> Iterator[str]:
    seen = {id(error)}
    waiting = _next_to(error)
    told = 0
    while waiting:
        if told == _MOST_RELATED:
            yield "(more are left out)"
            return
        relation, each = waiting.pop(0)
        # A chain of causes can be a circle.
        if id(each) in seen:
            continue
        seen.add(id(each))
        waiting = [*_next_to(each), *waiting]
        told += 1
        name = Facts(error=_class_name(type(each)), code=_code_of(each)).name
        frames = _frames_of(each)
        yield f"{relation} {name} at {frames[-1]}" if frames else f"{relation} {name}"


def _next_to(error: BaseException) -> list[tuple[str, BaseException]]:
    found: list[tuple[str, BaseException]] = []
    if error.__cause__ is not None:
        found.append(("caused by", error.__cause__))
    elif error.__context__ is not None and not error.__suppress_context__:
        found.append(("while handling", error.__context__))
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        found += [("a part of it is", part) for part in group.exceptions]
    return found


def _clean(text: str) -> str:
    """Gives a name as one short line, whatever it holds."""
    return "".join(each if each.isprintable() else "?" for each in text[:_MOST_CHARACTERS])
