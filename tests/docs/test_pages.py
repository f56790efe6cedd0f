"""Pages that name things of the code name those that are there."""

import re
import tomllib
from pathlib import Path

ADR_PARTS = ("Decision", "Non-goals", "Testing", "Rejected alternatives")


def first_cells(page: Path) -> list[str]:
    """The first cell of each row of a page's tables, headings left out."""
    rows = re.findall(r"^\| ([^|]+) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [row.strip() for row in rows if row.strip() not in {"package", "word"}]


def test_every_dependency_has_its_reason_and_nothing_else_has(root: Path) -> None:
    """Each dependency of pyproject.toml has one line on the page, and the page lists no other."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    groups = project["dependency-groups"].values()
    extras = project["project"]["optional-dependencies"].values()
    texts = [
        *project["project"]["dependencies"],
        *(text for extra in extras for text in extra),
        *(text for group in groups for text in group if isinstance(text, str)),
    ]
    wanted = sorted({re.split(r"[\[<>=]", text)[0] for text in texts})

    assert sorted(first_cells(root / "docs" / "dependencies.md")) == wanted


def test_every_test_behind_a_guarantee_exists(root: Path) -> None:
    """A guarantee names only tests that are there."""
    text = (root / "docs" / "guarantees.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[a-z_/]+\.py)::(\w+)`", text)

    assert named
    for file, function in named:
        assert re.search(rf"^ *def {function}\(", (root / file).read_text(encoding="utf-8"), re.MULTILINE), (
            file,
            function,
        )


def test_every_guarantee_has_a_condition_and_a_test(root: Path) -> None:
    """Each of the eight guarantees says on which condition it holds and which test shows it."""
    sections = (root / "docs" / "guarantees.md").read_text(encoding="utf-8").split("\n## ")[1:]

    assert len(sections) == 8
    for section in sections:
        assert "*Condition:*" in section, section[:60]
        assert "::test_" in section, section[:60]


def test_decisions_are_numbered_and_complete(root: Path) -> None:
    """Each decision record has its number, what it is not, how it is tested, and what was rejected."""
    files = sorted((root / "docs" / "adr").glob("*.md"))

    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    for file in files:
        titles = re.findall(r"^## (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(ADR_PARTS) <= set(titles), file.name


def test_prose_has_one_sentence_per_line(root: Path) -> None:
    """A line of prose ends with its sentence, so that a change of one sentence is a change of one line."""
    for page in [*root.glob("*.md"), *root.glob("docs/**/*.md")]:
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for line in text.splitlines():
            if re.match(r"[A-Z`*]", line) and not line.startswith("|"):
                assert not re.search(r"[a-z)`]\. [A-Z`]", line), f"{page.name}: {line}"


def test_every_term_is_explained_once(root: Path) -> None:
    """The glossary has one row per word."""
    words = [word for cell in first_cells(root / "docs" / "glossary.md") for word in cell.split(", ")]

    assert len(words) == len(set(words))
