"""How long `tellonce trace` lets those wait who read for it: one deadline for all of them, by a clock of the test's."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import pytest
from confluent_kafka import TopicPartition
from typer.testing import CliRunner

from cli.planting import ROOT
from tellonce.cli.main import app
from tellonce.cli.time_limit import TimeLimit
from tellonce.kafka.settings import KafkaSettings
from tellonce.kafka.tracing import Found, read_key

TIMEOUT_SECONDS = 4.0


class SlowReaders:
    """Readers that take a share of each limit that they are handed, and their clock."""

    def __init__(self, share: float) -> None:
        """Nobody has read yet."""
        self.share = share
        self.taken_seconds: list[float] = []
        self._shortest_seconds = 0.01

    def clock(self) -> float:
        """The time that all of them have taken together."""
        return sum(self.taken_seconds)

    def take(self, limit_seconds: float) -> None:
        """Take the share, for which there must be a limit."""
        assert limit_seconds > 0
        self.taken_seconds.append(max(self.share * limit_seconds, self._shortest_seconds))

    def check_connection(self, settings: KafkaSettings, *, reads: Sequence[str] = (), client_id: str = "") -> None:
        """Stand for `kafka.connection.check_connection`."""
        del reads, client_id
        self.take(settings.connect_timeout_seconds)

    def read_key(
        self, settings: KafkaSettings, topic: str, partition: int, key: bytes, *, client_id: str, deadline: float
    ) -> Found:
        """Stand for `kafka.tracing.read_key`."""
        del settings, topic, partition, key, client_id
        self.take(deadline - self.clock())
        return Found(messages=(), is_complete=True)

    def channel(self, settings: KafkaSettings, *_given: object) -> "SlowChannel":
        """Stand for `kafka.channel.KafkaChannel`."""
        return SlowChannel(self, settings)

    def get_watermark_offsets(self, _place: TopicPartition, timeout: float) -> tuple[int, int]:
        """Stand for a consumer's: there is something to read."""
        self.take(timeout)
        return 0, 5

    def poll(self, timeout: float) -> None:
        """Stand for a consumer's: nothing comes."""
        self.take(timeout)

    def assign(self, _places: Sequence[TopicPartition]) -> None:
        """Stand for a consumer's."""

    def close(self) -> None:
        """Stand for a consumer's."""


class SlowChannel:
    """A control channel that never comes to its end."""

    has_caught_up = False

    def __init__(self, readers: SlowReaders, settings: KafkaSettings) -> None:
        """Nothing is listened to yet."""
        self._readers, self._settings = readers, settings

    def __enter__(self) -> Self:
        """Give the channel itself."""
        return self

    def __exit__(self, *_given: object) -> None:
        """Have nothing to close."""

    def listen(self, *_given: object) -> None:
        """Ask for the ends of topics."""
        self._readers.take(self._settings.connect_timeout_seconds)

    def hear(self, _shape: object, wait_seconds: float) -> Sequence[object]:
        """Wait for nothing."""
        self._readers.take(wait_seconds)
        return ()


@pytest.mark.parametrize(("share", "asked_at_least"), [(1.0, 1), (0.3, 6), (0.05, 30)])
def test_limits_of_all_readers_are_of_one_deadline(
    share: float, asked_at_least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slow each of them is, together they take no more than the command was given; what is left is unknown."""
    readers = SlowReaders(share)
    monkeypatch.setattr("tellonce.cli.time_limit.TimeLimit", partial(TimeLimit, monotonic=readers.clock))
    monkeypatch.setattr("tellonce.kafka.connection.check_connection", readers.check_connection)
    monkeypatch.setattr("tellonce.cli.trace_sources.check_connection", readers.check_connection)
    monkeypatch.setattr("tellonce.cli.trace_sources.read_key", readers.read_key)
    monkeypatch.setattr("tellonce.cli.trace_sources.KafkaChannel", readers.channel)
    given = {"TOPOLOGY": ROOT / "topology.yaml", "KEYS": tmp_path, "KAFKA__CONNECT_TIMEOUT_SECONDS": "30"}
    command = ["trace", "citizen", "--pseudonym", "0" * 32, "--timeout", str(TIMEOUT_SECONDS), "--json"]

    result = CliRunner().invoke(app, command, env={f"TELLONCE_{name}": str(value) for name, value in given.items()})

    assert result.exception is None
    assert len(readers.taken_seconds) >= asked_at_least
    assert readers.clock() <= TIMEOUT_SECONDS + 0.01
    subscribers = [hop for hop in json.loads(result.stdout)["hops"] if hop["hop"] == "subscriber"]
    assert {hop["stands"] for hop in subscribers} == {"unknown"}


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_partition_that_gives_nothing_is_left_at_the_deadline(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it takes to learn where the partition ends is not given once more for reading it."""
    readers = SlowReaders(share)
    slow_time = SimpleNamespace(monotonic=readers.clock)
    monkeypatch.setattr("tellonce.kafka.tracing.time", slow_time)
    monkeypatch.setattr("tellonce.kafka.reading.time", slow_time)
    monkeypatch.setattr("tellonce.kafka.tracing.make_reader", lambda *_given: readers)

    found = read_key(KafkaSettings(), "t", 0, b"k", client_id="c", deadline=TIMEOUT_SECONDS)

    assert found == Found(messages=(), is_complete=False)
    assert readers.clock() <= TIMEOUT_SECONDS + 0.01
