"""The real Kafka that other tests rely on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from tellonce.model.errors import ConfigurationError
from tellonce.testing.kafka_server import KafkaServer, KafkaSettings
from waiting import wait_until

pytestmark = pytest.mark.kafka

# A broker of the test's own starts in 4 s on an idle machine, and in 20 s beside other work.
OWN_SERVER = pytest.mark.timeout(180)


def client(server: KafkaServer, user: str = "admin", **more: str) -> dict[str, Any]:
    """The settings of a quiet client; confluent-kafka's own types for them differ from class to class."""
    dotted = {key.replace("_", "."): value for key, value in more.items()}
    return {**server.client_settings(user), "log_level": 0, **dotted}


def make_topic(server: KafkaServer, *, partitions: int = 1, **config: str) -> str:
    name = f"test-{uuid4().hex}"
    dotted = {key.replace("_", "."): value for key, value in config.items()}
    admin = AdminClient(client(server))
    admin.create_topics([NewTopic(name, partitions, 1, config=dotted)])[name].result(10)
    return name


def send(server: KafkaServer, topic: str, *values: bytes, key: bytes = b"k", user: str = "admin") -> list[str]:
    """The delivery error of each value, empty where it was delivered."""
    outcomes: list[str] = []
    producer = Producer(client(server, user, enable_idempotence="true", message_timeout_ms="20000"))
    for value in values:
        producer.produce(
            topic,
            value,
            key=key,
            partition=0,
            on_delivery=lambda error, _: outcomes.append(error.name() if error else ""),
        )
    producer.flush(20)
    return outcomes


@contextmanager
def reader(server: KafkaServer, topic: str, *, user: str = "admin") -> Iterator[Consumer]:
    consumer = Consumer(client(server, user, group_id="unused", enable_auto_commit="false"))
    consumer.assign([TopicPartition(topic, 0, 0)])
    yield consumer
    consumer.close()


def read(server: KafkaServer, topic: str, *, count: int, user: str = "admin") -> list[bytes]:
    with reader(server, topic, user=user) as consumer:
        values: list[bytes] = []

        def has_all() -> bool:
            values.extend(message.value() or b"" for message in consumer.consume(100, 0.2) if not message.error())
            return len(values) >= count

        wait_until(has_all, 20, what=f"{count} messages")
        return values


def test_kafka_carries_a_message(kafka: KafkaServer) -> None:
    """What a client sends to the real broker, a client reads."""
    topic = make_topic(kafka)

    outcomes = send(kafka, topic, b"hello")

    assert outcomes == [""]
    assert read(kafka, topic, count=1) == [b"hello"]


def test_kafka_creates_no_topic_by_itself(kafka: KafkaServer) -> None:
    """A topic nobody made stays away: a misspelt name must fail, not become a topic."""
    name = f"test-{uuid4().hex}"
    producer = Producer(client(kafka))

    answer = producer.list_topics(name, timeout=5).topics[name]

    assert answer.error is not None
    assert answer.error.name() == "UNKNOWN_TOPIC_OR_PART"
    assert name not in producer.list_topics(timeout=5).topics


def test_kafka_compacts_within_seconds_where_the_topic_asks_for_it(kafka: KafkaServer) -> None:
    """Compaction tests see the cleaner work soon, or they would need minutes each."""
    topic = make_topic(
        kafka, cleanup_policy="compact", segment_ms="50", min_cleanable_dirty_ratio="0.001", min_compaction_lag_ms="0"
    )
    send(kafka, topic, *(f"old {number}".encode() for number in range(20)))

    def is_compacted() -> bool:
        send(kafka, topic, b"filler", key=uuid4().bytes)
        with reader(kafka, topic) as consumer:
            messages = consumer.consume(1, 5)
        return bool(messages) and messages[0].offset() != 0

    wait_until(is_compacted, 30, what="the first offsets compacted away")


@OWN_SERVER
def test_kafka_keeps_port_and_data_through_a_crash() -> None:
    """A killed broker comes back where it was with what it had acknowledged: fault tests build on it."""
    with KafkaServer() as server:
        topic = make_topic(server)
        send(server, topic, b"kept")
        address = server.bootstrap_servers

        server.kill()
        was_running = server.is_running()
        server.start()

        assert not was_running
        assert server.bootstrap_servers == address
        assert read(server, topic, count=1) == [b"kept"]


@OWN_SERVER
def test_kafka_leaves_no_folder_and_no_process_behind(kafka: KafkaServer) -> None:
    """A closed server removes its data and ends its process; others' servers go on."""
    server = KafkaServer()
    server.start()
    folder, pid = server.folder, server.pid
    assert pid is not None

    server.close()

    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert kafka.is_running()


@OWN_SERVER
def test_kafka_ends_with_the_process_that_started_it(kafka: KafkaServer, tmp_path: Path) -> None:
    """A killed test run leaves no broker behind to eat memory and hold ports."""
    program = (
        "import sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from tellonce.testing.kafka_server import KafkaServer\n"
        "server = KafkaServer(); server.start(); print(server.pid, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())

        starter.send_signal(signal.SIGKILL)

    wait_until(lambda: not is_alive(pid), 10, what="the orphaned broker has ended")
    assert kafka.is_running()


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_secure_kafka_lets_the_administrator_in(secure_kafka: KafkaServer) -> None:
    """TLS and SCRAM with the given authority and password reach the broker."""
    topic = make_topic(secure_kafka)

    assert send(secure_kafka, topic, b"sealed") == [""]
    assert read(secure_kafka, topic, count=1) == [b"sealed"]


def test_secure_kafka_refuses_a_wrong_password(secure_kafka: KafkaServer) -> None:
    """Nobody gets metadata with another password."""
    errors: list[str] = []
    settings = client(secure_kafka, sasl_password="wrong")
    settings["error_cb"] = lambda error: errors.append(error.name())
    admin = AdminClient(settings)

    with pytest.raises(KafkaException):
        admin.list_topics(timeout=2)

    wait_until(lambda: admin.poll(0.1) >= 0 and "_AUTHENTICATION" in errors, 5, what="the refusal is told")


def test_secure_kafka_denies_what_no_acl_allows(secure_kafka: KafkaServer) -> None:
    """A new user may do nothing until an ACL says so, and then just that."""
    topic = make_topic(secure_kafka)
    secure_kafka.add_user("clerk", 'a, ]difficult="password"')
    before = send(secure_kafka, topic, b"refused", user="clerk")

    right = AclBinding(
        ResourceType.TOPIC,
        topic,
        ResourcePatternType.LITERAL,
        "User:clerk",
        "*",
        AclOperation.WRITE,
        AclPermissionType.ALLOW,
    )
    admin = AdminClient(client(secure_kafka))
    for outcome in admin.create_acls([right]).values():
        outcome.result(10)

    assert before != [""]
    wait_until(lambda: send(secure_kafka, topic, b"allowed", user="clerk") == [""], 10, what="the right has arrived")


@OWN_SERVER
def test_secure_kafka_makes_the_users_it_was_given() -> None:
    """Users and passwords of the settings can log in as soon as the server has started, with no right on any topic."""
    with KafkaServer(KafkaSettings(secure=True, users={"housing": "pw-1"})) as server:
        make_topic(server)
        admin = AdminClient(client(server, "housing"))

        assert admin.list_topics(timeout=5).topics == {}
        assert server.passwords["housing"] == "pw-1"
        assert "broker" not in server.passwords


def test_users_on_a_plain_broker_are_refused() -> None:
    """Passwords that nobody would check are a mistake of the test's author, and told at once."""
    with pytest.raises(ConfigurationError, match="set secure=True"):
        KafkaServer(KafkaSettings(users={"housing": "pw"}))
