"""Writes the parts of the pages that the code knows best: what stands between a part's two comments is its own.

With `--check` nothing is written; the exit code is 1 where a page is not what the code says.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from dashboards import FOLDER as DASHBOARDS
from dashboards import pages, render
from tellonce.cli.settings import Settings
from tellonce.control.messages import Message
from tellonce.kafka.settings import KafkaSettings
from tellonce.observability.alerts import render_rules
from tellonce.observability.metrics import METRICS
from tellonce.topology import load_topology

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


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


def metrics_table() -> Iterator[str]:
    """Gives the lines of the table of metrics."""
    yield "| metric | kind | labels | served by | what it is | worry when |"
    yield "|---|---|---|---|---|---|"
    for metric in METRICS:
        labels, services = ", ".join(metric.labels), ", ".join(metric.services)
        cells = (f"`{metric.served_name}`", metric.kind.value, labels, services, metric.help, metric.worry)
        yield f"| {' | '.join(cells)} |"


def control_schemas() -> str:
    """Gives the JSON schema of each control message, by its name."""
    schemas = {shape.__name__: TypeAdapter(shape).json_schema() for shape in get_args(Message)}
    return json.dumps(schemas, indent=2, ensure_ascii=False) + "\n"


PARTS: Mapping[str, tuple[Path, Callable[[], Iterator[str]]]] = {
    "settings": (DOCS / "operations.md", settings_table),
    "metrics": (DOCS / "operations.md", metrics_table),
}
"""Each part's page and what gives its lines."""


FILES: Mapping[Path, Callable[[], str]] = {
    ROOT / "deploy" / "prometheus" / "rules.yml": lambda: render_rules(load_topology(ROOT / "topology.yaml")),
    DOCS / "control-messages.json": control_schemas,
    **{DASHBOARDS / f"{page.name}.json": partial(render, page) for page in pages()},
}
"""Each file that is made as a whole, and what gives its text."""


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
    for path, text in FILES.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text():
            stale.append(str(path.relative_to(ROOT)))
            if "--check" not in arguments:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text(), encoding="utf-8")
    for each in stale:
        print(f"{each} {'is not what the code says: run make docs' if '--check' in arguments else 'written'}")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
