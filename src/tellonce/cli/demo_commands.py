"""The demonstration: a small city, the services as in production, edits behind their backs, and a verdict."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tellonce.cli.options import AsJson
from tellonce.model.errors import ConfigurationError
from tellonce.observability.tables import say, show_json

__all__ = ["register"]

EXTRA_PACKAGES = frozenset({"faker"})
"""What the extra `demo` of pyproject.toml installs."""

demo_app = typer.Typer(invoke_without_command=True, help="See it work: a city of five departments, and a verdict.")


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.add_typer(demo_app, name="demo")


@demo_app.callback()
def demo(
    context: typer.Context,
    residents: Annotated[int, typer.Option(min=50, help="Residents of the city.")] = 3_000,
    changes: Annotated[int, typer.Option(min=10, help="Changes made while the services run.")] = 300,
    seed: Annotated[int, typer.Option(help="The same seed gives the same city.")] = 1,
    keep: Annotated[Path | None, typer.Option(help="Folder to leave databases, configuration and verdict in.")] = None,
    broker: Annotated[str, typer.Option(help="embedded, or kafka for a real Apache Kafka.")] = "embedded",
    store: Annotated[str, typer.Option(help="sqlite, or postgres for a real PostgreSQL.")] = "sqlite",
    watch: Annotated[
        bool, typer.Option("--watch", help="Run a Prometheus beside it, and leave all of it running until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the whole city once and judge it by an independent check; exit 0 only if all of it is true."""
    if context.invoked_subcommand is not None:
        return
    with _extra_needed():
        from tellonce.demo.run import DemoOptions, run_demo
    from tellonce.demo.show import show_verdict

    options = DemoOptions(
        residents=residents, changes=changes, seed=seed, keep=keep, broker=_broker(broker), store=_store(store)
    )

    def show(verdict: dict[str, Any]) -> None:
        if as_json:
            show_json(verdict)
        else:
            show_verdict(verdict, keep)

    def stay(verdict: dict[str, Any], folder: Path) -> None:
        show(verdict)
        sys.stdout.flush()
        _leave_running(folder)

    verdict = run_demo(options, is_quiet=as_json, stay=stay if watch else None)
    if not watch:
        show(verdict)
    raise typer.Exit(0 if verdict["true"] else 1)


def _leave_running(folder: Path) -> None:
    from tellonce.running import stop_on_signals

    stop = stop_on_signals()
    say("All of it runs until Ctrl-C. Give commands to it in another terminal, such as:")
    say(f"  tellonce divergences --env-file {folder}/public-security.env")
    say(f"  tellonce repair --department healthcare --env-file {folder}/public-security.env")
    stop.wait()
    say("ending all of it")


@contextmanager
def _extra_needed() -> Generator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        # Any other package that is missing is a broken installation, which this sentence would not mend.
        if error.name not in EXTRA_PACKAGES:
            raise
        msg = (
            f"expected the package {error.name}, with which the demonstration makes its residents, found it not "
            "installed; install it by: pip install 'tellonce[demo]'"
        )
        raise ConfigurationError(msg) from error


def _broker(text: str) -> Literal["embedded", "kafka"]:
    if text in ("embedded", "kafka"):
        return "embedded" if text == "embedded" else "kafka"
    raise typer.BadParameter("expected embedded or kafka", param_hint="--broker")


def _store(text: str) -> Literal["sqlite", "postgres"]:
    if text in ("sqlite", "postgres"):
        return "sqlite" if text == "sqlite" else "postgres"
    raise typer.BadParameter("expected sqlite or postgres", param_hint="--store")


@demo_app.command("check")
def demo_check(
    folder: Annotated[Path, typer.Argument(help="A folder that `tellonce demo --keep` left.")], as_json: AsJson = False
) -> None:
    """Run the independent check of a kept demonstration again; exit 1 if a record is held otherwise."""
    from tellonce.demo.check import CheckError, check_folder

    try:
        result = check_folder(folder)
    except CheckError as error:
        say(f"tellonce: {error}")
        raise typer.Exit(3) from error
    if as_json:
        show_json(result)
    else:
        for finding in (*result["unexpected"], *result["gone"]):
            named = {k: v for k, v in finding.items() if v}
            print(", ".join(f"{name} {value}" for name, value in named.items()))
        say("every record is as it should be" if result["agrees"] else "not every record is as it should be")
    raise typer.Exit(0 if result["agrees"] else 1)
