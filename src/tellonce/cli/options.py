"""Options that many commands share; each is also a setting of the environment."""

from pathlib import Path
from typing import Annotated

import typer

from tellonce.cli.settings import Settings, load_settings

__all__ = ["AsJson", "DepartmentName", "EnvFile", "Once", "settings_from"]

EnvFile = Annotated[Path | None, typer.Option("--env-file", help="File with TELLONCE_ variables, one a line.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Once = Annotated[bool, typer.Option("--once", help="Stop when there is nothing left to do.")]
DepartmentName = Annotated[str, typer.Argument(metavar="DEPARTMENT", help="A department of topology.yaml.")]


def settings_from(env_file: Path | None) -> Settings:
    """Gives the settings, and sends logs where they say."""
    return load_settings(env_file)
