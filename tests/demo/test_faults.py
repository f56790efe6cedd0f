"""The edits planted behind the services' backs."""

from collections.abc import Callable, Mapping

import pytest
from sqlalchemy import Engine

from demo.correcting import correct_everything
from tellonce.demo.check import check
from tellonce.demo.faults import Fault, FaultPlan, plan_faults
from tellonce.demo.generation import City, build_city
from tellonce.model.errors import ConfigurationError, RetryableError

RowsOf = Callable[[Engine, str], list[dict[str, object]]]

POSTGRES_TRIGGERS = """
CREATE TABLE seen (resident_id bigint);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (NEW.resident_id);
RETURN NEW; END $$;
CREATE TRIGGER plain AFTER UPDATE ON resident FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER "Always on" AFTER UPDATE ON resident FOR EACH ROW EXECUTE FUNCTION see();
ALTER TABLE resident ENABLE ALWAYS TRIGGER "Always on";
CREATE TRIGGER off AFTER UPDATE ON resident FOR EACH ROW EXECUTE FUNCTION see();
ALTER TABLE resident DISABLE TRIGGER off
"""
SQLITE_TRIGGERS = (
    "CREATE TABLE seen (resident_id INTEGER)",
    'CREATE TRIGGER "one; more" AFTER UPDATE ON resident BEGIN INSERT INTO seen VALUES (NEW.resident_id); END',
    "CREATE TRIGGER second AFTER UPDATE ON resident WHEN NEW.name LIKE '%x' BEGIN SELECT 1; END",
)


@pytest.fixture
def plan(city: City) -> FaultPlan:
    """The faults of the small city."""
    return plan_faults(city, 11)


def triggers_of(engine: Engine) -> list[tuple[object, ...]]:
    """The triggers of the register with all that says how they fire."""
    query = (
        "SELECT tgname, tgenabled::text FROM pg_trigger WHERE tgrelid = 'resident'::regclass ORDER BY 1"
        if engine.dialect.name == "postgresql"
        else "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY 1"
    )
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def add_triggers(engine: Engine) -> None:
    """Lets two triggers note each changed row in a table."""
    statements = (POSTGRES_TRIGGERS,) if engine.dialect.name == "postgresql" else SQLITE_TRIGGERS
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def at_authority(plan: FaultPlan) -> Fault:
    """The fault that hides a change from capture."""
    (found,) = (fault for fault in plan.faults if fault.planted.department == "public-security")
    return found


def test_plan_has_every_kind_of_fault_at_three_departments(plan: FaultPlan) -> None:
    """A run plants an altered value, a deleted row in either scope, an old value, and a change without triggers."""
    planted = [(fault.planted.department, fault.planted.kind, fault.planted.policy) for fault in plan.faults]

    assert sorted(planted) == [
        ("healthcare", "altered", "flag"),
        ("provident-fund", "altered", "repair"),
        ("provident-fund", "missing", "repair"),
        ("public-security", "unseen", "sweep"),
        ("social-security", "altered", "repair"),
        ("social-security", "missing", "repair"),
    ]


def test_faults_concern_different_residents_whom_the_load_avoids(plan: FaultPlan) -> None:
    """Each fault has a resident of its own, so one cannot hide another."""
    assert {int(fault.planted.record_key) for fault in plan.faults} == plan.avoid
    assert len(plan.avoid) == len(plan.faults)


def test_each_fault_is_what_the_independent_check_then_finds(
    city: City, plan: FaultPlan, databases: Mapping[str, str], filled: Mapping[str, Engine]
) -> None:
    """Once all is corrected, the planted edits are all that is wrong, each at its record and of its kind."""
    correct_everything(city, filled)
    assert check(databases, ownership=city.ownership_facts())["unexpected"] == []

    planted = [fault.plant(filled) for fault in plan.faults]

    at_departments = {
        (one.department, one.view, one.record_key, {"altered": "differs"}.get(one.kind, one.kind))
        for one in planted
        if one.kind != "unseen"
    }
    unseen = {one.record_key for one in planted if one.kind == "unseen"}
    unexpected = check(databases, ownership=city.ownership_facts())["unexpected"]
    found = {(one["department"], one["view"], one["record_key"], str(one["kind"])) for one in unexpected}
    assert {one for one in found if one[2] not in unseen} == at_departments
    assert {(one[0], one[3]) for one in found if one[2] in unseen} >= {
        ("social-security", "differs"),
        ("healthcare", "differs"),
    }


def test_fault_is_refused_while_its_row_is_not_there_yet(plan: FaultPlan, filled_sqlite: Mapping[str, Engine]) -> None:
    """An old number is put back only where the new one had arrived; until then nothing is edited."""
    (old_number,) = (fault for fault in plan.faults if fault.title == "the old number is put back")

    with pytest.raises(RetryableError, match="provident-fund"):
        old_number.plant(filled_sqlite)


def test_change_at_the_authority_fires_no_trigger_and_leaves_them_as_they_were(
    plan: FaultPlan, filled: Mapping[str, Engine], rows_of: RowsOf
) -> None:
    """ENABLE ALWAYS triggers are silent too, a disabled one stays disabled, and the next change is seen again."""
    register = filled["public-security"]
    add_triggers(register)
    before = triggers_of(register)
    fault = at_authority(plan)

    fault.plant(filled)

    (changed,) = (row for row in rows_of(register, "resident") if str(row["resident_id"]) == fault.planted.record_key)
    assert str(changed["name"]).endswith("改名")
    assert rows_of(register, "seen") == []
    assert triggers_of(register) == before
    with register.begin() as connection:
        connection.exec_driver_sql("UPDATE resident SET phone = NULL WHERE resident_id = 10000001")
    assert rows_of(register, "seen")


def test_city_too_small_for_every_fault_is_refused() -> None:
    """A run without a victim for each fault is refused plainly, instead of showing less than it says."""
    with pytest.raises(ConfigurationError, match="more residents"):
        plan_faults(build_city(1, 10), 1)
