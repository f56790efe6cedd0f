"""A city whose principals sign: it works as any other, and a broker's administrator can speak for nobody."""

import json
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from typer.testing import CliRunner

from contract.city import City, MakeCity
from contract.forms import id_number
from tellonce.cli.main import app
from tellonce.control.messages import Attestation, Mark, decode_message, encode_message
from tellonce.kafka.control import ControlWriter
from tellonce.kafka.reading import read_to_end
from tellonce.model.divergence import DivergenceKind
from tellonce.model.errors import ConfigurationError
from tellonce.topology.topics import OPERATOR, answers, attestations, marks


@pytest.fixture
def signed(make_city: MakeCity) -> City:
    """A city of one resident in which everybody signs, and all is applied."""
    city = make_city(signed=True)
    city.begin_epoch()
    city.add(1)
    city.run()
    return city


def append(city: City, topic: str, value: bytes) -> None:
    """What somebody with every right at the broker, and no secret key, can do."""
    with ControlWriter(city.kafka, "test-administrator") as writer:
        writer.write(topic, b"key", value)


def verified(city: City, monkeypatch: pytest.MonkeyPatch, *topics: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """What `tellonce evidence verify` says, by topic."""
    settings = city.settings(city.names.registry)
    monkeypatch.setenv("TELLONCE_TOPOLOGY", str(settings.topology))
    monkeypatch.setenv("TELLONCE_KAFKA__BOOTSTRAP_SERVERS", city.kafka.bootstrap_servers)
    monkeypatch.setenv("TELLONCE_KAFKA__GROUP_PROTOCOL", city.kafka.group_protocol)
    result = CliRunner().invoke(app, ["evidence", "verify", "--json", *topics])
    # The command's logs go to a standard error that is closed now.
    structlog.reset_defaults()
    return result.exit_code, {one["topic"]: one for one in json.loads(result.stdout)["topics"]}


def test_signed_city_is_proved_and_repaired(make_city: MakeCity) -> None:
    """Marks, attestations, questions, answers, requests and orders are all believed."""
    city = make_city(signed=True, on_divergence="repair")
    city.begin_epoch()
    city.add(1)
    city.run()
    city.execute(city.names.clinic, "UPDATE patient SET patient_name = 'Edited'")

    city.reconcile()
    city.run()
    reconciled = city.reconcile()

    assert city.patients() == {id_number(1): "Wang Fang"}
    assert (list(reconciled.divergences), reconciled.states(city.names.clinic)) == ([], {"proved"})


def test_forged_statements_are_told_and_change_no_finding(signed: City) -> None:
    """An edit stays found although somebody attests that all is well, in the department's name."""
    names = signed.names
    signed.execute(names.clinic, "UPDATE patient SET patient_name = 'Edited'")
    signed.apply(names.clinic)
    (_, honest) = (None, [m.value() or b"" for m in read_to_end(signed.kafka, attestations(names.clinic))])
    newest = decode_message(Attestation, honest[-1])
    mark = next(
        mark
        for message in read_to_end(signed.kafka, marks(names.registry))
        if (mark := decode_message(Mark, message.value() or b"")).partition == newest.partition
    )
    forged = newest.model_copy(update={"sum": mark.sum, "sequence": mark.sequence, "at_ms": 2**62})
    append(signed, attestations(names.clinic), encode_message(forged))

    with capture_logs() as logs:
        found = signed.reconcile()

    assert [(one.department, one.kind) for one in found.divergences] == [(names.clinic, DivergenceKind.ALTERED)]
    refused = [line for line in logs if line["event"] == "control_message_refused" and names.tag in line["topic"]]
    assert [line["topic"] for line in refused] == [attestations(names.clinic)]


def test_evidence_is_verified_by_public_keys_alone(signed: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """An assessor without any secret sees that all fits, and later which message is the first that does not."""
    names = signed.names
    signed.reconcile()
    # The reconciler's own topics hold what other cities of these tests have written, by other keys.
    topics = (marks(names.registry), attestations(names.clinic), answers(names.clinic))

    code, before = verified(signed, monkeypatch, *topics)
    append(signed, marks(names.registry), b"{}")
    append(signed, marks(names.registry), b"{}")
    later, after = verified(signed, monkeypatch, *topics)

    assert (code, later) == (0, 6), before
    assert {one["misfits"] for one in before.values()} == {0}
    assert before[marks(names.registry)]["messages"] > 0
    found = after[marks(names.registry)]
    assert (found["signed_by"], found["misfits"]) == (names.registry, 2)
    assert f"/{found['messages'] - 2}: " in found["first"]
    assert after[attestations(names.clinic)]["misfits"] == 0


def test_service_without_its_secret_does_not_start(signed: City) -> None:
    """One sentence says which file is missing, before anything is read."""
    name = signed.names.clinic
    (signed.settings(name).keys / f"{name}.sign").unlink()

    with pytest.raises(ConfigurationError, match="keys sign"), signed.applier(name):
        pass


def test_operator_who_only_looks_needs_no_secret(signed: City) -> None:
    """The public keys are in the topology."""
    settings = signed.settings(signed.names.registry)
    (settings.keys / f"{OPERATOR}.sign").unlink()

    with pytest.raises(ConfigurationError, match="keys sign operator"):
        signed.signatures(OPERATOR)
    assert list(signed.reconcile().divergences) == []
