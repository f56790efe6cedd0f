"""Guarantee 1: a committed change is published, a rolled-back one never is; and what is staged is sent as staged."""

import pytest
from contract.city import City
from sqlalchemy import text


def test_committed_change_is_published(city: City) -> None:
    """A change that its transaction committed is in the log."""
    city.begin_epoch()
    city.publish()

    city.add(1, name="Zhao Committed")
    city.publish()

    assert city.names_in_log() == ["Zhao Committed"]


def test_rolled_back_change_is_not_published(city: City) -> None:
    """A change whose transaction was rolled back is in no log."""
    city.begin_epoch()
    city.publish()

    with pytest.raises(ZeroDivisionError), city.engines[city.names.registry].begin() as connection:
        connection.execute(
            text("INSERT INTO resident (resident_id, id_number, name, born) VALUES (1, '1', 'Rolled Back', '1970-01-01')")
        )
        raise ZeroDivisionError
    city.add(2, name="Zhao Committed")
    city.publish()

    assert city.names_in_log() == ["Zhao Committed"]
