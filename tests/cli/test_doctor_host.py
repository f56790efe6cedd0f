"""Each fault of a host that `tellonce doctor` looks for, planted in settings and files."""

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cli.planting import DEPARTMENT, ROOT, World, assert_finding, look, states
from tellonce.cli.doctor import host
from tellonce.cli.doctor.checks import State
from tellonce.cli.doctor.examination import examine
from tellonce.cli.doctor.host import LEAST_CLIENT
from tellonce.cli.doctor.probes import Budget
from tellonce.cli.settings import load_settings
from tellonce.control.signing import public_key_of
from tellonce.keyring import new_signing_key


def test_host_on_which_all_is_well(given: dict[str, Any]) -> None:
    """Nothing is wrong where nothing is."""
    found = look(given)

    assert states(found, State.OK) == set(found) - {"signatures"}, found
    assert states(found, State.WARN) == {"signatures"}, "nobody signs by the topology of the demonstration"
    assert all(finding.remedy is None for name, finding in found.items() if name != "signatures")


def test_without_a_department_only_what_needs_none_is_looked_at(given: dict[str, Any]) -> None:
    """Whoever runs the broker has no department's keys or database."""
    found = look(given, department=None)

    assert states(found, State.OK) == set(found)
    assert not {"keys", "declarations", "rights", "database", "capture", "metrics port"} & set(found)


def test_software_that_is_too_old_is_told(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """An old client would ignore settings on which a guarantee rests."""
    monkeypatch.setattr("tellonce.cli.doctor.host.confluent_kafka.version", lambda: "2.5.0")
    monkeypatch.setattr(host, "LEAST_PYTHON", (9, 9))

    found = look(given)

    assert_finding(found["kafka client"], State.FAIL, "found 2.5.0", "pip install")
    assert_finding(found["python"], State.FAIL, "expected Python", "install Python")


def test_least_client_is_that_of_the_project() -> None:
    """The check and the project's own dependency say the same."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]

    assert f"confluent-kafka>={'.'.join(map(str, LEAST_CLIENT))}" in dependencies


@pytest.mark.parametrize(
    ("change", "sentence", "remedy"),
    [
        ({"kafka": {"bootstrap_servers": "kafka.example:9092"}}, "plaintext to kafka.example", "SECURITY_PROTOCOL"),
        ({"metrics_host": "0.0.0.0"}, "beyond this machine", "TELLONCE_METRICS_HOST"),  # noqa: S104 - the fault
    ],
)
def test_unsafe_setting_is_warned_of(given: dict[str, Any], change: dict[str, Any], sentence: str, remedy: str) -> None:
    """What works and lets others see or do more than they should is told, and holds nothing up."""
    found = look({**given, **change})

    assert_finding(found["safety"], State.WARN, sentence, remedy)
    assert not states(found, State.FAIL) | states(found, State.SKIPPED)


def test_password_in_the_environment_is_warned_of_and_never_shown(given: dict[str, Any]) -> None:
    """A URL's password belongs into a file, in whichever part of the URL it is, and no sentence quotes it."""
    for url in ("postgresql://clerk:hunter2@127.0.0.1:1/a", "postgresql://127.0.0.1:1/a?user=b&password=hunter2"):
        found = look({**given, "database_url": url})

        assert_finding(found["safety"], State.WARN, "TELLONCE_DATABASE_URL holds a password", "_URL_FILE")
        assert_finding(found["database"], State.FAIL, "127.0.0.1:1", "TELLONCE_DATABASE_URL")
        assert "hunter2" not in str(found)


def test_secret_file_that_others_may_read_is_told(given: dict[str, Any], tmp_path: Path) -> None:
    """A key that others read is refused by the services; a password's file is warned of."""
    key = next((tmp_path / "keys").glob("*.key"))
    key.chmod(0o644)
    password = tmp_path / "password"
    password.write_text("hunter2")
    password.chmod(0o640)
    login = {"security_protocol": "sasl_ssl", "sasl_username": "a", "sasl_password_file": password}

    found = look({**given, "kafka": {**given["kafka"], **login}})

    assert f"{password} may be read by others" in found["safety"].sentence
    assert f"{key} may be read by others" in found["safety"].sentence
    assert found["safety"].remedy == f"chmod 600 {password}"


def test_department_that_does_not_sign_is_told(given: dict[str, Any], tmp_path: Path) -> None:
    """Where the topology lists no key of it, it may be spoken for; where it lists one, the secret half must fit."""
    assert_finding(look(given)["signatures"], State.WARN, f"lists no key of {DEPARTMENT}", "tellonce keys sign")
    text = given["topology"].read_text()
    given["topology"] = tmp_path / "signed.yaml"
    listed = public_key_of(new_signing_key(given["keys"], DEPARTMENT))
    given["topology"].write_text(f"{text}\nsigning_keys: {{{DEPARTMENT}: [{listed}]}}\n")

    assert look(given)["signatures"].state is State.OK
    (given["keys"] / f"{DEPARTMENT}.sign").chmod(0o644)
    assert_finding(look(given)["signatures"], State.FAIL, f"{DEPARTMENT}.sign may be read by others", "chmod 600")


def test_wrong_settings_are_the_first_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without settings nothing else can be looked at, and the variable is named."""
    monkeypatch.setenv("TELLONCE_DATABASE_ULR", "hunter2")

    found = {one.name: one.finding for one in examine(load_settings, DEPARTMENT, World().probes(), Budget(60))}

    assert_finding(found["settings"], State.FAIL, "TELLONCE_DATABASE_ULR is no setting", "TELLONCE_DATABASE_ULR")
    assert states(found, State.OK) == {"python", "kafka client"}
    assert "hunter2" not in str(found)


def test_contract_that_is_wrong_is_told_by_its_part(given: dict[str, Any], tmp_path: Path) -> None:
    """Topology, schemas, department and declarations each fail by themselves."""
    (tmp_path / "broken.yaml").write_text("city: X\ndepartments: [\n")
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas")
    changed = next((tmp_path / "schemas").rglob("*.avsc"))
    changed.write_text(changed.read_text().replace('"string"', '"bytes"', 1))
    (tmp_path / "consumers").mkdir()

    topology = look({**given, "topology": tmp_path / "broken.yaml"})
    schemas = look({**given, "schemas": tmp_path / "schemas"})
    declarations = look({**given, "consumers": tmp_path / "consumers"})
    department = look(given, department="civil-afairs")

    assert_finding(topology["topology"], State.FAIL, "broken.yaml:", "tellonce check")
    assert_finding(schemas["schemas"], State.FAIL, changed.name, "tellonce schemas")
    assert_finding(declarations["declarations"], State.FAIL, "civil_affairs.py", "tellonce check")
    assert_finding(department["department"], State.FAIL, "did you mean civil-affairs", "tellonce topology show")
    assert {"declarations", "keys", "rights", "tables"} <= states(department, State.SKIPPED)


def test_missing_keys_are_named_with_the_command_that_makes_them(given: dict[str, Any], tmp_path: Path) -> None:
    """Each view of the department has its key here."""
    (tmp_path / "keys" / "citizen.identity.key").unlink()

    assert_finding(look(given)["keys"], State.FAIL, "citizen.identity", "tellonce keys new citizen.identity")
