"""What is counted and measured, as Prometheus reads it."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tellonce.cli.meters import applier_meters, reconciler_meters, relay_meters
from tellonce.observability import metrics as m
from tellonce.observability.meters import BatchHistogram, Meters
from tellonce.topology import Topology, load_topology

UNITS = ("seconds", "bytes", "info", "total")


@pytest.fixture(scope="module")
def topology() -> Topology:
    """The checkout's own city."""
    return load_topology(Path(__file__).parents[2] / "topology.yaml")


def samples(meters: Meters) -> Iterator[Sample]:
    """What a scrape reads."""
    for family in text_string_to_metric_families(generate_latest(meters.registry).decode()):
        yield from family.samples


def every_service(topology: Topology) -> list[Meters]:
    """The meters of each kind of service of the city."""
    return [
        relay_meters("public-security", topology),
        applier_meters("provident-fund", topology),
        reconciler_meters(topology),
    ]


def test_every_metric_is_served_by_whom_it_says(topology: Topology) -> None:
    """What a service declares it serves from the first scrape, and nothing else."""
    for service, meters in zip(m.Service, every_service(topology), strict=True):
        meters.tell_build(service.value, "d", "")
        served = {re.sub(r"_(bucket|count|sum)$", "", one.name) for one in samples(meters)}
        assert served == {metric.served_name for metric in m.METRICS if service in metric.services}


def test_names_keep_prometheus_rules() -> None:
    """A name is of the project, in snake case, with its base unit last; a help text is a sentence."""
    for metric in m.METRICS:
        assert re.fullmatch(r"tellonce(_[a-z]+)+", metric.name), metric.name
        assert not metric.name.endswith("_total"), metric.name
        assert metric.help.endswith(".") or metric is m.BUILD, metric.name
        assert metric.worry, metric.name
        if metric.kind is m.Kind.HISTOGRAM:
            assert metric.name.endswith(UNITS), metric.name
            assert list(metric.buckets) == sorted(set(metric.buckets)), metric.name


def test_what_is_not_known_is_no_number(topology: Topology) -> None:
    """Before anything was read, every gauge but those that are settled is NaN: a 0 would say that all is well."""
    meters = applier_meters("provident-fund", topology)

    found = {one.name: one.value for one in samples(meters)}

    assert math.isnan(found["tellonce_lag_records"])
    assert math.isnan(found["tellonce_parked_records"])
    assert found["tellonce_freshness_objective_seconds"] == 60
    assert found["tellonce_consumed_events_total"] == 0


def test_objective_is_an_edge_of_the_delay(topology: Topology) -> None:
    """Each subscription's share within its objective can be read exactly."""
    meters = applier_meters("public-security", topology)

    edges = {
        float(one.labels["le"]) for one in samples(meters) if one.name == "tellonce_propagation_delay_seconds_bucket"
    }

    assert 300.0 in edges


def test_series_are_bounded_by_the_topology(topology: Topology) -> None:
    """No more series come into being however much is counted."""
    meters = applier_meters("provident-fund", topology)
    before = meters.series()
    labels = {"department": "provident-fund", "view": "citizen.identity"}

    for number in range(100):
        meters.count(m.CONSUMED, 1, outcome="applied", **labels)
        meters.propagation.observe_all(labels, [number / 7, 1e9])

    assert meters.series() == before
    with pytest.raises(KeyError):
        meters.propagation.observe_all({"department": "provident-fund", "view": "nowhere"}, [1.0])


@given(st.lists(st.lists(st.floats(0, 1e6, allow_nan=False), max_size=50), max_size=10), st.floats(0.001, 1e5))
def test_batch_histogram_counts_as_one_by_one(batches: list[list[float]], edge: float) -> None:
    """A batch at once gives the buckets that each value by itself would."""
    histogram = BatchHistogram(m.PROPAGATION, {("d", "v"): [edge]})
    values = [value for batch in batches for value in batch]

    for batch in batches:
        histogram.observe_all({"department": "d", "view": "v"}, iter(batch))

    (family,) = histogram.collect()
    buckets = {one.labels["le"]: one.value for one in family.samples if one.name.endswith("_bucket")}
    assert {le: sum(value <= float(le) for value in values) for le in buckets} == buckets
    assert str(edge) in buckets
    (total,) = [one.value for one in family.samples if one.name.endswith("_sum")]
    assert total == pytest.approx(sum(values))
