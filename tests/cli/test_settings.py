"""Settings come from the environment and a file, each with one default, and what is wrong is named by its variable."""

import os
from pathlib import Path

import pytest

from tellonce.cli.settings import Settings, load_settings
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import ConfigurationError, InvariantError
from tellonce.publish.cycle import CycleSettings


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("TELLONCE_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("variable", "value", "field"),
    [
        ("GROUP_PROTOCOL", "classic", "group_protocol"),
        ("MESSAGE_TIMEOUT_SECONDS", "3", "message_timeout_seconds"),
        ("EXTRA", '{"linger.ms": "20"}', "extra"),
    ],
)
def test_one_setting_of_kafka_leaves_the_others_their_defaults(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, field: str
) -> None:
    """Whoever sets one variable need not set another."""
    monkeypatch.setenv(f"TELLONCE_KAFKA__{variable}", value)

    found = load_settings().kafka

    assert getattr(found, field) != getattr(KafkaSettings(), field)
    assert found.model_copy(update={field: getattr(KafkaSettings(), field)}) == KafkaSettings()


def test_empty_values_count_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compose file that passes on a variable which is not set sets it to nothing."""
    for name in ("TELLONCE_DATABASE_URL", "TELLONCE_KAFKA__SASL_USERNAME", "TELLONCE_SWEEP_INTERVAL_SECONDS"):
        monkeypatch.setenv(name, "")

    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("TELLONCE_KAFKA__MAX_MESSAGE_BYTES", "20000", "TELLONCE_KAFKA__MAX_MESSAGE_BYTES: .* equal to 30000"),
        ("TELLONCE_KAFKA__MESSAGE_TIMEOUT_MS", "5", "no setting; did you mean TELLONCE_KAFKA__MESSAGE_TIMEOUT_SECONDS"),
        ("TELLONCE_DATABASE_ULR", "x", "TELLONCE_DATABASE_ULR is no setting; did you mean TELLONCE_DATABASE_URL"),
        ("TELLONCE_QQQQQQQQQQQQQQ", "x", "TELLONCE_QQQQQQQQQQQQQQ is no setting$"),
        ("TELLONCE_KAFKA__EXTRA", "linger=hunter2", "JSON object of strings in TELLONCE_KAFKA__EXTRA"),
        ("TELLONCE_KAFKA__EXTRA", "[1]", "TELLONCE_KAFKA__EXTRA: "),
        ("TELLONCE_SWEEP_INTERVAL_SECONDS", "often", "TELLONCE_SWEEP_INTERVAL_SECONDS: "),
    ],
)
@pytest.mark.parametrize("place", ["environment", "file"])
def test_wrong_setting_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str, variable: str, value: str, sentence: str
) -> None:
    """A misspelt or impossible setting is refused in one sentence, which never quotes the value."""
    file = tmp_path / "settings.env"
    file.write_text(f"{variable}='{value}'\n" if place == "file" else "", encoding="utf-8")
    if place == "environment":
        monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigurationError, match=sentence) as refused:
        load_settings(file)

    assert "hunter2" not in str(refused.value)


def test_derived_limits_follow_from_their_settings() -> None:
    """A lease outlives a message under way, and the smallest message leaves room for an event."""
    for seconds in (1, 10, 300):
        found = KafkaSettings(message_timeout_seconds=seconds)
        assert found.lease_seconds > found.message_timeout_seconds
    least = next(m.ge for m in KafkaSettings.model_fields["max_message_bytes"].metadata if hasattr(m, "ge"))
    assert KafkaSettings(max_message_bytes=least).max_event_bytes > 0


@pytest.mark.parametrize("lease_seconds", [0.0, 9.9, 10.0])
def test_lease_shorter_than_a_message_is_refused(lease_seconds: float) -> None:
    """Whoever wires a relay by hand cannot give it a lease that ends while a message is on its way."""
    with pytest.raises(InvariantError, match="expected a lease longer than"):
        CycleSettings(department="d", holder="h", lease_seconds=lease_seconds, message_timeout_seconds=10)
