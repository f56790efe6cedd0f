"""Each alert fires where it should and stays silent where it should not, as Prometheus' own promtool judges."""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from ruamel.yaml import YAML

from conftest import leave_out
from tellonce.cli.meters import applier_meters, reconciler_meters, relay_meters
from tellonce.model.errors import ConfigurationError
from tellonce.observability import metrics as m
from tellonce.observability.alerts import ALERTS, render_rules, rules_of
from tellonce.topology import load_topology

ROOT = Path(__file__).parents[2]
TOPOLOGY = load_topology(ROOT / "topology.yaml")
RATIOS_OF = {"department": "provident-fund", "view": "citizen.identity"}
FUND = 'department="provident-fund", view="citizen.identity"'
RELAY = 'service="relay", department="public-security"'


LONG = 100
"""Minutes above which a case is a long one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Series of a city, a sample a minute, or every ten in a long case, and whether an alert fires at some minute."""

    series: Mapping[str, str]
    minute: int
    fires: bool

    @property
    def metrics(self) -> set[str]:
        """The names of its series; counts and buckets of one histogram are one."""
        return {re.sub(r"(_bucket|_count)?\{.*", "", series) for series in self.series}


def fires(minute: int, **series: str) -> Case:
    """A case in which it fires."""
    return Case(series=series, minute=minute, fires=True)


def silent(minute: int, **series: str) -> Case:
    """A case in which it does not."""
    return Case(series=series, minute=minute, fires=False)


def delays(in_time: int, of: int, minutes: int) -> dict[str, str]:
    """Events a minute, so many of them within the fund's objective of 60 s."""
    name = m.PROPAGATION.name
    return {
        f'{name}_bucket{{{FUND}, le="60.0"}}': f"0+{in_time}x{minutes}",
        f"{name}_count{{{FUND}}}": f"0+{of}x{minutes}",
    }


def outcomes(parked: int, of: int, minutes: int) -> dict[str, str]:
    """Events a minute, so many of which park."""
    name = m.CONSUMED.served_name
    return {
        f'{name}{{{FUND}, outcome="parked"}}': f"0+{parked}x{minutes}",
        f'{name}{{{FUND}, outcome="applied"}}': f"0+{of - parked}x{minutes}",
    }


def every_service(values: str) -> dict[str, str]:
    """A sign of life of every service of the city."""
    return {
        f'{m.TURN_TIMESTAMP.name}{{service="{service}", department="{department}"}}': values
        for service, department in m.services_of(TOPOLOGY)
    }


NAN = " ".join(["NaN"] * 90)
LAG, OBJECTIVE = f"{m.LAG_SECONDS.name}{{{FUND}}}", f"{m.OBJECTIVE.name}{{{FUND}}}"
KNOWN = m.LAG_KNOWN.name
PARKED = f'{m.PARKED.name}{{{FUND}, reason="cannot_hold"}}'
KEPT_BACK = f'{m.UNPUBLISHED.name}{{department="public-security", view="citizen.identity"}}'
STOPPED = f'{m.STOPPED_STREAMS.name}{{service="applier", {FUND}}}'
PAUSED, TURN = m.PAUSED.name, f"{m.TURN_TIMESTAMP.name}{{{RELAY}}}"
HEARD = f"{m.HEARD_TIMESTAMP.name}{{{RELAY}}}"
LEASE_OF_A, LEASE_OF_B = (f'{m.LEASE.name}{{department="d", instance="{each}"}}' for each in "ab")
OLDEST = f"{m.DIVERGENCE_OLDEST.name}{{{FUND}}}"
UNKNOWN = f'{m.STREAMS.name}{{{FUND}, state="unknown"}}'
SWEEP = f"{m.SWEEP_TIMESTAMP.name}{{{RELAY}}}"
OUTBOX = f'{m.OUTBOX_OLDEST.name}{{department="public-security", record_type="citizen"}}'

CAPTURE = f'{m.CAPTURE_FINDINGS.name}{{department="public-security", record_type="citizen"}}'
FORGED = f"{m.REFUSED.served_name}{{{FUND}}}"
DRIFT = f"{m.TOPOLOGY_DRIFT.name}{{{RELAY}}}"
SPOKEN_FOR = f"{m.STATEMENTS_REFUSED.served_name}{{{RELAY}}}"

CASES: Mapping[str, Sequence[Case]] = {
    "TellonceBehind": [
        fires(12, **{LAG: "300x20", OBJECTIVE: "60x20"}),
        silent(12, **{LAG: "59x20", OBJECTIVE: "60x20"}),
        silent(12, **{LAG: "300x5 0x15", OBJECTIVE: "60x20"}),
        silent(12, **{LAG: NAN, OBJECTIVE: "60x20"}),
    ],
    "TellonceLagUnknown": [
        fires(17, **{f"{KNOWN}{{{FUND}}}": "0x20"}),
        silent(17, **{f"{KNOWN}{{{FUND}}}": "1x20"}),
        silent(17, **{f'{KNOWN}{{{FUND}, instance="a"}}': "0x20", f'{KNOWN}{{{FUND}, instance="b"}}': "1x20"}),
    ],
    "TellonceParked": [
        fires(17, **{PARKED: "2x20"}),
        silent(17, **{PARKED: "0x20"}),
        silent(17, **{PARKED: NAN}),
        silent(17, **{PARKED: "2x10 0x10"}),
    ],
    "TellonceUnpublished": [fires(17, **{KEPT_BACK: "1x20"}), silent(17, **{KEPT_BACK: "0x20"})],
    "TellonceStreamStopped": [fires(3, **{STOPPED: "1x5"}), silent(3, **{STOPPED: "0x5"})],
    "TellonceCaptureAltered": [
        fires(7, **{CAPTURE: "2x20"}),
        silent(7, **{CAPTURE: "0x20"}),
        silent(7, **{CAPTURE: NAN}),
        silent(7, **{CAPTURE: "2x3 0x10"}),
    ],
    "TellonceForged": [
        fires(3, **{FORGED: "0x1 1x5"}),
        silent(3, **{FORGED: "7x6"}),
        silent(25, **{FORGED: "0x1 1x30"}),
    ],
    "TellonceSpokenFor": [
        fires(3, **{SPOKEN_FOR: "0x1 1x5"}),
        silent(3, **{SPOKEN_FOR: "7x6"}),
        silent(25, **{SPOKEN_FOR: "0x1 1x30"}),
    ],
    "TellonceTopologyDrift": [
        fires(17, **{DRIFT: "2x20"}),
        silent(17, **{DRIFT: "0x20"}),
        silent(17, **{DRIFT: NAN}),
        silent(17, **{DRIFT: "2x10 0x10"}),
    ],
    "TelloncePaused": [
        fires(12, **{f"{PAUSED}{{{RELAY}}}": "1x20"}),
        silent(12, **{f"{PAUSED}{{{RELAY}}}": "1x5 0x15"}),
        silent(12, **{f'{PAUSED}{{{RELAY}, instance="a"}}': "1x20", f'{PAUSED}{{{RELAY}, instance="b"}}': "0x20"}),
    ],
    "TellonceHangs": [fires(9, **{TURN: "0x20"}), silent(9, **{TURN: "0+60x20"})],
    "TellonceSilent": [
        fires(9, **{HEARD: "0x20"}),
        silent(9, **{HEARD: "0+60x20"}),
        silent(9, **{HEARD: NAN}),
    ],
    "TellonceNoRelay": [
        fires(7, **{LEASE_OF_A: "0x9"}),
        fires(7, **{LEASE_OF_A: "1x9", LEASE_OF_B: "1x9"}),
        silent(7, **{LEASE_OF_A: "1x9", LEASE_OF_B: "0x9"}),
        silent(7, **{LEASE_OF_A: "1x9", LEASE_OF_B: NAN}),
    ],
    "TellonceDiverged": [
        fires(70, **{OLDEST: "0x80"}),
        silent(70, **{OLDEST: NAN}),
        silent(70, **{OLDEST: "0x50 3000x30"}),
    ],
    "TellonceNotCompared": [fires(32, **{UNKNOWN: "1x40"}), silent(32, **{UNKNOWN: "1x20 0x20"})],
    "TellonceSweepOverdue": [fires(380, **{SWEEP: "0x40"}), silent(380, **{SWEEP: "0x20 12000x20"})],
    "TellonceOutboxOld": [fires(12, **{OUTBOX: "61x20"}), silent(12, **{OUTBOX: "60x20"})],
    "TellonceAbsent": [fires(6, **{TURN: "0x1"}), silent(6, **every_service("0x9"))],
    "TellonceLateFast": [
        fires(70, **delays(50, 100, 70)),
        silent(70, **delays(99, 100, 70)),
        silent(70, **delays(95, 100, 70)),
    ],
    "TellonceLateSlow": [fires(1500, **delays(950, 1000, 150)), silent(1500, **delays(1000, 1000, 150))],
    "TellonceParkingFast": [fires(70, **outcomes(5, 100, 70)), silent(70, **outcomes(1, 1000, 70))],
    "TellonceParkingSlow": [fires(1500, **outcomes(5, 1000, 150)), silent(1500, **outcomes(0, 1000, 150))],
}


@pytest.fixture(scope="module")
def promtool() -> str:
    """Prometheus' tool, which Debian's package `prometheus` brings."""
    found = shutil.which("promtool")
    if found is None:
        leave_out(ConfigurationError("promtool is missing: install the package prometheus"))
    return found


def alert_names() -> set[str]:
    """Every alert of the city's rules."""
    groups = rules_of(TOPOLOGY)["groups"]
    assert isinstance(groups, list)
    return {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}


def test_every_alert_is_seen_to_fire_and_to_stay_silent() -> None:
    """No alert is there that was never seen both ways."""
    assert set(CASES) == alert_names()
    for name, cases in CASES.items():
        assert {case.fires for case in cases} == {True, False}, name


def together(cases: Sequence[tuple[str, Case]]) -> list[list[tuple[str, Case]]]:
    """Cases that share no metric, in one group: promtool makes a database for each."""
    groups: list[list[tuple[str, Case]]] = []
    for name, case in cases:
        for group in groups:
            if not any(case.metrics & other.metrics for _, other in group):
                group.append((name, case))
                break
        else:
            groups.append([(name, case)])
    return groups


@pytest.mark.parametrize("is_long", [False, True], ids=["short", "long"])
def test_alerts_fire_and_stay_silent_as_they_should(promtool: str, tmp_path: Path, *, is_long: bool) -> None:
    """All cases of all alerts; the long ones are played in steps of ten minutes."""
    step = 10 if is_long else 1
    tests = [
        {
            "interval": f"{step}m",
            "input_series": [{"series": k, "values": v} for _, case in group for k, v in case.series.items()],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{name}", alertstate="firing"}}) > bool 0 or vector(0)',
                    "eval_time": f"{case.minute}m",
                    "exp_samples": [{"labels": "{}", "value": int(case.fires)}],
                }
                for name, case in group
            ],
        }
        for group in together([(n, c) for n, cases in CASES.items() for c in cases if (c.minute > LONG) == is_long])
    ]
    rules = rules_of(TOPOLOGY)
    groups = rules["groups"]
    assert isinstance(groups, list)
    for group in groups:
        # By the steps of the case, or days would take minutes.
        del group["interval"]
        # Of the ratios those of the one subscription that the cases are about.
        group["rules"] = [rule for rule in group["rules"] if "alert" in rule or rule["labels"] == RATIOS_OF]
    for file, document in (
        ("rules.yml", rules),
        ("tests.yml", {"rule_files": ["rules.yml"], "evaluation_interval": f"{step}m", "tests": tests}),
    ):
        with (tmp_path / file).open("w", encoding="utf-8") as written:
            YAML().dump(document, written)

    done = subprocess.run(
        [promtool, "test", "rules", "tests.yml"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert tests
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_two_services_of_a_department_tell_is_counted_once(promtool: str, tmp_path: Path) -> None:
    """An alert names as many records as there are, however many services read the same database."""
    own = [
        (PARKED, "2"),
        (f'{m.PARKED.name}{{{FUND}, reason="no_match"}}', "3"),
        (KEPT_BACK, "4"),
        (UNKNOWN, "5"),
    ]
    series = [
        {"series": series.replace("{", f'{{instance="{instance}", '), "values": value}
        for series, value in own
        for instance in "ab"
    ]
    expected = {
        "TellonceParked": (f"{{{FUND}}}", 5),
        "TellonceUnpublished": ('{department="public-security", view="citizen.identity"}', 4),
        "TellonceNotCompared": (f"{{{FUND}}}", 5),
    }
    questions = [
        {"expr": alert.expr, "eval_time": "0s", "exp_samples": [{"labels": labels, "value": value}]}
        for alert in ALERTS
        if alert.name in expected
        for labels, value in [expected[alert.name]]
    ]
    with (tmp_path / "tests.yml").open("w", encoding="utf-8") as written:
        YAML().dump({"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": questions}]}, written)

    done = subprocess.run(
        [promtool, "test", "rules", str(tmp_path / "tests.yml")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert len(questions) == len(expected)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_metrics_pass_prometheus_own_checks(promtool: str, tmp_path: Path) -> None:
    """promtool finds nothing in the rules, and nothing in what each kind of service serves."""
    rules = tmp_path / "rules.yml"
    rules.write_text(render_rules(TOPOLOGY), encoding="utf-8")
    scrapes = [
        relay_meters("public-security", TOPOLOGY),
        applier_meters("provident-fund", TOPOLOGY),
        reconciler_meters(TOPOLOGY),
    ]

    checked = subprocess.run([promtool, "check", "rules", str(rules)], capture_output=True, text=True, check=False)
    linted = [
        subprocess.run(
            [promtool, "check", "metrics"], input=generate_latest(each.registry), capture_output=True, check=False
        )
        for each in scrapes
    ]

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "lint error" not in checked.stdout + checked.stderr
    assert [one.returncode for one in linted] == [0, 0, 0], [one.stderr for one in linted]


def test_every_alert_has_its_page() -> None:
    """The runbook explains each alert under its name, and ends each with a command or a place to look."""
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    sections = {part.partition("\n")[0]: part for part in page.split("\n## ")[1:]}

    assert set(sections) == alert_names()
    for name, text in sections.items():
        for part in ("**What it means.**", "**Look first.**", "**What mends it.**"):
            assert part in text, f"{name}: {part}"
