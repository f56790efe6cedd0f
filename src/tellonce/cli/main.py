"""The command `tellonce`."""

import sys

import typer

from tellonce import __version__
from tellonce.cli import (
    contract_commands,
    demo_commands,
    department_commands,
    doctor_command,
    evidence_command,
    reconcile_commands,
    status_command,
    tail_command,
    trace_command,
)
from tellonce.model.errors import TellonceError
from tellonce.observability.tables import say
from tellonce.observability.unforeseen import Facts, describe, lines_of, tell_stray_errors

__all__ = ["app", "main"]

app = typer.Typer(
    name="tellonce",
    help="Tell one department; every department knows, and can prove it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (
    contract_commands,
    department_commands,
    reconcile_commands,
    status_command,
    doctor_command,
    tail_command,
    trace_command,
    evidence_command,
    demo_commands,
):
    commands.register(app)


def _show_version(value: bool) -> None:
    if value:
        print(f"tellonce {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True),
) -> None:
    """Tell one department; every department knows, and can prove it."""


def main() -> None:
    """Runs a command; what goes wrong is one sentence on standard error and an exit code, never a traceback.

    Above the sentence about what nobody foresaw stand its places; a service logs it instead.

    0: done. 1: failed at work. 2: wrong usage. 3: contract, declarations or settings are wrong. 4: database or broker
    is away. 6: divergences were found where the command was to fail on them. 130: interrupted.
    """
    tell_stray_errors(_say_stray)
    try:
        app()
    except TellonceError as error:
        say(f"tellonce: {error}")
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the one place where a defect of a command ends
        _say_lines(lines_of(describe(error)))
        sys.exit(1)


def _say_stray(facts: Facts) -> None:
    _say_lines(lines_of(facts, stopped=False))


def _say_lines(lines: list[str]) -> None:
    for line in lines:
        say(line)
