"""How long `tellonce status` waits, and what it does while the broker is away."""

import time

import pytest
from typer.testing import CliRunner

from tellonce.cli.main import app
from tellonce.cli.status_command import _follow, _read
from tellonce.control.messages import Heartbeat
from tellonce.testing.channel import MemoryTopics
from tellonce.topology.topics import OPERATOR

FUND = "provident-fund"


def beat(at_ms: int) -> Heartbeat:
    """A sign of life of the fund's applier."""
    return Heartbeat(
        department=FUND,
        service="applier",
        holder="h",
        state="running",
        release="1",
        started_at_ms=0,
        at_ms=at_ms,
        gauges={},
    )


def test_watching_goes_on_while_the_broker_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    """Trouble is told in a line, what is known stays, and what comes afterwards is taken."""
    topics, heartbeats = MemoryTopics(), dict[tuple[str, str, str], Heartbeat]()
    channel, service = topics.channel(OPERATOR), topics.channel(FUND)
    channel.listen(Heartbeat, [FUND], "beginning")
    service.say(beat(1))
    service.flush()
    assert _read(channel, heartbeats, time.monotonic() + 10)
    service.say(beat(2))
    service.flush()
    topics.failures = 1

    assert not _follow(channel, heartbeats, time.monotonic() + 0.05)
    known = [each.at_ms for each in heartbeats.values()]
    assert _follow(channel, heartbeats, time.monotonic() + 0.05)

    assert known == [1]
    assert [each.at_ms for each in heartbeats.values()] == [2]
    assert capsys.readouterr().err == "the broker is away; what follows is as it was before\n"


def test_broker_that_is_not_there_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long, and nobody reads a traceback."""
    monkeypatch.setenv("TELLONCE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9")

    result = CliRunner().invoke(app, ["status", "--timeout", "0.5"])

    assert str(result.exception).startswith("nothing listens at 127.0.0.1:9")
