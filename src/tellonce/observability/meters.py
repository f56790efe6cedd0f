"""The meters of one service: its metrics in a registry, with every label set there from the first scrape."""

import math
import platform
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

from confluent_kafka import libversion
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from tellonce import __version__
from tellonce.control.messages import Reading
from tellonce.observability.metrics import BUILD, METRICS, PROPAGATION, Kind, Metric, Service

# When a series began says nothing that its absence before does not, and would double the series.
disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus-client has no annotation for it

__all__ = ["BatchHistogram", "LabelSets", "Meters", "every"]

LabelSets = Mapping[Metric, Sequence[Mapping[str, str]]]
"""The label sets that a metric has in this service; it has no other."""


class BatchHistogram(Collector):
    """A histogram that takes the values of a whole batch at once, so that nothing is done per record.

    Each label set has edges of its own: the common ones and those given for it.
    """

    def __init__(self, metric: Metric, edges: Mapping[tuple[str, ...], Iterable[float]]) -> None:
        """`edges` gives the edges to add, by label values in the metric's order."""
        self._metric = metric
        self._edges = {labels: sorted({*metric.buckets, *more}) for labels, more in edges.items()}
        self._counts = {labels: [0] * (len(edges) + 1) for labels, edges in self._edges.items()}
        self._sums = dict.fromkeys(self._edges, 0.0)

    def observe_all(self, labels: Mapping[str, str], values: Iterable[float]) -> None:
        """Counts values in seconds."""
        place = tuple(labels[name] for name in self._metric.labels)
        ordered = sorted(values)
        below = 0
        counts = self._counts[place]
        for at, edge in enumerate(self._edges[place]):
            reached = bisect_right(ordered, edge)
            counts[at] += reached - below
            below = reached
        counts[-1] += len(ordered) - below
        self._sums[place] += sum(ordered)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Gives the histogram as Prometheus reads it."""
        family = HistogramMetricFamily(self._metric.name, self._metric.help, labels=self._metric.labels)
        for place, edges in self._edges.items():
            total = 0
            buckets: list[tuple[str, float]] = []
            for edge, count in zip([*edges, math.inf], self._counts[place], strict=True):
                total += count
                buckets.append(("+Inf" if math.isinf(edge) else str(edge), float(total)))
            family.add_metric(place, buckets, self._sums[place])
        yield family


class Meters:
    """What one service counts and measures. A meter that was not declared for the service cannot be reached.

    The service's thread writes, that which compares topics too, and the server's thread reads: prometheus-client allows
    it.
    """

    def __init__(
        self, service: Service, label_sets: LabelSets, *, objectives: Mapping[tuple[str, ...], float] | None = None
    ) -> None:
        """`objectives` are edges for the delay of propagation, by department and view.

        Raises:
            KeyError: a metric of the service has no label sets; give it an empty list if it has none here.
        """
        self.registry = CollectorRegistry(auto_describe=True)
        self.metrics = tuple(metric for metric in METRICS if service in metric.services)
        # What is built says its labels once, when they are known.
        self._label_sets = {metric: label_sets[metric] for metric in self.metrics if metric is not BUILD}
        self._counters: dict[Metric, Counter] = {}
        self._gauges: dict[Metric, Gauge] = {}
        self._histograms: dict[Metric, Histogram] = {}
        self.propagation = BatchHistogram(PROPAGATION, {k: [v] for k, v in (objectives or {}).items()})
        for metric in self.metrics:
            self._make(metric)

    def _make(self, metric: Metric) -> None:
        names = list(metric.labels)
        if metric is PROPAGATION:
            self.registry.register(self.propagation)
            return
        made: Counter | Gauge | Histogram
        match metric.kind:
            case Kind.COUNTER:
                made = self._counters[metric] = Counter(metric.name, metric.help, names, registry=self.registry)
            case Kind.GAUGE:
                made = self._gauges[metric] = Gauge(metric.name, metric.help, names, registry=self.registry)
            case Kind.HISTOGRAM:
                made = self._histograms[metric] = Histogram(
                    metric.name, metric.help, names, buckets=metric.buckets, registry=self.registry
                )
        for labels in self._label_sets.get(metric, ()):
            child = made.labels(**labels)
            if isinstance(child, Gauge):
                # Until something is known of it; a 0 would say that all is well.
                child.set(math.nan)

    def tell_build(self, service: str, department: str, schemas: str) -> None:
        """Says which release this is, on what it runs, and which schemas it knows."""
        self._gauges[BUILD].labels(
            service=service,
            department=department,
            version=__version__,
            python=platform.python_version(),
            librdkafka=str(libversion()[0]),
            schemas=schemas,
        ).set(1)

    def count(self, metric: Metric, amount: float, **labels: str) -> None:
        """Adds to a counter."""
        self._counters[metric].labels(**labels).inc(amount)

    def set(self, metric: Metric, value: float | None, **labels: str) -> None:
        """Sets a gauge; None is unknown."""
        self._gauges[metric].labels(**labels).set(math.nan if value is None else value)

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Counts one value of a histogram."""
        self._histograms[metric].labels(**labels).observe(value)

    def readings(self, metrics: Iterable[Metric]) -> dict[str, tuple[Reading, ...]]:
        """Gives those of these gauges that the service has, by name."""
        return {
            metric.name: tuple(
                Reading(labels=dict(sample.labels), value=None if math.isnan(sample.value) else sample.value)
                for family in self._gauges[metric].collect()
                for sample in family.samples
            )
            for metric in metrics
            if metric in self._gauges
        }

    def series(self) -> int:
        """Gives how many series a scrape of this service reads; bounded by the topology."""
        return sum(len(family.samples) for family in self.registry.collect())


def every(**values: Iterable[str]) -> list[dict[str, str]]:
    """Gives the label sets of every combination of these values."""
    return [dict(zip(values, each, strict=True)) for each in product(*values.values())]
