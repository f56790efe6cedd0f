"""With which settings the clients really run, as librdkafka itself shows them."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaException

from kafka_brokers import Broker
from tellonce.kafka import clients
from tellonce.kafka.clients import ClientLog, make_admin, make_consumer, make_producer, make_reader
from tellonce.kafka.settings import REFUSED_SETTINGS, KafkaSettings
from tellonce.model.errors import ConfigurationError, InvariantError

Shown = dict[str, str]


def settings(**given: Any) -> KafkaSettings:
    """Settings for a client that need not connect."""
    return KafkaSettings(**{"bootstrap_servers": "127.0.0.1:1"} | given)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], Shown]:
    """A function that makes a client and gives the settings that librdkafka shows for it."""
    logs: list[ClientLog] = []

    class Kept(ClientLog):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            logs.append(self)

    monkeypatch.setattr(clients, "ClientLog", Kept)

    def settings_of(make: Callable[[], object]) -> Shown:
        make()
        return logs[-1].settings

    return settings_of


def test_producer_runs_with_every_setting_a_guarantee_rests_on(shown: Callable[[Callable[[], object]], Shown]) -> None:
    """Order and durability rest on settings whose defaults in librdkafka are others."""
    found = shown(lambda: make_producer(settings(message_timeout_seconds=4.321), "relay"))

    assert found.items() >= {
        ("enable.idempotence", "true"),
        ("request.required.acks", "-1"),
        ("max.in.flight.requests.per.connection", "5"),
        ("partitioner", "murmur2_random"),
        ("allow.auto.create.topics", "false"),
        ("message.timeout.ms", "4321"),
        ("message.max.bytes", "1000000"),
        ("compression.codec", "none"),
        ("queue.buffering.max.ms", "5"),
        ("socket.keepalive.enable", "true"),
        ("enable.metrics.push", "false"),
        ("client.id", "relay"),
    }


@pytest.mark.parametrize("group_protocol", ["consumer", "classic"])
def test_consumer_never_commits_or_guesses(shown: Callable[[Callable[[], object]], Shown], group_protocol: str) -> None:
    """Positions come from the department's database; a lost one is an error, with both group protocols."""
    found = shown(lambda: make_consumer(settings(group_protocol=group_protocol), "applier", "fund"))

    assert found.items() >= {
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("check.crcs", "true"),
        ("isolation.level", "read_committed"),
        ("enable.partition.eof", "true"),
        ("allow.auto.create.topics", "false"),
        ("group.protocol", group_protocol),
        ("group.id", "fund"),
    }


def test_reader_joins_no_group_of_others(shown: Callable[[Callable[[], object]], Shown]) -> None:
    """A reader checks what it reads, commits nothing, and goes on at the first message that is left."""
    found = shown(lambda: make_reader(settings(), "reader"))

    assert found.items() >= {
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "smallest"),
        ("check.crcs", "true"),
        ("group.protocol", "classic"),
        ("group.id", "reader"),
    }


def test_extra_settings_reach_librdkafka_and_win_over_tuning(shown: Callable[[Callable[[], object]], Shown]) -> None:
    """An operator may tune what no guarantee rests on."""
    found = shown(lambda: make_producer(settings(extra={"linger.ms": "50", "debug": "broker"}), "relay"))

    assert found["queue.buffering.max.ms"] == "50"
    assert found["debug"] == "broker,conf"


def test_no_guaranteed_setting_can_be_named_in_extra() -> None:
    """Whatever the code guarantees is refused by the settings, or the two lists have parted."""
    guaranteed = {*clients._PRODUCER, *clients._CONSUMER, *clients._EVERY_CLIENT}

    assert guaranteed <= REFUSED_SETTINGS


def test_client_with_another_setting_in_force_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that librdkafka took otherwise than given stops the start, and is named."""
    monkeypatch.setitem(clients._SHOWN_VALUE, "all", "1")

    with pytest.raises(InvariantError, match=r"acks=1.*shows -1"):
        make_producer(settings(), "relay")


def test_setting_that_librdkafka_does_not_know_is_a_configuration_error() -> None:
    """A misspelt extra setting is named, without a traceback of the library."""
    with pytest.raises(ConfigurationError, match=r"foo\.bar"):
        make_admin(settings(extra={"foo.bar": "1"}), "admin")


def test_librdkafka_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """Failures go into our log and the callbacks, never to the terminal."""
    told: list[str] = []
    producer = make_producer(settings(), "relay", lambda error: told.append(str(error.facts["kafka_error"])))
    producer.produce("topic", b"value")

    producer.poll(1.0)
    with pytest.raises(KafkaException):
        producer.list_topics(timeout=0.2)
    producer.poll(0)
    del producer

    printed = capfd.readouterr()
    assert "_ALL_BROKERS_DOWN" in told
    assert printed.err == ""
    assert "%3|" not in printed.out


def test_log_line_with_percent_signs_is_passed_on() -> None:
    """A line that merely looks like a template must not fail inside librdkafka's callback."""
    lines: list[str] = []
    log = ClientLog("client", lines.append)

    log.log(20, "FAIL [client] [thrd:x]: 100% done")

    assert lines == ["100% done"]


def test_connected_producer_sends_its_first_message_at_once(real: Broker) -> None:
    """Who waits for a message waits for the broker, not for librdkafka's next look at its connections, 0.5 s later."""
    topic = real.topic()
    waits: list[float] = []

    for _ in range(5):
        before = time.monotonic()
        producer = make_producer(real.settings, "first", connected=True)
        producer.produce(topic, b"value")
        assert producer.flush(10) == 0
        waits.append(time.monotonic() - before)

    # The quickest: the others may have waited for a processor.
    assert min(waits) < 0.4


def test_producer_is_given_where_no_broker_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with the connection is told by the first message, as ever."""
    monkeypatch.setattr(clients, "_GREETING_SECONDS", 0.1)

    producer = make_producer(settings(message_timeout_seconds=1), "first", connected=True)

    producer.produce("topic", b"value")
    assert producer.flush(0) > 0
    producer.purge()
