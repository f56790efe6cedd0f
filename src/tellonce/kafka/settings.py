"""How to reach Kafka: the settings a person gives, and which of librdkafka's others may be passed through."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from tellonce.model.errors import ConfigurationError

__all__ = ["REFUSED_SETTINGS", "ClientConfig", "KafkaSettings"]

MESSAGE_ROOM_BYTES = 20_000
"""Kept free in each message for its key, its headers and its batch."""

LEAST_EVENT_BYTES = 10_000
"""The smallest limit of an event that leaves room for an ordinary record."""

ClientConfig = dict[str, str | int | bool]
"""librdkafka's settings by their own names."""

_OWN_FIELD = {
    "bootstrap.servers": "BOOTSTRAP_SERVERS",
    "metadata.broker.list": "BOOTSTRAP_SERVERS",
    "security.protocol": "SECURITY_PROTOCOL",
    "sasl.mechanism": "SASL_MECHANISM",
    "sasl.mechanisms": "SASL_MECHANISM",
    "sasl.username": "SASL_USERNAME",
    "sasl.password": "SASL_PASSWORD",
    "ssl.ca.location": "SSL_CA_LOCATION",
    "ssl.certificate.location": "SSL_CERTIFICATE_LOCATION",
    "ssl.key.location": "SSL_KEY_LOCATION",
    "ssl.key.password": "SSL_KEY_PASSWORD",
    "group.protocol": "GROUP_PROTOCOL",
    "message.timeout.ms": "MESSAGE_TIMEOUT_SECONDS",
    "delivery.timeout.ms": "MESSAGE_TIMEOUT_SECONDS",
    "message.max.bytes": "MAX_MESSAGE_BYTES",
}

# Aliases are listed beside the names, or a setting could be changed by its other name.
_GUARANTEED = {
    "enable.idempotence": "without it a retry may reorder or repeat a record's versions",
    "enable.gapless.guarantee": "the relay repairs gaps itself, and needs the other streams to go on",
    "acks": "an event counts as sent only when all in-sync replicas have it",
    "request.required.acks": "an event counts as sent only when all in-sync replicas have it",
    "retries": "idempotence needs librdkafka's own number of retries",
    "message.send.max.retries": "idempotence needs librdkafka's own number of retries",
    "max.in.flight": "more than five requests in flight may reorder",
    "max.in.flight.requests.per.connection": "more than five requests in flight may reorder",
    "partitioner": "every client must find a record in the same partition",
    "transactional.id": "no guarantee rests on Kafka's transactions",
    "enable.auto.commit": "positions are kept in the department's database",
    "auto.commit.enable": "positions are kept in the department's database",
    "auto.commit.interval.ms": "positions are kept in the department's database",
    "enable.auto.offset.store": "positions are kept in the department's database",
    "auto.offset.reset": "a position that the log no longer has must stop the stream, not be guessed",
    "check.crcs": "a flipped bit must not reach a department's table",
    "isolation.level": "an aborted write must not reach a department's table",
    "enable.partition.eof": "a gap in a compacted log closes at its end, which only this event tells",
    "allow.auto.create.topics": "a misspelt topic would be made, with settings that lose records",
    "partition.assignment.strategy": "partitions are taken and given back one by one",
    "group.id": "it follows from the department",
    "client.id": "it follows from the service",
    "ssl.endpoint.identification.algorithm": "a broker must prove that it is the one asked for",
    "enable.ssl.certificate.verification": "a broker must prove that it is the one asked for",
    "ssl.certificate.verify_cb": "a broker must prove that it is the one asked for",
    "enable.metrics.push": "nothing about a department's clients is sent to others",
    "test.mock.num.brokers": "the client would talk to a broker of its own that forgets everything",
    "plugin.library.paths": "the client would run code of others",
    "log.queue": "librdkafka's log goes into ours",
    "api.version.request": "idempotence needs the broker's versions",
    "topic.blacklist": "a topic would be left out silently",
}

REFUSED_SETTINGS: frozenset[str] = frozenset(_OWN_FIELD) | frozenset(_GUARANTEED)
"""librdkafka's settings that `extra` may not name: they have a field of their own, or a guarantee rests on them."""

_PASSWORD_MECHANISMS = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class KafkaSettings(BaseModel):
    """How a service reaches Kafka; from the environment as TELLONCE_KAFKA__BOOTSTRAP_SERVERS and so on.

    A password is given itself or by the file that holds it; the file is read anew for each client.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    bootstrap_servers: str = Field(
        default="127.0.0.1:9092", min_length=1, description="Brokers to ask first, `host:port,host:port`."
    )
    security_protocol: Annotated[Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"], BeforeValidator(_lower)] = (
        Field(default="plaintext", description="`plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.")
    )
    sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER"], BeforeValidator(_upper)
    ] = Field(
        default="SCRAM-SHA-512",
        description="`PLAIN` (with TLS only), `SCRAM-SHA-256`, `SCRAM-SHA-512`, `GSSAPI` or `OAUTHBEARER`.",
    )
    sasl_username: str | None = Field(
        default=None, description="The broker's user; by default the department's slug is its name in the ACLs."
    )
    sasl_password: SecretStr | None = Field(default=None, description="Its password; better in a file.")
    sasl_password_file: Path | None = Field(
        default=None, description="File that holds the password; read anew for each client."
    )
    ssl_ca_location: Path | None = Field(
        default=None, description="Certificates to trust, PEM; without it the system's count."
    )
    ssl_certificate_location: Path | None = Field(default=None, description="The client's own certificate, PEM.")
    ssl_key_location: Path | None = Field(default=None, description="The key of that certificate, PEM.")
    ssl_key_password: SecretStr | None = Field(default=None, description="The password of that key.")
    ssl_key_password_file: Path | None = Field(default=None, description="File that holds it.")
    group_protocol: Literal["consumer", "classic"] = Field(
        default="consumer",
        description="`consumer` needs Kafka 4.0; older brokers and the embedded one need `classic`.",
    )
    message_timeout_seconds: float = Field(
        default=10.0,
        ge=1.0,
        le=300.0,
        description="How long a message may take to be acknowledged; a relay's lease lasts twice as long.",
    )
    max_message_bytes: int = Field(
        default=1_000_000,
        ge=MESSAGE_ROOM_BYTES + LEAST_EVENT_BYTES,
        le=100_000_000,
        description="Largest message; the topics' `max.message.bytes` must not be smaller.",
    )
    connect_timeout_seconds: float = Field(
        default=5.0, ge=0.5, le=60.0, description="How long a command waits for the broker at its start."
    )
    extra: dict[str, str] = Field(
        default={},
        description="Further settings of librdkafka, as JSON by their own names; those on which a guarantee rests are "
        "refused.",
    )

    @field_validator("extra")
    @classmethod
    def _keep_guarantees(cls, extra: dict[str, str]) -> dict[str, str]:
        for name in extra:
            if name in _OWN_FIELD:
                message = f"{name} has its own setting: use TELLONCE_KAFKA__{_OWN_FIELD[name]}"
                raise ValueError(message)
            if name in _GUARANTEED or name.endswith("_cb"):
                reason = _GUARANTEED.get(name, "tellonce has its own callbacks")
                message = f"{name} cannot be changed, since {reason}: take it out of TELLONCE_KAFKA__EXTRA"
                raise ValueError(message)
        return extra

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        for secret in ("sasl_password", "ssl_key_password"):
            if getattr(self, secret) is not None and getattr(self, f"{secret}_file") is not None:
                message = f"{secret} and {secret}_file are both given: give one"
                raise ValueError(message)
        has_password = self.sasl_password is not None or self.sasl_password_file is not None
        if self.uses_login and self.sasl_mechanism in _PASSWORD_MECHANISMS:
            if self.sasl_username is None or not has_password:
                message = (
                    f"{self.security_protocol} with {self.sasl_mechanism} needs TELLONCE_KAFKA__SASL_USERNAME, and "
                    "TELLONCE_KAFKA__SASL_PASSWORD or TELLONCE_KAFKA__SASL_PASSWORD_FILE"
                )
                raise ValueError(message)
            if self.sasl_mechanism == "PLAIN" and not self.uses_tls:
                message = "PLAIN without TLS sends the password readable: use sasl_ssl, or a SCRAM mechanism"
                raise ValueError(message)
        if not self.uses_login and (self.sasl_username is not None or has_password):
            message = f"a login is given but security_protocol {self.security_protocol} has none: use sasl_ssl"
            raise ValueError(message)
        if not self.uses_tls and (self.ssl_ca_location or self.ssl_certificate_location or self.ssl_key_location):
            message = (
                f"certificates are given but security_protocol {self.security_protocol} has no TLS: use sasl_ssl or ssl"
            )
            raise ValueError(message)
        if (self.ssl_certificate_location is None) != (self.ssl_key_location is None):
            message = "ssl_certificate_location and ssl_key_location belong together: give both"
            raise ValueError(message)
        return self

    @property
    def lease_seconds(self) -> float:
        """How long a relay's lease lasts: longer than a message may be on its way.

        The lease fences the database, not the broker: what a silent relay still holds must have been given up before
        its successor sends.
        """
        return 2 * self.message_timeout_seconds

    @property
    def max_event_bytes(self) -> int:
        """The largest event that is published: what a message may have, less the room for all else in it."""
        return self.max_message_bytes - MESSAGE_ROOM_BYTES

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.security_protocol.endswith("ssl")

    @property
    def uses_login(self) -> bool:
        """Whether the client names a user (SASL)."""
        return self.security_protocol.startswith("sasl")

    @property
    def identity(self) -> str:
        """Whom the broker takes this client for, in the words of a message: a user, a certificate's holder, anybody."""
        if self.uses_login and self.sasl_username is not None:
            return f"user {self.sasl_username!r}"
        if self.ssl_certificate_location is not None:
            return f"the holder of certificate {self.ssl_certificate_location}"
        return "a client without a login"

    def connection_config(self) -> ClientConfig:
        """Gives librdkafka's settings for the connection; files with passwords are read now.

        Raises:
            ConfigurationError: a file that the settings name cannot be read.
        """
        config: ClientConfig = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
        }
        if self.uses_login:
            config["sasl.mechanism"] = self.sasl_mechanism
            if self.sasl_username is not None:
                config["sasl.username"] = self.sasl_username
            password = _secret(self.sasl_password, self.sasl_password_file, "SASL_PASSWORD_FILE")
            if password is not None:
                config["sasl.password"] = password
        if self.uses_tls:
            config["ssl.endpoint.identification.algorithm"] = "https"
            config["enable.ssl.certificate.verification"] = True
            for name, path in (
                ("ssl.ca.location", self.ssl_ca_location),
                ("ssl.certificate.location", self.ssl_certificate_location),
                ("ssl.key.location", self.ssl_key_location),
            ):
                if path is not None:
                    config[name] = str(_readable(path, name.replace(".", "_").upper()))
            password = _secret(self.ssl_key_password, self.ssl_key_password_file, "SSL_KEY_PASSWORD_FILE")
            if password is not None:
                config["ssl.key.password"] = password
        return config


def _readable(path: Path, setting: str) -> Path:
    try:
        # The system's bundle of authorities may be a folder.
        if not path.is_dir():
            with path.open("rb"):
                pass
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror}): correct TELLONCE_KAFKA__{setting}, or the file's rights"
        raise ConfigurationError(message, path=str(path)) from error
    return path


def _secret(value: SecretStr | None, path: Path | None, setting: str) -> str | None:
    if value is not None:
        return value.get_secret_value()
    if path is None:
        return None
    try:
        # Editors and `echo` end a file with a newline that is no part of the password.
        text = _readable(path, setting).read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        message = f"{path} holds no text in UTF-8: correct TELLONCE_KAFKA__{setting}"
        raise ConfigurationError(message, path=str(path)) from error
    if not text:
        message = f"{path} is empty, expected a password: correct TELLONCE_KAFKA__{setting}"
        raise ConfigurationError(message, path=str(path))
    return text
