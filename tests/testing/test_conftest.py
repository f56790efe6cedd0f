"""The rule that a run in CI leaves nothing out."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
PASSING = "def test_passing():\n    pass\n"
SKIPPED = "import pytest\n\n\n@pytest.mark.skip(reason='not today')\ndef test_skipped():\n    pass\n"
NEEDS_KAFKA = "def test_kafka(kafka):\n    pass\n"
NEEDS_POSTGRES = "def test_postgres(postgres_database):\n    pass\n"


def run_pytest(folder: Path, content: str, *, ci: bool, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one test file under this project's conftest, in a process of its own."""
    shutil.copy(CONFTEST, folder / "conftest.py")
    (folder / "test_one.py").write_text(content, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", str(folder)],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "CI": "true" if ci else "", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


@pytest.mark.parametrize(
    ("content", "ci", "code"),
    [
        (PASSING, True, pytest.ExitCode.OK),
        (PASSING + SKIPPED, False, pytest.ExitCode.OK),
        (PASSING + SKIPPED, True, pytest.ExitCode.TESTS_FAILED),
        ("", True, pytest.ExitCode.NO_TESTS_COLLECTED),
    ],
    ids=["all pass", "skip at home", "skip in CI", "nothing there"],
)
def test_run_in_ci_fails_where_something_was_left_out(tmp_path: Path, content: str, ci: bool, code: int) -> None:
    """A green run in CI means that every test ran; at home a skip is only told."""
    assert run_pytest(tmp_path, content, ci=ci).returncode == code


@pytest.mark.parametrize(
    ("content", "reason"),
    [(NEEDS_KAFKA, "there is no java on PATH"), (NEEDS_POSTGRES, "needs initdb")],
    ids=["kafka", "postgres"],
)
def test_missing_server_is_named(tmp_path: Path, content: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the server a test is skipped with what is missing, and in CI it fails with the same words."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    # Debian's folder off PATH cannot be hidden by PATH.
    hide = "import tellonce.testing.postgres_server as p; p.SYSTEM_FOLDER = p.Path('/nowhere')\n"
    empty = {"PATH": str(tmp_path)}

    at_home = run_pytest(tmp_path, hide + content, ci=False, **empty)
    in_ci = run_pytest(tmp_path, hide + content, ci=True, **empty)

    assert at_home.returncode == pytest.ExitCode.OK
    assert "1 skipped" in at_home.stdout
    assert reason in at_home.stdout
    assert in_ci.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 error" in in_ci.stdout
    assert reason in in_ci.stdout
