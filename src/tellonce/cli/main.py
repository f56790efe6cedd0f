"""The command `tellonce`."""

import sys
import traceback
from pathlib import Path

import typer

from tellonce import __version__
from tellonce.cli import contract_commands, demo_commands, department_commands, reconcile_commands
from tellonce.model.errors import TellonceError
from tellonce.observability.tables import say

__all__ = ["app", "main"]

app = typer.Typer(
    name="tellonce",
    help="Tell one department; every department knows, and can prove it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (contract_commands, department_commands, reconcile_commands, demo_commands):
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

    0: done. 1: failed at work. 2: wrong usage. 3: contract, declarations or settings are wrong. 4: database or broker
    is away. 6: divergences were found where the command was to fail on them. 130: interrupted.
    """
    try:
        app()
    except TellonceError as error:
        say(f"tellonce: {error}")
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the one place where a defect ends: an error's own text may quote a row
        place = traceback.extract_tb(error.__traceback__)[-1]
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "tellonce" in frame.filename]
        place = ours[-1] if ours else place
        say(
            f"tellonce: stopped by {type(error).__name__} at {Path(place.filename).name}:{place.lineno}, which nobody "
            "foresaw; its text is not shown, since it may quote a record; nothing that was not committed is kept"
        )
        sys.exit(1)
