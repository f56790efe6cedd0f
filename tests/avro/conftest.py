"""The city that the tests of this folder write their schemas into."""

from pathlib import Path

import pytest

from avrocity import City


@pytest.fixture
def city(tmp_path: Path) -> City:
    """A city without schemas, in a folder of the test's own."""
    return City(tmp_path)
