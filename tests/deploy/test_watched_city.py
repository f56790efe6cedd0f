"""A real Prometheus scrapes a running city: every panel has data, and the alert of a divergence comes and goes."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from dashboards import for_prometheus, queries
from tellonce.demo.prometheus import PrometheusServer
from tellonce.observability.alerts import Rules, rules_of
from tellonce.topology import load_topology
from waiting import wait_until

TOPOLOGY = load_topology(Path(__file__).parents[2] / "topology.yaml")
# The shipped rule waits for an hour and then for five minutes; so scaled, for ten seconds and then for one.
FASTER = 360
SECONDS = {"s": 1, "m": 60, "h": 3600}
EDITED = ("healthcare", "citizen.identity")
"""Whose planted edit a person has to repair, since the subscription flags; it has no other divergence."""


def scaled(rule: Rules, by: int) -> Rules:
    """Gives a rule with its times divided: how long the expression must hold, how long it is kept, and its limit.

    None is below a second: a scrape every two seconds tells nothing finer.
    """

    def shorter(duration: object) -> str:
        number, unit = str(duration)[:-1], str(duration)[-1]
        return f"{max(1, int(number) * SECONDS[unit] // by)}s"

    expr = re.sub(r"(?<= > )\d+$", lambda limit: str(max(1, int(limit[0]) // by)), str(rule["expr"]))
    times = {name: shorter(rule[name]) for name in ("for", "keep_firing_for")}
    return {**rule, "expr": expr, **times}


def shipped(alert: str) -> Rules:
    """The rule of an alert, as the city's rules have it."""
    groups: Any = rules_of(TOPOLOGY)["groups"]
    (found,) = [rule for group in groups for rule in group["rules"] if rule.get("alert") == alert]
    return dict(found)


def test_scaled_rule_differs_from_the_shipped_one_in_its_times_only() -> None:
    """What the next test sees of the alert is true of the rule that is shipped, but for its times."""
    rule = shipped("TellonceDiverged")
    faster = scaled(rule, FASTER)

    assert {name for name in rule if rule[name] != faster[name]} == {"expr", "for", "keep_firing_for"}
    assert str(rule["expr"]).removesuffix(" > 3600") == str(faster["expr"]).removesuffix(" > 10")
    assert (rule["for"], faster["for"]) == ("5m", "1s")
    assert (rule["keep_firing_for"], faster["keep_firing_for"]) == ("5m", "1s")


def ask(prometheus: str, expression: str) -> list[dict[str, Any]]:
    """What a Prometheus answers now."""
    address = f"{prometheus}/api/v1/query?{urlencode({'query': expression})}"
    with urlopen(address, timeout=10) as answer:  # noqa: S310 - http, to a server that the test has started
        return list(json.load(answer)["data"]["result"])


def empty_panels(prometheus: str) -> list[str]:
    """The panels that show nothing, each with its expression."""
    return [
        f"{query.page}, {query.panel}: {query.expression}"
        for query in queries()
        if not ask(prometheus, for_prometheus(query.expression))
    ]


def alerted(prometheus: str) -> set[tuple[str, str]]:
    """The departments and views of which the alert fires."""
    firing = ask(prometheus, 'ALERTS{alertname="TellonceDiverged", alertstate="firing"}')
    return {(one["metric"]["department"], one["metric"]["view"]) for one in firing}


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedCity:
    """A demonstration that was started with `--watch` and has printed its verdict."""

    process: "subprocess.Popen[bytes]"
    verdict: Mapping[str, Any]
    said: str

    @property
    def prometheus(self) -> str:
        """The address of its Prometheus."""
        (found,) = re.findall(r"^Prometheus: (http://\S+)/graph", self.said, re.MULTILINE)
        return str(found)

    @property
    def services(self) -> dict[str, str]:
        """Where each service serves its metrics."""
        served = re.findall(r"^([a-z -]+)(?:, started anew)?: http://(\S+)/metrics$", self.said, re.MULTILINE)
        return dict(served)

    def command(self, *arguments: str) -> str:
        """What a command says that is given by hand, as the demonstration tells how."""
        (env_file,) = set(re.findall(r"--env-file (\S+)", self.said))
        command = [sys.executable, "-m", "tellonce", *arguments, "--env-file", env_file]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def city(tmp_path: Path, prometheus: str) -> Iterator[WatchedCity]:
    """A small city that runs on after its verdict, in a temporary folder below the test's own."""
    assert prometheus
    out, error, temporary = tmp_path / "out", tmp_path / "error", tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "tellonce", "demo", "--watch", "--json", "--residents", "100", "--changes", "10"]
    with out.open("wb") as stdout, error.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, "TMPDIR": str(temporary)},
            start_new_session=True,
        )
    try:
        wait_until(lambda: "Ctrl-C" in error.read_text() or process.poll() is not None, 480, what="the verdict")
        assert process.poll() is None, error.read_text()
        yield WatchedCity(process=process, verdict=json.loads(out.read_text()), said=error.read_text())
    finally:
        # Its services are in the group that it leads, and may be left where it ended badly.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.long
@pytest.mark.server
@pytest.mark.timeout(400)
def test_prometheus_sees_a_running_city(city: WatchedCity, tmp_path: Path) -> None:
    """No panel of a running city is empty; a planted edit raises its alert until it is repaired; Ctrl-C ends all."""
    services = {*(f"relay {d}" for d in TOPOLOGY.departments if TOPOLOGY.published_by(d)), "reconcile"}
    services |= {f"consume {d}" for d in TOPOLOGY.departments if TOPOLOGY.subscribed_by(d)}
    differing = {(one["department"], one["view"]) for one in city.verdict["divergences"]}
    rules = {"groups": [{"name": "faster", "interval": "1s", "rules": [scaled(shipped("TellonceDiverged"), FASTER)]}]}

    assert city.verdict["true"], city.verdict["problems"]
    assert city.services.keys() == services
    wait_until(lambda: len(ask(city.prometheus, "up == 1")) == len(services), 30, what="every service scraped")
    wait_until(lambda: not empty_panels(city.prometheus), 30, what=f"not empty: {empty_panels(city.prometheus)}")

    with PrometheusServer(tmp_path / "faster", rules) as faster:
        faster.scrape(city.services)
        assert EDITED in differing
        wait_until(lambda: alerted(faster.url) == differing, 60, what=f"alerts of {differing}")
        assert "1 altered" in city.command("repair", "--department", EDITED[0], "--reason", "edited by hand")
        wait_until(lambda: alerted(faster.url) == differing - {EDITED}, 60, what="no alert of what is repaired")

    # As a terminal's Ctrl-C does: the services get it too.
    os.killpg(city.process.pid, signal.SIGINT)
    assert city.process.wait(60) == 0
    assert not list((tmp_path / "temporary").iterdir())
    with pytest.raises(ProcessLookupError):
        os.killpg(city.process.pid, 0)
    with pytest.raises(URLError):
        ask(city.prometheus, "up")
