"""The reconciler's settings."""

from pathlib import Path

import pytest

from tellonce.model.errors import ConfigurationError
from tellonce.reconcile.policy import ReconciliationPolicy, load_policy


def declare(folder: Path, text: str) -> Path:
    (folder / "reconciliation.py").write_text(text)
    return folder


def test_declared_policy_is_loaded(tmp_path: Path) -> None:
    """The reconciler is as patient as its file says."""
    text = "from tellonce.reconcile.policy import ReconciliationPolicy\npolicy = ReconciliationPolicy(drills_at_once=3)"

    assert load_policy(declare(tmp_path, text)).drills_at_once == 3


def test_the_citys_own_declaration_is_good() -> None:
    """The file in the repository can be loaded."""
    consumers = Path(__file__).parents[2] / "consumers"

    assert (consumers / "reconciliation.py").is_file()
    assert load_policy(consumers).repair_round_seconds > 0


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    """A city need not declare what it does not want to change."""
    assert load_policy(tmp_path) == ReconciliationPolicy()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("policy = 1", "expected `policy = ReconciliationPolicy"),
        ("", "expected `policy = ReconciliationPolicy"),
        ("policy = (", "reconciliation.py:1:10: not valid Python"),
        ("import no_such_module", "ModuleNotFoundError"),
        (
            "from tellonce.reconcile.policy import ReconciliationPolicy\npolicy = ReconciliationPolicy(marks_kept=0)",
            "reconciliation.py: .*marks_kept is above 0",
        ),
    ],
)
def test_wrong_declaration_is_refused_with_its_place(tmp_path: Path, text: str, what: str) -> None:
    """A person is told which file is wrong and what was expected."""
    with pytest.raises(ConfigurationError, match=what):
        load_policy(declare(tmp_path, text))


def test_page_larger_than_an_answer_is_refused() -> None:
    """No answer holds more records than the protocol allows."""
    with pytest.raises(ConfigurationError, match="page_records"):
        ReconciliationPolicy(page_records=5_001)
