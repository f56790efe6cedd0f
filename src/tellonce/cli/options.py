"""Options that many commands share; each is also a setting of the environment."""

from pathlib import Path
from typing import Annotated

import typer

from tellonce.cli.settings import Settings, load_settings
from tellonce.observability.logs import configure_logs

__all__ = ["AsJson", "DepartmentName", "EnvFile", "Once", "settings_from"]

EnvFile = Annotated[Path | None, typer.Option("--env-file", help="File with TELLONCE_ variables, one a line.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Once = Annotated[bool, typer.Option("--once", help="Stop when there is nothing left to do.")]
DepartmentName = Annotated[str, typer.Argument(metavar="DEPARTMENT", help="A department of topology.yaml.")]


def settings_from(env_file: Path | None) -> Settings:
    """Gives the settings; a command that is no service logs only what went wrong, to standard error."""
    settings = load_settings(env_file)
    configure_logs("text", "error" if settings.log_level == "error" else "warning")
    return settings
