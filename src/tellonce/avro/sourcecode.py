"""Lines of generated Python and the compiling of them."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import cast

__all__ = ["SourceCode"]


class SourceCode:
    """Collects the lines of one generated function and the constants it refers to.

    Nothing from a schema file reaches the text of the code but field names that matched Avro's own pattern, and those
    only as string literals made by `repr`; everything else is a number or a numbered constant.
    """

    def __init__(self, constants: Mapping[str, object]) -> None:
        self._lines: list[str] = []
        self._indent = 0
        self._constants: dict[str, object] = dict(constants)

    def line(self, text: str) -> None:
        """Add one line at the present depth."""
        self._lines.append("    " * self._indent + text)

    @contextmanager
    def block(self, head: str) -> Generator[None]:
        """Add a compound statement whose body is what is added inside the `with`."""
        self.line(head)
        self._indent += 1
        yield
        self._indent -= 1

    def constant(self, value: object) -> str:
        """The name by which the code can refer to a value."""
        name = f"C{len(self._constants)}"
        self._constants[name] = value
        return name

    @property
    def text(self) -> str:
        """The code so far."""
        return "\n".join(self._lines) + "\n"

    def compile(self, function: str, label: str) -> Callable[..., object]:
        """The generated function of this name; `label` stands for the file in tracebacks."""
        namespace: dict[str, object] = dict(self._constants)
        code = compile(self.text, f"<tellonce {label}>", "exec")
        exec(code, namespace)  # noqa: S102 - the text is ours; see the class's docstring
        return cast("Callable[..., object]", namespace[function])
