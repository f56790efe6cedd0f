"""Each record of the outbox is looked at once: by the strongest reason, and with the time of its oldest change."""

from itertools import permutations

import pytest

from tellonce.model.change import Origin
from tellonce.publish.looks import looks_of
from tellonce.storage.outbox import OutboxRow


def row(number: int, key: str | None, origin: Origin, at_ms: int) -> OutboxRow:
    """A row of the outbox."""
    return OutboxRow(outbox_id=number, record_key=key, origin=origin, committed_at_ms=at_ms)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_order_and_oldest_time_win_however_rows_stand(order: tuple[int, ...]) -> None:
    """A record that is ordered is told again, whatever else was noted of it before or after."""
    rows = [
        row(1, "a", Origin.CAPTURE, 30),
        row(2, "a", Origin.REPAIR, 20),
        row(3, "a", Origin.SWEEP, 10),
    ]

    (look,) = looks_of([rows[place] for place in order])

    assert (look.record_key, look.origin, look.committed_at_ms) == ("a", Origin.REPAIR, 10)


def test_records_stay_apart_and_unknown_ones_are_left_out() -> None:
    """Records come in the order in which they were first noted; a row of no known record is nobody's."""
    rows = [
        row(1, "b", Origin.CAPTURE, 1),
        row(2, None, Origin.SWEEP, 2),
        row(3, "a", Origin.CAPTURE, 3),
        row(4, "b", Origin.CAPTURE, 4),
    ]

    assert [(look.record_key, look.committed_at_ms) for look in looks_of(rows)] == [("b", 1), ("a", 3)]
