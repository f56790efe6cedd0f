"""How the demonstration shows itself: bars on a terminal, plain lines elsewhere, and tables at the end."""

import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tellonce.observability.tables import show_table

__all__ = ["DemoProgress", "show_verdict", "where_to_look"]


class DemoProgress:
    """Progress on standard error."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._console = Console(stderr=True)
        self._began = time.monotonic()
        self._bars: Progress | None = None

    def __enter__(self) -> Self:
        """Begin."""
        if self._console.is_terminal and not self._is_quiet:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bars = Progress(*columns, console=self._console)
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        if self._bars is not None:
            self._bars.stop()

    def step(self, text: str) -> None:
        """Says what is done now."""
        if not self._is_quiet:
            self.tell(f"{time.monotonic() - self._began:5.1f} s  {text}")

    def tell(self, line: str) -> None:
        """Says what a person needs even where progress is not shown."""
        if self._bars is not None:
            self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, text: str, total: int | None) -> Generator[Callable[[int, int | None], None]]:
        """Gives a function that takes how much was done, and, where it changes, how much there is."""
        if self._bars is None:
            self.step(text)
            yield _ignore
            return
        bars, task = self._bars, self._bars.add_task(text, total=total)

        def advance(done: int, known: int | None) -> None:
            bars.update(task, advance=done, total=known if known is not None else total)

        yield advance


def _ignore(_done: int, _known: int | None) -> None:
    """Shows nothing: lines tell the steps."""


def where_to_look(prometheus_url: str, services: Mapping[str, str]) -> list[str]:
    """Gives lines that tell where a watched run can be seen; `services` gives `host:port` by the service's name."""
    grafana = (
        "In a Grafana of your own, add a Prometheus data source with the uid tellonce-prometheus at "
        f"{prometheus_url}, and import deploy/grafana/dashboards/*.json (docs/dashboards.md)."
    )
    return [
        f"Prometheus: {prometheus_url}/graph, alerts: {prometheus_url}/alerts",
        *(f"{name}: http://{address}/metrics" for name, address in services.items()),
        grafana,
    ]


def show_verdict(verdict: dict[str, Any], keep: Path | None) -> None:
    """Prints the verdict as tables and one last line."""
    shown = ("department", "view", "held", "linked", "corrected", "parked", "ambiguous", "out_of_scope")
    rows = [{name: row[name] for name in shown} for row in verdict["departments"]]
    show_table("What each department holds", rows, empty="nothing")
    planted = [{k: v for k, v in row.items() if k not in ("pseudonym", "heals")} for row in verdict["planted"]]
    show_table("Edits behind the services' backs", planted, empty="none")
    streams = [
        {k: s[k] for k in ("department", "view", "partition", "state", "proved_sequence")} for s in verdict["streams"]
    ]
    show_table("Streams", streams, empty="none")
    spread = verdict["propagation"]
    print(
        f"change to applied: p50 {spread['p50_ms']} ms, p99 {spread['p99_ms']} ms; {verdict['wall_seconds']} s in all"
    )
    for problem in verdict["problems"]:
        print(f"NOT TRUE: {problem}")
    agrees = "agrees" if verdict["independent"]["agrees"] else "does not agree"
    print(f"{'TRUE' if verdict['true'] else 'NOT TRUE'}: the independent check {agrees}")
    if keep is not None:
        print(f"kept in {keep}: databases/, logs/, verdict.json; check it again with: tellonce demo check {keep}")
