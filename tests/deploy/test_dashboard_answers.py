"""What the dashboards' expressions answer in a healthy city and in others, as Prometheus' own promtool computes it."""

import math
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dashboards import for_prometheus, queries
from dashboards.promql import STATES, TURNS, state, turn
from tellonce.cli.meters import applier_meters, reconciler_meters, relay_meters
from tellonce.model.divergence import DivergenceKind
from tellonce.observability import metrics as m
from tellonce.observability.meters import Meters
from tellonce.reconcile.status import StreamState
from tellonce.topology import load_topology

TOPOLOGY = load_topology(Path(__file__).parents[2] / "topology.yaml")
TIMES = (m.TURN_TIMESTAMP, m.SWEEP_TIMESTAMP, m.MARK_TIMESTAMP, m.ATTESTATION_TIMESTAMP)
NONE_YET = (m.DIVERGENCE_OLDEST, m.PARKED_OLDEST)
ONE = (m.LAG_KNOWN, m.LEASE)


def played(promtool: str, folder: Path, test: Mapping[str, Any]) -> None:
    """Have promtool compute expressions over series; it complains where an answer is another."""
    with (folder / "tests.yml").open("w", encoding="utf-8") as written:
        YAML().dump({"rule_files": [], "evaluation_interval": "15s", "tests": [dict(test)]}, written)

    done = subprocess.run(
        [promtool, "test", "rules", "tests.yml"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def services() -> Iterator[Meters]:
    """The meters of every service that the city needs."""
    for department in TOPOLOGY.departments:
        if TOPOLOGY.published_by(department):
            made = relay_meters(department, TOPOLOGY)
            made.tell_build(m.Service.RELAY, department, "1")
            yield made
        if TOPOLOGY.subscribed_by(department):
            made = applier_meters(department, TOPOLOGY)
            made.tell_build(m.Service.APPLIER, department, "1")
            yield made
    made = reconciler_meters(TOPOLOGY)
    made.tell_build(m.Service.RECONCILER, m.RECONCILER_DEPARTMENT, "")
    yield made


def labelled(labels: Mapping[str, str]) -> str:
    """Labels as a selector has them."""
    return ", ".join(f'{name}="{value}"' for name, value in labels.items())


def healthy(name: str, labels: Mapping[str, str], value: float, step: int) -> str:
    """The samples of a series where all is well and nothing happens, with so many seconds from one to the next."""
    gauge = next((metric for metric in m.METRICS if metric.served_name == name), None)
    if gauge in NONE_YET:
        return " ".join(["NaN"] * 200)
    if gauge in TIMES:
        return f"0+{step}x200"
    if gauge in ONE or (gauge is m.STREAMS and labels["state"] == StreamState.PROVED):
        return "1+0x200"
    return f"{0 if math.isnan(value) else value:g}+0x200"


def starting(name: str, labels: Mapping[str, str], value: float, step: int) -> str:
    """The samples of a series of a service that knows nothing yet: as the meters are made."""
    del name, labels, step
    return " ".join(["NaN"] * 200) if math.isnan(value) else f"{value:g}+0x200"


@pytest.mark.parametrize("samples", [healthy, starting])
@pytest.mark.parametrize("step", [5, 15])
def test_every_panel_has_an_answer(
    promtool: str, tmp_path: Path, step: int, samples: Callable[[str, Mapping[str, str], float, int], str]
) -> None:
    """No panel is empty where nothing has happened for ten minutes, nor where the services know nothing yet."""
    series = [
        {
            "series": f"{sample.name}{{{labelled(sample.labels)}}}",
            "values": samples(sample.name, sample.labels, sample.value, step),
        }
        for meters in services()
        for family in meters.registry.collect()
        for sample in family.samples
    ]
    expected = [
        {
            "expr": f"count({for_prometheus(query.expression)}) > bool 0",
            "eval_time": "10m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for query in queries()
    ]

    played(promtool, tmp_path, {"interval": f"{step}s", "input_series": series, "promql_expr_test": expected})


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is not as it should be at a department, by series, and which metrics nobody serves."""

    state: str
    turn: str
    changed: Mapping[str, float] = field(default_factory=dict[str, float])
    without: Sequence[m.Metric] = ()


STREAMS, DIVERGENT = m.STREAMS.name, m.DIVERGENT.name
NAN = math.nan
APPLIER = (m.LAG_SECONDS, m.LAG_KNOWN, m.OBJECTIVE, m.PARKED)
CASES = {
    "equal": Case(state="equal", turn="nobody's"),
    "behind-within-the-objective": Case(state="equal", turn="nobody's", changed={m.LAG_SECONDS.name: 59}),
    "behind": Case(state="behind", turn="department's", changed={m.LAG_SECONDS.name: 61}),
    "waits-at-the-authority": Case(state="behind", turn="authority's", changed={m.OUTBOX_OLDEST.name: 61}),
    "parked": Case(state="parked", turn="department's", changed={m.PARKED.name: 1}),
    "parked-and-found": Case(state="parked", turn="department's", changed={m.PARKED.name: 1, f"{DIVERGENT}/parked": 1}),
    "altered": Case(state="differs", turn="data office's", changed={f"{DIVERGENT}/altered": 2}),
    "ambiguous": Case(state="differs", turn="department's", changed={f"{DIVERGENT}/ambiguous": 1}),
    "unpublished": Case(state="differs", turn="authority's", changed={f"{DIVERGENT}/unpublished": 1}),
    "altered-and-behind": Case(
        state="differs", turn="department's", changed={f"{DIVERGENT}/altered": 1, m.LAG_SECONDS.name: 61}
    ),
    "lag-not-known": Case(state="unknown", turn="department's", changed={m.LAG_SECONDS.name: NAN, m.LAG_KNOWN.name: 0}),
    "no-applier": Case(state="unknown", turn="department's", without=APPLIER),
    "streams-unknown": Case(state="unknown", turn="data office's", changed={f"{STREAMS}/unknown": 1}),
    "reconciler-reads": Case(
        state="unknown",
        turn="data office's",
        changed={f"{STREAMS}/{each}": NAN for each in StreamState}
        | {f"{DIVERGENT}/{each}": NAN for each in DivergenceKind},
    ),
    "no-reconciler": Case(state="unknown", turn="data office's", without=(m.STREAMS, m.DIVERGENT)),
    "no-relay": Case(state="unknown", turn="authority's", without=(m.OUTBOX_OLDEST,)),
    "relay-starts": Case(state="unknown", turn="authority's", changed={m.OUTBOX_OLDEST.name: NAN}),
}
"""Each is a department of its name, which subscribes to the one view of a record type of its name."""


def series_of(name: str, case: Case) -> Iterator[dict[str, str]]:
    """The series of a case, with what is not as it should be."""
    own = f'department="{name}", view="{name}.main"'
    whole: list[tuple[m.Metric, str, str, float]] = [
        (m.LAG_SECONDS, "", own, 0),
        (m.LAG_KNOWN, "", own, 1),
        (m.OBJECTIVE, "", own, 60),
        (m.PARKED, "", f'{own}, reason="no_match"', 0),
        (m.OUTBOX_OLDEST, "", f'department="authority", record_type="{name}"', 0),
        *((m.STREAMS, f"/{each}", f'{own}, state="{each}"', 0) for each in StreamState),
        *((m.DIVERGENT, f"/{each}", f'{own}, kind="{each}"', 0) for each in DivergenceKind),
    ]
    for metric, end, labels, value in whole:
        if metric not in case.without:
            now = case.changed.get(f"{metric.name}{end}", value)
            said = "NaN" if math.isnan(now) else f"{now:g}"
            yield {"series": f"{metric.name}{{{labels}}}", "values": f"{said} {said}"}


def test_state_and_turn_are_those_of_the_case(promtool: str, tmp_path: Path) -> None:
    """Who is behind, who differs, what nobody knows and whose turn it is follow from what the services say."""
    numbers = {word: number for number, word in STATES.items()}
    turns = {word: number for number, word in TURNS.items()}
    expected = [
        {
            "expr": make(name),
            "eval_time": "15s",
            "exp_samples": [{"labels": f'{{department="{name}", view="{name}.main"}}', "value": number}],
        }
        for name, case in CASES.items()
        for make, number in ((state, numbers[case.state]), (turn, turns[case.turn]))
    ]
    series = [each for name, case in CASES.items() for each in series_of(name, case)]

    played(promtool, tmp_path, {"interval": "15s", "input_series": series, "promql_expr_test": expected})
