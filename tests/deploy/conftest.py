"""What the tests of the deployment share: the tools of Prometheus and Alertmanager, which check what they are given."""

import shutil

import pytest

from conftest import leave_out
from tellonce.model.errors import ConfigurationError


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
def amtool() -> str:
    """Alertmanager's tool."""
    return found("amtool", "prometheus-alertmanager")
