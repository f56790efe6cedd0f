"""Whether Kafka can be reached and used as this service needs, and if not, the one sentence that says why."""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from tellonce.kafka.admin import Absence, Admin, Metadata, TopicFacts
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import ConfigurationError, RetryableError

__all__ = ["Symptoms", "check_connection", "diagnose", "first_answer"]

_REFUSED_SECONDS = 2.0
_FIRST_TRY_SECONDS = 0.5
_LONGEST_TRY_SECONDS = 2.0
_POLL_SECONDS = 0.05
_SHORTEST_REQUEST_SECONDS = 1.0
_LONGEST_TEXT = 160
_LEARNED = re.compile(r"^(?:[a-z_]+://)?(?P<address>[^/]+)/\d+: ")
"""Before a text that librdkafka says of a broker whose address it was told, not one that it was given to start with."""
_TIMINGS = re.compile(r" \(after \d+ms in state [A-Z_]+\)|, \d+ identical error\(s\) suppressed")


@dataclass(slots=True)
class Symptoms:
    """What a client said about its connection: pairs of Kafka's error name and text, and lines of librdkafka's log."""

    errors: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    lines: list[str] = field(default_factory=list[str])

    def has(self, name: str) -> bool:
        """Whether an error of this name came."""
        return any(found == name for found, _ in self.errors)

    def text(self, name: str, part: str = "") -> str | None:
        """Gives the text of the first error of this name that contains `part`, without its timings."""
        for found, text in self.errors:
            if found == name and part.lower() in text.lower():
                return _TIMINGS.sub("", text)
        return None

    def has_said(self, *parts: str) -> bool:
        """Whether one error or one line of the log contains all these parts, in any case."""
        texts = (*(text for _, text in self.errors), *self.lines)
        return any(all(part.lower() in text.lower() for part in parts) for text in texts)


def first_answer(settings: KafkaSettings, client_id: str) -> tuple[Admin, Metadata, Symptoms]:
    """Gives a connection that a broker has answered, with its metadata and what the client has said meanwhile.

    Only one broker was talked to; the others, and the addresses that it names, may be out of reach still.

    Raises:
        RetryableError: no broker answered within `connect_timeout_seconds`; the message says what is most likely wrong.
        ConfigurationError: librdkafka refuses a setting.
    """
    symptoms = Symptoms()
    admin = Admin(
        settings,
        client_id,
        on_error=lambda error: symptoms.errors.append((error.name(), error.str())),
        on_line=symptoms.lines.append,
    )
    return admin, _metadata(admin, settings, symptoms, time.monotonic() + settings.connect_timeout_seconds), symptoms


def check_connection(
    settings: KafkaSettings,
    topics: Iterable[str] | None = None,
    *,
    reads: Iterable[str] = (),
    writes: Iterable[str] = (),
    client_id: str = "tellonce-check",
) -> None:
    """Return when the broker answers and has these topics, visible to this user; within `connect_timeout_seconds`.

    `reads` and `writes` name topics that must be there and that this user must be allowed to read or write; reading a
    topic without that right gives neither messages nor an error, so the rights are asked for beforehand. The embedded
    broker has no rights and is not asked for them.

    Raises:
        RetryableError: no broker answered; the message says what is most likely wrong.
        ConfigurationError: a topic is missing or closed to this user, or librdkafka refuses a setting.
    """
    deadline = time.monotonic() + settings.connect_timeout_seconds
    admin, metadata, symptoms = first_answer(settings, client_id)
    rights = (("READ", "read", set(reads)), ("WRITE", "write", set(writes)))
    names = sorted({*(topics or ()), *rights[0][2], *rights[1][2]})
    if not metadata.has_controller:
        # Only the embedded broker names none; it knows neither requests of administrators nor rights.
        _refuse_missing(settings, [name for name in names if name not in metadata.topics])
        return
    remaining = max(deadline - time.monotonic(), _SHORTEST_REQUEST_SECONDS)
    found = _look_up(admin, settings, symptoms, names, remaining)
    _refuse_missing(settings, [name for name in names if isinstance(found[name], Absence)])
    for operation, verb, wanted in rights:
        for name in sorted(wanted):
            topic = found[name]
            if isinstance(topic, TopicFacts) and operation not in topic.operations:
                message = (
                    f"{settings.identity} may not {verb} topic {name} at {settings.bootstrap_servers}: "
                    "an administrator allows it with `tellonce topics apply`, if the topology does"
                )
                raise ConfigurationError(message, topic=name)


def _metadata(admin: Admin, settings: KafkaSettings, symptoms: Symptoms, deadline: float) -> Metadata:
    """The cluster's metadata; a cause that waiting does not cure ends the wait."""
    started = time.monotonic()
    patience = _FIRST_TRY_SECONDS
    while True:
        remaining = deadline - time.monotonic()
        try:
            return admin.metadata(timeout=max(min(patience, remaining), _POLL_SECONDS))
        except RetryableError as error:
            # Callbacks only run inside poll.
            admin.poll(_POLL_SECONDS)
            waited = time.monotonic() - started
            is_hopeless = symptoms.has("_ALL_BROKERS_DOWN") and (
                symptoms.has("_AUTHENTICATION") or symptoms.has("_SSL") or waited >= _REFUSED_SECONDS
            )
            if is_hopeless or time.monotonic() >= deadline:
                raise RetryableError(diagnose(settings, symptoms), servers=settings.bootstrap_servers) from error
        if not symptoms.errors:
            # Silence may be a slow broker: it gets longer each time. Refusals are only counted.
            patience = min(2 * patience, _LONGEST_TRY_SECONDS)


def _look_up(
    admin: Admin, settings: KafkaSettings, symptoms: Symptoms, names: list[str], timeout: float
) -> dict[str, TopicFacts | Absence]:
    """The topics; without any the cluster is asked, so that a broker that answers but cannot be used is noticed."""
    try:
        if not names:
            admin.cluster(timeout)
            return {}
        return admin.topics(names, timeout)
    except RetryableError as error:
        admin.poll(_POLL_SECONDS)
        if not symptoms.errors:
            raise
        raise RetryableError(diagnose(settings, symptoms), servers=settings.bootstrap_servers) from error


def _refuse_missing(settings: KafkaSettings, names: list[str]) -> None:
    if not names:
        return
    which = f"no topic {names[0]}" if len(names) == 1 else f"none of {len(names)} topics ({', '.join(names[:5])})"
    message = (
        f"{settings.identity} sees {which} at {settings.bootstrap_servers}: not made yet, or access is not given; "
        "an administrator does both with `tellonce topics apply`"
    )
    raise ConfigurationError(message, topic=names[0])


def diagnose(settings: KafkaSettings, symptoms: Symptoms) -> str:
    """Gives the one sentence that says what is most likely wrong with a connection, and what to do about it.

    librdkafka tells a wrong password, a wrong certificate and a closed port only to its callbacks, and a client without
    TLS at a port with TLS only to its log, so both are read.
    """
    for rule in (_login_is_wrong, _certificate_is_wrong, _protocol_is_wrong, _advertised_is_unreachable, _is_away):
        sentence = rule(settings, symptoms)
        if sentence is not None:
            return sentence
    return (
        f"no answer from {settings.bootstrap_servers} within {settings.connect_timeout_seconds:g} s: "
        "look whether a firewall is between, or correct TELLONCE_KAFKA__BOOTSTRAP_SERVERS"
    )


def _login_is_wrong(settings: KafkaSettings, symptoms: Symptoms) -> str | None:
    servers = settings.bootstrap_servers
    if not symptoms.has("_AUTHENTICATION"):
        return None
    supported = re.search(r"supported mechanisms: *([A-Z0-9, -]*)", symptoms.text("_AUTHENTICATION") or "")
    if supported is not None and not supported[1].strip(" ,"):
        return (
            f"{servers} does not ask for a login at this port: expected a listener for {settings.security_protocol}; "
            "correct the port, or set TELLONCE_KAFKA__SECURITY_PROTOCOL to plaintext or ssl"
        )
    if supported is not None:
        return (
            f"{servers} does not know the login mechanism {settings.sasl_mechanism}: "
            f"set TELLONCE_KAFKA__SASL_MECHANISM to one of {supported[1].strip(' ,')}"
        )
    return (
        f"{servers} refused the login of {settings.identity} by {settings.sasl_mechanism}: user name or password is "
        "wrong; correct TELLONCE_KAFKA__SASL_USERNAME and TELLONCE_KAFKA__SASL_PASSWORD"
    )


def _certificate_is_wrong(settings: KafkaSettings, symptoms: Symptoms) -> str | None:
    servers = settings.bootstrap_servers
    if symptoms.has_said("certificate verify failed"):
        trusted = settings.ssl_ca_location or "the system's list of authorities"
        return (
            f"the certificate of {servers} is not signed by an authority in {trusted}, or is for another name: set "
            "TELLONCE_KAFKA__SSL_CA_LOCATION to the broker's authority, and use the name that the certificate holds"
        )
    if symptoms.has_said("certificate required") or symptoms.has_said("bad certificate"):
        return (
            f"{servers} asks for a client's certificate and did not accept this client's: set "
            "TELLONCE_KAFKA__SSL_CERTIFICATE_LOCATION and TELLONCE_KAFKA__SSL_KEY_LOCATION"
        )
    if symptoms.has("_SSL"):
        reason = (symptoms.text("_SSL") or "").partition("bootstrap: ")[2][:_LONGEST_TEXT]
        return f"TLS with {servers} failed: {reason}; look at certificates and TLS versions on both sides"
    return None


def _protocol_is_wrong(settings: KafkaSettings, symptoms: Symptoms) -> str | None:
    servers = settings.bootstrap_servers
    if settings.uses_tls and symptoms.has_said("closed by peer", "SSL_HANDSHAKE"):
        return (
            f"{servers} does not speak TLS at this port: correct the port, or set TELLONCE_KAFKA__SECURITY_PROTOCOL to "
            f"{'sasl_plaintext' if settings.uses_login else 'plaintext'}"
        )
    if not settings.uses_tls and (
        symptoms.has_said("closed by peer", "APIVERSION_QUERY") or symptoms.has_said("invalid response size")
    ):
        return (
            f"{servers} closed the connection at the first word, as a port with TLS does with a client without: set "
            "TELLONCE_KAFKA__SECURITY_PROTOCOL to sasl_ssl or ssl, or correct the port if it is not Kafka's"
        )
    if not settings.uses_login and symptoms.has_said("closed by peer", "in state UP"):
        return (
            f"{servers} closes the connection of a client that does not log in: set TELLONCE_KAFKA__SECURITY_PROTOCOL "
            f"to {'sasl_ssl' if settings.uses_tls else 'sasl_plaintext'}, and user and password"
        )
    return None


def _advertised_is_unreachable(settings: KafkaSettings, symptoms: Symptoms) -> str | None:
    asked = {server.strip().rpartition("//")[2] for server in settings.bootstrap_servers.split(",")}
    reasons = {"_RESOLVE": "which this machine cannot resolve", "_TRANSPORT": "where nothing answers"}
    for name, text in symptoms.errors:
        told = _LEARNED.match(text)
        if told is not None and told["address"] not in asked and name in reasons:
            return (
                f"{settings.bootstrap_servers} answered, but tells clients to connect to {told['address']}, "
                f"{reasons[name]}: use the listener that the broker advertises for this network, or correct its "
                "advertised.listeners"
            )
    return None


def _is_away(settings: KafkaSettings, symptoms: Symptoms) -> str | None:
    servers = settings.bootstrap_servers
    if symptoms.text("_TRANSPORT", "connection refused") is not None:
        return f"nothing listens at {servers}: start the broker, or correct TELLONCE_KAFKA__BOOTSTRAP_SERVERS"
    if symptoms.has("_RESOLVE"):
        return f"the host name in {servers} cannot be resolved: correct TELLONCE_KAFKA__BOOTSTRAP_SERVERS"
    return None
