"""What is said of a metric where it is declared, and who may serve it."""

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Kind", "Metric", "Service", "counter", "gauge"]


class Kind(StrEnum):
    """What a metric does over time."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Service(StrEnum):
    """Who serves a metric."""

    RELAY = "relay"
    APPLIER = "applier"
    RECONCILER = "reconciler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric; a counter's name is without the `_total` that it is served with.

    `services` are those that serve it. A gauge that is not known is NaN, which no rule takes for a number.
    """

    name: str
    kind: Kind
    services: tuple[Service, ...]
    labels: tuple[str, ...]
    help: str
    worry: str
    buckets: tuple[float, ...] = field(default=())

    @property
    def served_name(self) -> str:
        """The name by which Prometheus finds it."""
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name


def counter(name: str, services: tuple[Service, ...], labels: tuple[str, ...], says: str, worry: str) -> Metric:
    """Declares a counter; `name` is without `_total`."""
    return Metric(name=name, kind=Kind.COUNTER, services=services, labels=labels, help=says, worry=worry)


def gauge(name: str, services: tuple[Service, ...], labels: tuple[str, ...], says: str, worry: str) -> Metric:
    """Declares a gauge."""
    return Metric(name=name, kind=Kind.GAUGE, services=services, labels=labels, help=says, worry=worry)
