"""What the tests of the deployment share: Compose, and the tools of Prometheus and Alertmanager."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import leave_out
from tellonce.model.errors import ConfigurationError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def compose() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """What runs the Compose binary of the test environment on the file, with every profile."""
    binary = shutil.which("docker-compose", path=str(Path(sys.executable).parent))
    assert binary is not None, "docker-compose is missing: make setup"

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [binary, "--profile", "*", "--file", str(ROOT / "docker-compose.yml"), *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)

    return run


@pytest.fixture(scope="session")
def services(compose: Callable[..., "subprocess.CompletedProcess[str]"]) -> dict[str, dict[str, Any]]:
    """Every service as Compose understands it."""
    return dict(json.loads(compose("config", "--format", "json").stdout)["services"])


def found(tool: str, package: str) -> str:
    """Where a tool is; without it the test is left out."""
    path = shutil.which(tool)
    if path is None:
        leave_out(ConfigurationError(f"{tool} is missing: install the package {package}"))
    return path


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus' tool."""
    return found("promtool", "prometheus")


@pytest.fixture(scope="session")
def prometheus() -> str:
    """Prometheus itself."""
    return found("prometheus", "prometheus")


@pytest.fixture(scope="session")
def amtool() -> str:
    """Alertmanager's tool."""
    return found("amtool", "prometheus-alertmanager")
