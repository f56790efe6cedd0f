"""Fenced blocks of a Markdown page, with what a test needs to run them."""

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "blocks_of", "files_written"]

_FENCE = re.compile(r"^```(?P<language>\S*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`([^`]+)`:$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block: its language, its text, its line on the page, and the file that the line before it names."""

    language: str
    text: str
    line: int
    file: str | None


def blocks_of(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    for match in _FENCE.finditer(text):
        before = text[: match.start()].rstrip().splitlines()
        named = _FILE.search(before[-1]) if before else None
        found.append(
            Block(
                language=match["language"],
                text=match["text"],
                line=text.count("\n", 0, match.start()) + 1,
                file=named[1] if named else None,
            )
        )
    return found


def files_written(blocks: list[Block]) -> set[str]:
    """The files that a page's blocks give."""
    return {block.file for block in blocks if block.file}
