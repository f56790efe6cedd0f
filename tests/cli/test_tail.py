"""`tellonce tail` on the embedded broker: where it begins and ends, what it shows, and how Ctrl-C ends it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.planting import ROOT
from cli.test_tail_lines import EVENT, PSEUDONYM, VIEW
from tellonce.avro.catalogue import Catalogue
from tellonce.cli.main import app
from tellonce.kafka.clients import make_producer
from tellonce.kafka.embedded import EmbeddedBroker
from tellonce.kafka.settings import KafkaSettings
from tellonce.keyring import new_view_keys
from tellonce.topology import load_topology
from tellonce.topology.topics import marks

pytestmark = pytest.mark.server

TOPIC = f"{VIEW}.v1"
Write = Callable[..., None]


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedBroker]:
    """A broker of the test's own, with two topics of the checkout's contract, and the settings to reach it."""
    for name in [name for name in os.environ if name.startswith("TELLONCE_")]:
        monkeypatch.delenv(name)
    with EmbeddedBroker() as made:
        made.create_topic(TOPIC, partitions=1)
        made.create_topic(marks("public-security"), partitions=1)
        settings = {"KAFKA__BOOTSTRAP_SERVERS": made.bootstrap_servers, "KAFKA__GROUP_PROTOCOL": "classic"}
        settings |= {name.upper(): str(ROOT / name) for name in ("schemas", "producers", "consumers")}
        settings |= {"TOPOLOGY": str(ROOT / "topology.yaml"), "KEYS": str(tmp_path / "keys")}
        for name, value in settings.items():
            monkeypatch.setenv(f"TELLONCE_{name}", value)
        yield made


@pytest.fixture
def write(broker: EmbeddedBroker) -> Write:
    """A function that writes messages."""
    settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers, group_protocol="classic")

    def written(topic: str, values: Sequence[bytes | None]) -> None:
        producer = make_producer(settings, "test-tail")
        for value in values:
            producer.produce(topic, key=PSEUDONYM.encode(), value=value, partition=0)
        assert producer.flush(10) == 0

    return written


@pytest.fixture(scope="module")
def event() -> bytes:
    """A change event as it is on the topic."""
    return Catalogue.load(ROOT / "schemas", load_topology(ROOT / "topology.yaml")).encode(VIEW, EVENT)


def tail(*arguments: str) -> list[dict[str, object]]:
    """The lines of `tellonce tail --json`."""
    done = CliRunner().invoke(app, ["tail", *arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("name", [VIEW, TOPIC])
def test_view_is_shown_from_its_beginning_past_what_cannot_be_read(write: Write, event: bytes, name: str) -> None:
    """What cannot be decoded is a line of its own, and reading goes on; the view's name and its topic both do."""
    write(TOPIC, [event, b"garbage", None, event])

    lines = tail(name, "--from", "beginning", "--limit", "4")

    assert [line["what"] for line in lines] == ["update", "undecodable", "tombstone", "update"]
    assert [line["offset"] for line in lines] == [0, 1, 2, 3]
    assert "Wang" not in str(lines)


def test_values_are_shown_only_where_the_keys_are(write: Write, event: bytes, tmp_path: Path) -> None:
    """Whoever asks for values has the view's keys, and so may read the values anyway."""
    write(TOPIC, [event])

    refused = CliRunner().invoke(app, ["tail", VIEW, "--show-values", "--limit", "1"])
    new_view_keys(tmp_path / "keys", VIEW)
    (line,) = tail(VIEW, "--show-values", "--from", "beginning", "--limit", "1")

    assert "expected the keys of view" in str(refused.exception)
    assert refused.stdout == ""
    assert "Wang" in str(line["fields"])


def test_control_topic_is_shown_as_json(write: Write) -> None:
    """A control message is what it says."""
    write(marks("public-security"), [b'{"format": 1, "view": "a.b"}'])

    (line,) = tail(marks("public-security"), "--from", "beginning", "--limit", "1")

    assert line["message"] == {"format": 1, "view": "a.b"}


@pytest.mark.usefixtures("broker")
def test_topic_that_the_contract_does_not_name_is_refused() -> None:
    """A misspelt name gets the one that was meant."""
    refused = CliRunner().invoke(app, ["tail", "citizen.identiti"])

    assert "did you mean citizen.identity" in str(refused.exception)


@pytest.mark.usefixtures("broker")
def test_time_ago_is_taken_for_no_option() -> None:
    """`-15x` reaches the sentence that says what may be given, though it begins with a dash."""
    refused = CliRunner().invoke(app, ["tail", VIEW, "--from", "-15x"])

    assert "found '-15x'" in str(refused.exception)


def test_interrupt_ends_it_with_its_code_and_no_traceback(write: Write, event: bytes) -> None:
    """Ctrl-C is how a person ends it; what was read until then is shown, and what comes now is shown at once."""
    write(TOPIC, [event])
    command = [sys.executable, "-m", "tellonce", "tail", VIEW, "--from", "beginning"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        write(TOPIC, [None])
        second = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)

    assert " update " in first
    assert " tombstone " in second
    assert process.returncode == 130
    assert rest == ""
    assert errors == ""
