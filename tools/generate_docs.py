"""Writes the parts of the pages that the code knows best: what stands between a part's two comments is its own.

With `--check` nothing is written; the exit code is 1 where a page is not what the code says.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tellonce.cli.settings import Settings
from tellonce.kafka.settings import KafkaSettings

DOCS = Path(__file__).parents[1] / "docs"


def settings_table() -> Iterator[str]:
    """Gives the lines of the table of settings."""
    yield "| variable | default | meaning |"
    yield "|---|---|---|"
    for model, prefix in ((Settings, "TELLONCE_"), (KafkaSettings, "TELLONCE_KAFKA__")):
        for name, field in model.model_fields.items():
            if not is_model(field):
                yield f"| `{prefix}{name.upper()}` | {default_of(field)} | {field.description} |"


def is_model(field: FieldInfo) -> bool:
    """Whether a field's parts are settings of their own."""
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def default_of(field: FieldInfo) -> str:
    """Gives a setting's default as the page shows it; nothing where it has none."""
    value = field.get_default(call_default_factory=True)
    if value is None or value == {}:
        return ""
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


PARTS: Mapping[str, tuple[Path, Callable[[], Iterator[str]]]] = {
    "settings": (DOCS / "operations.md", settings_table),
}
"""Each part's page and what gives its lines."""


def with_part(page: str, name: str, lines: Sequence[str]) -> str:
    """Gives a page with one part made anew."""
    begin, end = f"<!-- generated: {name}; `make docs` writes it -->\n", f"<!-- end: {name} -->"
    before, found, rest = page.partition(begin)
    if not found or end not in rest:
        message = f"expected the comments of part {name} in the page, found none; write {begin.strip()} and {end}"
        raise ValueError(message)
    return before + begin + "".join(f"{line}\n" for line in lines) + end + rest.partition(end)[2]


def main(arguments: Sequence[str]) -> int:
    """Gives the exit code."""
    stale: list[str] = []
    for name, (path, lines) in PARTS.items():
        old = path.read_text(encoding="utf-8")
        new = with_part(old, name, list(lines()))
        if new != old:
            stale.append(f"{path.name}: {name}")
            if "--check" not in arguments:
                path.write_text(new, encoding="utf-8")
    for each in stale:
        print(f"{each} {'is not what the code says: run make docs' if '--check' in arguments else 'written'}")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
