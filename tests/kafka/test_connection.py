"""The one sentence that says why Kafka cannot be used, and that it comes in time."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kafka_brokers import Broker, settings_of, unique
from tellonce.kafka.connection import Symptoms, check_connection, diagnose
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import ConfigurationError, RetryableError, TellonceError
from tellonce.testing import kafka_server
from tellonce.testing.kafka_server import KafkaServer

# What a person waits at most; the settings' own limit is 5 s.
PATIENCE_SECONDS = 5.5


@contextmanager
def fails_in_time(expected: type[TellonceError], sentence: str) -> Iterator[None]:
    """Expect an error of one line that says this, within 5 s."""
    started = time.monotonic()
    with pytest.raises(expected, match=sentence) as failed:
        yield
    assert time.monotonic() - started < PATIENCE_SECONDS
    assert "\n" not in str(failed.value)


def changed(settings: KafkaSettings, **given: Any) -> KafkaSettings:
    """The settings with some of them given anew, None to leave one out."""
    fields = {name: getattr(settings, name) for name in settings.model_fields_set} | given
    return KafkaSettings(**{name: value for name, value in fields.items() if value is not None})


def symptoms(*errors: tuple[str, str], lines: tuple[str, ...] = ()) -> Symptoms:
    """What a client said."""
    return Symptoms(errors=list(errors), lines=list(lines))


def test_broker_that_answers_passes(broker: Broker) -> None:
    """A broker that can be used raises nothing, with topics or without."""
    topic = broker.topic()

    check_connection(broker.settings)
    check_connection(broker.settings, [topic])
    check_connection(broker.settings, reads=[topic], writes=[topic])


def test_missing_topic_names_the_command_that_makes_it(broker: Broker) -> None:
    """A topic that was not made is for an administrator, and its name is told."""
    name = unique("nowhere")

    with fails_in_time(ConfigurationError, rf"no topic {name} .*tellonce topics apply"):
        check_connection(broker.settings, [broker.topic(), name])


def test_several_missing_topics_are_counted(broker: Broker) -> None:
    """Whoever forgot `topics apply` gets one sentence, not one for each topic."""
    names = [unique("nowhere") for _ in range(3)]

    with fails_in_time(ConfigurationError, "none of 3 topics"):
        check_connection(broker.settings, names)


def test_port_where_nothing_listens_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    """A broker that is down gives one sentence, and librdkafka prints nothing."""
    with fails_in_time(RetryableError, r"nothing listens at 127\.0\.0\.1:1: start the broker"):
        check_connection(KafkaSettings(bootstrap_servers="127.0.0.1:1"))

    assert capfd.readouterr().err == ""


def test_server_that_stays_silent_is_told_in_time() -> None:
    """A firewall that swallows everything must not hold a service's start."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]

        with fails_in_time(RetryableError, "no answer from .* within 1 s"):
            check_connection(KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}", connect_timeout_seconds=1))


def test_one_broker_of_several_is_enough(embedded: Broker) -> None:
    """A broker of the list that is away does not matter."""
    servers = f"127.0.0.1:1,{embedded.settings.bootstrap_servers}"

    check_connection(changed(embedded.settings, bootstrap_servers=servers))


@pytest.mark.kafka
def test_wrong_password_is_told(secure_kafka: KafkaServer) -> None:
    """A wrong password only shows in a callback; without it the network would seem dead."""
    settings = changed(settings_of(secure_kafka), sasl_password="wrong")

    with fails_in_time(RetryableError, "refused the login of user 'admin'.*SASL_PASSWORD"):
        check_connection(settings)


@pytest.mark.kafka
def test_unknown_login_mechanism_is_told_with_those_that_are_known(secure_kafka: KafkaServer) -> None:
    """The broker names the mechanisms it knows, and so does the sentence."""
    settings = changed(settings_of(secure_kafka), sasl_mechanism="PLAIN")

    with fails_in_time(RetryableError, "SASL_MECHANISM to one of SCRAM-SHA-512"):
        check_connection(settings)


@pytest.mark.kafka
def test_certificate_of_another_authority_is_told(secure_kafka: KafkaServer, tmp_path: Path) -> None:
    """A broker that another authority signed is not trusted, and the setting is named."""
    other = tmp_path / "other.pem"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(tmp_path / "other.key")]
    subprocess.run(
        ["openssl", "req", "-x509", *key, "-subj", "/CN=another", "-days", "1", "-out", str(other)],
        check=True,
        capture_output=True,
    )

    with fails_in_time(RetryableError, rf"not signed by an authority in {other}.*SSL_CA_LOCATION"):
        check_connection(changed(settings_of(secure_kafka), ssl_ca_location=other))


@pytest.mark.kafka
def test_client_without_tls_at_a_port_with_tls_is_told(secure_kafka: KafkaServer) -> None:
    """The broker just closes such a connection; what it means is told."""
    with fails_in_time(RetryableError, "as a port with TLS does.*SECURITY_PROTOCOL to sasl_ssl or ssl"):
        check_connection(KafkaSettings(bootstrap_servers=secure_kafka.bootstrap_servers))


@pytest.mark.kafka
def test_client_without_login_at_a_port_with_login_is_told(secure_kafka: KafkaServer) -> None:
    """TLS alone is not enough where the broker wants a user."""
    settings = KafkaSettings(
        bootstrap_servers=secure_kafka.bootstrap_servers,
        security_protocol="ssl",
        ssl_ca_location=secure_kafka.ca_path,
    )

    with fails_in_time(RetryableError, "does not log in.*SECURITY_PROTOCOL to sasl_ssl"):
        check_connection(settings)


@pytest.mark.kafka
def test_client_with_tls_at_a_plain_port_is_told(kafka: KafkaServer) -> None:
    """The other way round is told as well."""
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, security_protocol="ssl")

    with fails_in_time(RetryableError, "does not speak TLS.*SECURITY_PROTOCOL to plaintext"):
        check_connection(settings)


@pytest.mark.kafka
def test_client_with_login_at_a_plain_port_is_told(kafka: KafkaServer) -> None:
    """A login that nobody asks for is told as that, not as a wrong password."""
    settings = KafkaSettings(
        bootstrap_servers=kafka.bootstrap_servers,
        security_protocol="sasl_plaintext",
        sasl_username="fund",
        sasl_password="word",  # type: ignore[arg-type]  # pydantic makes it a SecretStr
    )

    with fails_in_time(RetryableError, "does not ask for a login"):
        check_connection(settings)


@pytest.mark.kafka
def test_topic_without_any_right_is_told_before_it_is_read(secure_kafka: KafkaServer) -> None:
    """Reading a forbidden topic is silent for ever, so the start refuses."""
    topic = Broker(settings=settings_of(secure_kafka)).topic()
    user = unique("stranger")
    secure_kafka.add_user(user, "word")

    with fails_in_time(ConfigurationError, rf"user '{user}' sees no topic {topic}"):
        check_connection(settings_of(secure_kafka, user), reads=[topic])


@pytest.mark.kafka
@pytest.mark.kafka
def test_advertised_address_that_cannot_be_resolved_is_told() -> None:
    """The classic mistake: the broker answers, but names an address that only its own network knows."""
    properties = {"advertised.listeners": "CLIENT://broker.invalid:9092"}

    with KafkaServer(kafka_server.KafkaSettings(properties=properties)) as server:
        settings = KafkaSettings(bootstrap_servers=server.bootstrap_servers, connect_timeout_seconds=2)

        with fails_in_time(RetryableError, r"connect to broker\.invalid:9092, which this machine cannot resolve"):
            check_connection(settings, ["any"])


@pytest.mark.parametrize(
    ("given", "said", "sentence"),
    [
        (
            {"security_protocol": "ssl"},
            symptoms(("_SSL", "x/bootstrap: SSL handshake failed: alert number 116: certificate required (after 3ms)")),
            "asks for a client's certificate",
        ),
        (
            {"security_protocol": "ssl"},
            symptoms(("_SSL", "ssl://x/bootstrap: SSL handshake failed: tlsv1 alert protocol version")),
            "TLS with kafka:9092 failed: SSL handshake failed: tlsv1 alert protocol version",
        ),
        (
            {},
            symptoms(("_BAD_MSG", "x/bootstrap: Receive failed: Invalid response size 1213486160 (0..100000000)")),
            "if it is not Kafka's",
        ),
        ({}, symptoms(("_RESOLVE", "kafka:9092/bootstrap: Failed to resolve")), "host name in kafka:9092"),
        (
            {},
            symptoms(("_TRANSPORT", "localhost:9092/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused")),
            "tells clients to connect to localhost:9092, where nothing answers",
        ),
        ({}, symptoms(), "no answer from kafka:9092 within 5 s"),
    ],
)
def test_symptoms_are_told_as_their_likeliest_cause(given: dict[str, Any], said: Symptoms, sentence: str) -> None:
    """What cannot be staged here, or only slowly, is told from what a client said of it."""
    assert sentence in diagnose(KafkaSettings(bootstrap_servers="kafka:9092", **given), said)
