"""The life of a divergence."""

import pytest

from tellonce.model.divergence import DivergenceState, divergence_id, is_open


@pytest.mark.parametrize("state", list(DivergenceState))
def test_only_resolved_is_closed(state: DivergenceState) -> None:
    """An accepted or explained divergence is still one."""
    assert is_open(state) is (state is not DivergenceState.RESOLVED)


def test_id_names_view_department_and_record() -> None:
    """The same record at another department, or in another view, is another divergence."""
    ids = {
        divergence_id("citizen.identity", "fund", "a"),
        divergence_id("citizen.identity", "health", "a"),
        divergence_id("citizen.residence", "fund", "a"),
        divergence_id("citizen.identity", "fund", "b"),
    }

    assert len(ids) == 4
    assert divergence_id("citizen.identity", "fund", "a") in ids
