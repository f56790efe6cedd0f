"""The example topology as text, and ways to break it in one place."""

from collections.abc import Callable
from pathlib import Path

import pytest

_EXAMPLE = Path(__file__).parent / "example.yaml"


@pytest.fixture
def example_path() -> Path:
    """The complete example that this folder documents."""
    return _EXAMPLE


@pytest.fixture
def edited() -> Callable[[str, str], str]:
    """A function that gives the example with the first occurrence of one text replaced by another."""
    text = _EXAMPLE.read_text(encoding="utf-8")

    def edit(old: str, new: str) -> str:
        assert old in text, f"the example no longer holds {old!r}"
        return text.replace(old, new, 1)

    return edit


@pytest.fixture
def marked(edited: Callable[[str, str], str]) -> Callable[[str, str], tuple[str, str]]:
    """The same, where the new text has a ‸ before the fault: gives the text without it, and its ``line:column``."""

    def edit(old: str, new: str) -> tuple[str, str]:
        before, mark, after = edited(old, new).partition("‸")
        assert mark, "the new text shows no place"
        return before + after, f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"

    return edit
