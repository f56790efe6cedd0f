"""What the Kafka settings accept, refuse and turn into."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tellonce.kafka.settings import REFUSED_SETTINGS, KafkaSettings
from tellonce.model.errors import ConfigurationError

LOGIN: dict[str, Any] = {"security_protocol": "sasl_ssl", "sasl_username": "fund", "sasl_password": "s3cret-word"}


def settings(**given: Any) -> KafkaSettings:
    """Settings with an address, and what a test names."""
    return KafkaSettings(**{"bootstrap_servers": "kafka:9092"} | given)


def test_settings_nested_in_the_environment_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting is TELLONCE_KAFKA__ and its name, as the handbook says."""

    class Service(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="TELLONCE_", env_nested_delimiter="__")
        kafka: KafkaSettings

    monkeypatch.setenv("TELLONCE_KAFKA__BOOTSTRAP_SERVERS", "a:1,b:2")
    monkeypatch.setenv("TELLONCE_KAFKA__GROUP_PROTOCOL", "classic")
    monkeypatch.setenv("TELLONCE_KAFKA__EXTRA", '{"linger.ms": "20"}')

    found = Service().kafka  # type: ignore[call-arg]  # the environment gives it

    assert (found.bootstrap_servers, found.group_protocol, found.extra) == ("a:1,b:2", "classic", {"linger.ms": "20"})


@pytest.mark.parametrize("name", sorted(REFUSED_SETTINGS))
def test_extra_setting_that_would_break_a_guarantee_is_refused(name: str) -> None:
    """No guarantee can be configured away, and no setting has two places."""
    with pytest.raises(ValidationError, match=name.replace(".", r"\.")):
        settings(extra={name: "1"})


def test_extra_setting_that_breaks_nothing_passes() -> None:
    """What tellonce has no opinion on is the operator's."""
    found = settings(extra={"socket.timeout.ms": "5000"})

    assert found.extra == {"socket.timeout.ms": "5000"}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"security_protocol": "sasl_ssl"}, "SASL_USERNAME"),
        ({**LOGIN, "sasl_password": None}, "SASL_PASSWORD_FILE"),
        ({**LOGIN, "security_protocol": "plaintext"}, "sasl_ssl"),
        ({**LOGIN, "security_protocol": "sasl_plaintext", "sasl_mechanism": "plain"}, "readable"),
        ({**LOGIN, "sasl_password_file": "/run/secrets/kafka"}, "give one"),
        ({"ssl_ca_location": "/etc/ca.pem"}, "has no TLS"),
        ({"security_protocol": "ssl", "ssl_key_location": "/etc/key.pem"}, "belong together"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, Any], named: str) -> None:
    """A login or a certificate that would not be used is a mistake, and the message says which."""
    with pytest.raises(ValidationError, match=named):
        settings(**given)


def test_refused_settings_do_not_show_a_password() -> None:
    """A message about settings goes to logs, so a password is never in it."""
    with pytest.raises(ValidationError) as refused:
        settings(**LOGIN | {"security_protocol": "plaintext"})

    assert "s3cret-word" not in str(refused.value)
    assert "s3cret-word" not in repr(settings(**LOGIN))


def test_password_file_is_read_anew_without_its_newline(tmp_path: Path) -> None:
    """A password that was changed in its file counts for the next client."""
    file = tmp_path / "password"
    file.write_text("first\n", encoding="utf-8")
    found = settings(**LOGIN | {"sasl_password": None, "sasl_password_file": file})
    first = found.connection_config()["sasl.password"]

    file.write_text("second\r\n", encoding="utf-8")

    assert (first, found.connection_config()["sasl.password"]) == ("first", "second")


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_password_file_without_a_password_is_a_configuration_error(tmp_path: Path, content: bytes | None) -> None:
    """A missing, empty or binary password file is named with its setting."""
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    found = settings(**LOGIN | {"sasl_password": None, "sasl_password_file": file})

    with pytest.raises(ConfigurationError, match="SASL_PASSWORD_FILE"):
        found.connection_config()


def test_missing_certificate_file_is_a_configuration_error(tmp_path: Path) -> None:
    """A certificate that cannot be read is told by its path and setting, not by OpenSSL."""
    found = settings(security_protocol="SSL", ssl_ca_location=tmp_path / "none.pem")

    with pytest.raises(ConfigurationError, match=r"none\.pem.*SSL_CA_LOCATION"):
        found.connection_config()


def test_tls_always_verifies_the_broker() -> None:
    """With TLS the broker's certificate and name are checked, whatever librdkafka's defaults become."""
    config = settings(**LOGIN).connection_config()

    assert config["enable.ssl.certificate.verification"] is True
    assert config["ssl.endpoint.identification.algorithm"] == "https"
