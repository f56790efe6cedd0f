"""What `make test` makes of a failure: a flake is named and sinks no run, a defect does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN_TESTS = Path(__file__).parents[2] / "tools" / "run_tests.py"
PASSING = "def test_passing():\n    pass\n"
FAILING = "def test_failing():\n    raise AssertionError\n"
# It fails where no run before it has left the file.
FLAKY = """
import pathlib
import pytest

@pytest.mark.xdist_group("server-kafka-1")
@pytest.mark.parametrize("at", ["a@b"])
def test_flaky(at):
    seen = pathlib.Path(__file__).with_name("seen")
    assert seen.exists() or seen.touch()
"""
MANY = "import pytest\n\n@pytest.mark.parametrize('n', range(6))\ndef test_many(n):\n    raise AssertionError\n"


def run(folder: Path, content: str) -> tuple[int, str]:
    """Run one file of tests as `make test` does, beside each other, and give exit code and output."""
    (folder / "test_one.py").write_text(content, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, str(RUN_TESTS), "-n1", "--randomly-seed=7", "--", "test_one.py"],
        cwd=folder,
        env={**os.environ, "CI": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    return done.returncode, done.stdout


def test_flake_is_named_and_the_run_is_green(tmp_path: Path) -> None:
    """What fails beside others and passes alone is named with its seed, under its own name."""
    code, output = run(tmp_path, PASSING + FLAKY)

    failed, _, named = output.partition("== flaky")
    assert code == pytest.ExitCode.OK, output
    assert "test_one.py::test_flaky[a@b]@server-kafka-1" in failed, "pytest-xdist does not know the groups"
    assert "test_one.py::test_flaky[a@b]\n" in named
    assert "--randomly-seed=7" in named


@pytest.mark.parametrize(
    ("content", "code", "runs"),
    [
        (FLAKY + FAILING, pytest.ExitCode.TESTS_FAILED, 2),
        (MANY, pytest.ExitCode.TESTS_FAILED, 1),
        ("", pytest.ExitCode.NO_TESTS_COLLECTED, 1),
    ],
    ids=["one fails beside a flake", "too many fail", "nothing there"],
)
def test_nothing_else_is_taken_for_a_flake(tmp_path: Path, content: str, code: int, runs: int) -> None:
    """A failure that comes again, many failures, and a run of no test keep pytest's exit code."""
    found, output = run(tmp_path, content)

    assert found == code, output
    assert "== flaky" not in output
    assert output.count("session starts") == runs
