"""What `make test` makes of a failure: a flake is named and sinks no run, a defect does."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest

RUN_TESTS = Path(__file__).parents[2] / "tools" / "run_tests.py"
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


def test_flake_is_named_and_the_run_is_green(tmp_path: Path) -> None:
    """What fails beside others and passes alone is named with its seed, under its own name."""
    (tmp_path / "test_one.py").write_text(FLAKY, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    done = subprocess.run(
        [sys.executable, str(RUN_TESTS), "-n1", "--randomly-seed=7", "--", "test_one.py"],
        cwd=tmp_path,
        env={**os.environ, "CI": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

    failed, _, named = done.stdout.partition("== flaky")
    assert done.returncode == pytest.ExitCode.OK, done.stdout
    assert "test_one.py::test_flaky[a@b]@server-kafka-1" in failed, "pytest-xdist does not know the groups"
    assert "test_one.py::test_flaky[a@b]\n" in named
    assert "--randomly-seed=7" in named


@pytest.fixture
def run_tests() -> ModuleType:
    """The tool as a module of its own."""
    spec = importlib.util.spec_from_file_location("run_tests", RUN_TESTS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("codes", "failed", "expected"),
    [
        ([0], 0, 0),
        ([5], 0, 5),
        ([2], 1, 2),
        ([1], 0, 1),
        ([1], 6, 1),
        ([1, 1], 1, 1),
        ([1, 4], 2, 4),
        ([1, 0], 5, 0),
    ],
    ids=[
        "all pass",
        "nothing there",
        "cannot be read",
        "skips that count as failures",
        "too many fail",
        "it fails again",
        "it is not found again",
        "flakes",
    ],
)
def test_only_what_passes_alone_is_taken_for_a_flake(
    run_tests: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    codes: list[int],
    failed: int,
    expected: int,
) -> None:
    """Every other outcome keeps pytest's exit code, and nothing runs twice that need not."""
    left: Iterator[int] = iter(codes)

    def pytest_as_told(arguments: Sequence[str]) -> int:
        cache = Path(next(one for one in arguments if one.startswith("cache_dir=")).removeprefix("cache_dir="))
        file = cache / "v" / "cache" / "lastfailed"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({f"test_one.py::test[{n}]@server-kafka-0": True for n in range(failed)}))
        return next(left)

    monkeypatch.setattr(run_tests, "pytest", pytest_as_told)

    code = run_tests.main(["-x", "--", "tests"])

    assert code == expected
    assert list(left) == []
    assert ("== flaky" in capsys.readouterr().out) == (expected == 0 and failed > 0)


def test_processes_of_tests_find_modules_compiled(tmp_path: Path) -> None:
    """What one process has compiled the next one reads, also where the user's environment keeps Python from it."""
    (tmp_path / "test_one.py").write_text(
        "import sys\ndef test_one():\n    assert not sys.dont_write_bytecode and sys.pycache_prefix\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    done = subprocess.run(
        [sys.executable, str(RUN_TESTS), "-n0", "--", "test_one.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

    assert done.returncode == pytest.ExitCode.OK, done.stdout
