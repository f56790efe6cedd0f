"""The image's recipe: what it copies is there, what it installs is locked, and it does not run as root."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def dockerfile() -> str:
    """The recipe."""
    return (ROOT / "Dockerfile").read_text(encoding="utf-8")


def copied(dockerfile: str) -> list[str]:
    """The files and folders that the recipe takes from the checkout."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
    return [source.removeprefix("./") for line in lines for source in line.split()[:-1]]


def locked(path: Path) -> dict[str, str]:
    """The pinned requirements of a lock by package: version and hashes, without the platforms it is for."""
    text = re.sub(r"^#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = re.sub(r" ; [^\\\n]*[^\\\n ]", "", text)
    entries = [re.sub(r"\s+", " ", entry).strip() for entry in re.split(r"\n(?=\S)", text) if entry.strip()]
    return {entry.partition("==")[0]: entry for entry in entries}


def test_what_is_copied_is_there_and_not_ignored(dockerfile: str) -> None:
    """Each file that the recipe copies exists and passes .dockerignore, and nothing else does."""
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in ignore if line.startswith("!")}

    assert "*" in ignore
    assert set(copied(dockerfile)) == allowed
    for name in allowed:
        assert (ROOT / name).exists(), name


def test_what_the_wheel_needs_is_copied(dockerfile: str) -> None:
    """Everything that pyproject.toml puts into the wheel is there when the image builds it."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    sources = copied(dockerfile)

    for name in build["force-include"]:
        assert any(name == source or name.startswith(f"{source}/") for source in sources), name


@pytest.mark.parametrize("name", ["requirements.lock", "build.lock"])
def test_locks_of_the_image_are_part_of_the_projects(name: str) -> None:
    """What the image installs is exactly what the tests run on, hashes included."""
    whole, part = locked(ROOT / "requirements.lock"), locked(ROOT / "deploy" / name)

    assert part
    for package, entry in part.items():
        assert whole[package] == entry, package
        assert "--hash=sha256:" in entry, package


def test_image_holds_every_dependency_and_nothing_of_the_demonstration() -> None:
    """The image's lock has each dependency of pyproject.toml, and no package of the extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted, extra = (
        {re.split(r"[\[<>=]", text)[0] for text in texts}
        for texts in (project["dependencies"], project["optional-dependencies"]["demo"])
    )
    held = locked(ROOT / "deploy" / "requirements.lock").keys()

    assert wanted <= held
    assert not extra & held


def test_every_installation_is_locked(dockerfile: str) -> None:
    """No pip of the recipe fetches anything whose hash is not known."""
    commands = re.findall(r"pip (?:install|wheel)[^\n&]+", dockerfile)

    assert len(commands) == 4
    for command in commands:
        assert "--require-hashes" in command or "--no-deps" in command, command


def test_image_runs_as_nobody_special(dockerfile: str) -> None:
    """The last stage's user is not root."""
    assert re.findall(r"^USER (\d+):\d+$", dockerfile.rsplit("\nFROM ", maxsplit=1)[-1], re.MULTILINE) == ["10001"]
