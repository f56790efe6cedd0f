"""The demonstration without its extra: one sentence that says what is missing and what installs it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tellonce.cli import demo_commands

ROOT = Path(__file__).parents[2]


def tellonce_without(package: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs a command in a process to which a package is not installed."""
    program = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from tellonce.cli.main import main
main()
"""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("package", sorted(demo_commands.EXTRA_PACKAGES))
def test_demo_without_its_extra_says_what_installs_it(package: str) -> None:
    """Who runs the demonstration where its parts are not installed gets one sentence with the command to run."""
    done = tellonce_without(package, "demo", "--residents", "50", "--changes", "10")

    assert done.returncode == 3, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert f"expected the package {package}" in done.stderr
    assert "pip install 'tellonce[demo]'" in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["check"], ["relay", "--help"], ["demo", "--help"]])
def test_other_commands_need_no_extra(arguments: list[str]) -> None:
    """A department's commands never load what only the demonstration needs."""
    done = tellonce_without("faker", *arguments)

    assert done.returncode == 0, done.stderr


def test_another_missing_package_is_not_taken_for_the_extra() -> None:
    """A broken installation is not answered by an advice that would not mend it."""
    done = tellonce_without("rich.progress", "demo", "--residents", "50", "--changes", "10")

    assert done.returncode == 1
    assert "tellonce[demo]" not in done.stderr


def test_extra_of_the_project_is_the_one_that_the_sentence_is_about() -> None:
    """Each package of the extra in pyproject.toml is answered by the sentence, and no other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[\[<>=]", text)[0] for text in project["optional-dependencies"]["demo"]}

    assert names == demo_commands.EXTRA_PACKAGES
