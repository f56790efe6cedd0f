"""Loads a department's own declarations: `producers/<department>.py` and `consumers/<department>.py`."""

import sys
from collections.abc import Collection
from difflib import get_close_matches
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from traceback import extract_tb
from types import CodeType, ModuleType
from typing import TypeVar

from tellonce.declare.binding import Binding
from tellonce.declare.source import Source
from tellonce.model.errors import ConfigurationError

__all__ = ["load_bindings", "load_source", "module_file"]

_Declared = TypeVar("_Declared", Binding, Source)


class _UncachedLoader(SourceFileLoader):
    """Compiles the file each time: a cache would lie in the department's folder and miss an edit within one second."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.get_filename(fullname)), self.path)


def module_file(folder: Path, department: str) -> Path:
    """Gives the file in which a department declares: its slug with underscores, since a module's name has no hyphen."""
    return folder / f"{department.replace('-', '_')}.py"


def load_source(producers_dir: Path, department: str) -> tuple[Source, ...]:
    """Gives what a department publishes, in the order in which its file declares it.

    Raises:
        ConfigurationError: the file is missing or broken, declares no Source, or two for one record type.
    """
    path = module_file(producers_dir, department)
    sources = _declarations(path, Source)
    _refuse_twice([(source.record_type, source.place) for source in sources], "Source", "record type")
    return sources


def load_bindings(
    consumers_dir: Path, department: str, *, subscribed: Collection[str] | None = None
) -> tuple[Binding, ...]:
    """Gives how a department holds the views it subscribes to, in the order in which its file declares them.

    `subscribed` are the names of those views according to topology.yaml; None leaves the comparison out.

    Raises:
        ConfigurationError: the file is missing or broken, declares no Binding, two for one view, one for a view that
            the department does not subscribe to, or none for one that it does.
    """
    path = module_file(consumers_dir, department)
    bindings = _declarations(path, Binding)
    _refuse_twice([(binding.view, binding.place) for binding in bindings], "Binding", "view")
    if subscribed is None:
        return bindings
    for binding in bindings:
        if binding.view not in subscribed:
            near = get_close_matches(binding.view, subscribed, n=1)
            hint = f"did you mean {near[0]}?" if near else "subscribe to it in topology.yaml or remove the binding"
            raise ConfigurationError(
                f"{binding.place}: {department} does not subscribe to the view {binding.view}; {hint}"
            )
    unbound = sorted(set(subscribed) - {binding.view for binding in bindings})
    if unbound:
        raise ConfigurationError(
            f"{path}: {department} subscribes to {', '.join(unbound)} but declares no Binding for it; "
            "add one, or remove the subscription from topology.yaml"
        )
    return bindings


def _declarations(path: Path, kind: type[_Declared]) -> tuple[_Declared, ...]:
    module = _run(path)
    # One declaration under two names is one declaration.
    found = tuple({id(value): value for value in vars(module).values() if isinstance(value, kind)}.values())
    if not found:
        raise ConfigurationError(
            f"{path}: expected at least one {kind.__name__}(...) at the top level of the file, found none"
        )
    return found


def _refuse_twice(declared: list[tuple[str, str]], kind: str, subject: str) -> None:
    first: dict[str, str] = {}
    for name, place in declared:
        if name in first:
            raise ConfigurationError(
                f"{place}: a second {kind} for the {subject} {name}, the first is at {first[name]}; keep one"
            )
        first[name] = place


def _run(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigurationError(f"expected the department's declarations in {path}, found no such file")
    name = f"tellonce_declarations_{path.stem}"
    loader = _UncachedLoader(name, str(path))
    module = module_from_spec(ModuleSpec(name, loader, origin=str(path)))
    module.__file__ = str(path)
    # Dataclasses look their module up while it runs. Afterwards it goes: two departments' files, or two versions of
    # one, must never see each other.
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except ConfigurationError as error:
        if str(error).startswith(f"{path}:"):
            raise
        raise ConfigurationError(f"{_place_of(error, path)}: {error}", **error.facts) from error
    except SyntaxError as error:
        raise ConfigurationError(f"{path}:{error.lineno}:{error.offset}: not valid Python: {error.msg}") from error
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    except (Exception, SystemExit) as error:  # the file is a person's: whatever it raises is shown in one line
        reason = str(error).replace(".__init__() missing", " is missing")
        raise ConfigurationError(f"{_place_of(error, path)}: {type(error).__name__}: {reason}") from error
    finally:
        del sys.modules[name]
    return module


def _place_of(error: BaseException, path: Path) -> str:
    frames = [frame for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
    if not frames:
        return str(path)
    column = "" if frames[-1].colno is None else f":{frames[-1].colno + 1}"
    return f"{path}:{frames[-1].lineno}{column}"
