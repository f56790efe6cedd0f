"""The expressions that the dashboards ask Prometheus, put together from the metrics' own declarations.

Every one gives a value in a healthy city: 0 where there is nothing, NaN where something is not known.
"""

from collections.abc import Sequence

from tellonce.model.divergence import DivergenceKind
from tellonce.observability import metrics as m
from tellonce.observability.metrics import Kind, Metric
from tellonce.reconcile.status import StreamState

__all__ = [
    "STATES",
    "SUBSCRIPTION",
    "TURNS",
    "age",
    "at",
    "is_behind",
    "known_sum",
    "lag_seconds",
    "newest",
    "oldest",
    "parked",
    "per_second",
    "pick",
    "quantile",
    "recently",
    "state",
    "told",
    "total",
    "turn",
]

SUBSCRIPTION = ("department", "view")

STATES = {0: "equal", 1: "behind", 2: "parked", 3: "unknown", 4: "differs"}
"""How a department stands to a view, from best to worst; `state` gives the number."""

TURNS = {0: "nobody's", 1: "data office's", 2: "department's", 3: "authority's"}
"""Who has to do something; where several have, the first on the record's way."""

# Holds four scrapes at 15 s, so that a rate is never without the two samples that it needs.
_WINDOW = "5m"
# Kinds that the department or the authority mends; of the others the data office decides.
_OTHERS_DECIDE = (DivergenceKind.PARKED, DivergenceKind.AMBIGUOUS, DivergenceKind.UNPUBLISHED)


def pick(metric: Metric, *, of: str = "", **labels: str) -> str:
    """Gives a metric's series with these label values; one that begins with `$` is a variable of the page.

    `of` is a histogram's part: `_bucket`, `_count` or `_sum`.

    Raises:
        ValueError: the metric has no such label.
    """
    unknown = labels.keys() - set(metric.labels)
    if unknown:
        msg = f"expected labels of {metric.name}, which has {', '.join(metric.labels)}; found {', '.join(unknown)}"
        raise ValueError(msg)
    chosen = [
        f'{name}{"=~" if value.startswith("$") or "|" in value else "="}"{value}"' for name, value in labels.items()
    ]
    return f"{metric.served_name}{of}{{{', '.join(chosen)}}}" if chosen else f"{metric.served_name}{of}"


def told(metric: Metric, by: Sequence[str] = SUBSCRIPTION, **labels: str) -> str:
    """Gives the sum of a gauge by labels, each label set counted once.

    Two services of one department read the same database, so their figures are one and the same.
    """
    once = f"max by ({', '.join(metric.labels)}) ({pick(metric, **labels)})"
    return once if set(by) == set(metric.labels) else f"sum by ({', '.join(by)}) ({once})"


def newest(metric: Metric, by: Sequence[str] = SUBSCRIPTION, **labels: str) -> str:
    """Gives the largest value by labels; NaN only where none is known."""
    return f"max by ({', '.join(by)}) ({pick(metric, **labels)})"


def known_sum(metric: Metric, by: Sequence[str] = SUBSCRIPTION, **labels: str) -> str:
    """Gives the sum of what is known by labels, as of appliers that share streams; NaN where nothing is."""
    group, series = ", ".join(by), pick(metric, **labels)
    return f"sum by ({group}) ({series} >= 0) or max by ({group}) ({series})"


def per_second(metric: Metric, by: Sequence[str] = SUBSCRIPTION, **labels: str) -> str:
    """Gives how fast a counter grows, by labels."""
    return f"sum by ({', '.join(by)}) (rate({pick(metric, **labels)}[{_WINDOW}]))"


def recently(metric: Metric, by: Sequence[str] = SUBSCRIPTION, **labels: str) -> str:
    """Gives by how much a counter grew within an hour, by labels."""
    return f"sum by ({', '.join(by)}) (increase({pick(metric, **labels)}[1h]))"


def quantile(share: float, metric: Metric, by: Sequence[str] = SUBSCRIPTION, **labels: str) -> str:
    """Gives the duration within which so large a share was; NaN where nothing happened of late.

    `by` must hold all labels of a histogram whose edges differ by label, or buckets are summed that do not match.
    """
    if metric.kind is not Kind.HISTOGRAM:
        msg = f"expected a histogram, found that {metric.name} is a {metric.kind}"
        raise ValueError(msg)
    buckets = f"rate({pick(metric, of='_bucket', **labels)}[{_WINDOW}])"
    return f"histogram_quantile({share}, sum by ({', '.join((*by, 'le'))}) ({buckets}))"


def total(metric: Metric, by: Sequence[str] = SUBSCRIPTION, **labels: str) -> str:
    """Gives what a counter has counted since its service started, by labels."""
    return f"sum by ({', '.join(by)}) ({pick(metric, **labels)})"


def at(metric: Metric, by: Sequence[str] = SUBSCRIPTION, **labels: str) -> str:
    """Gives the newest of timestamps in milliseconds, as Grafana's dates are, by labels; NaN where there is none."""
    return f"1000 * {newest(metric, by, **labels)}"


def oldest(metric: Metric, by: Sequence[str] = SUBSCRIPTION, **labels: str) -> str:
    """Gives the oldest of timestamps in milliseconds, by labels; NaN where there is none."""
    return f"1000 * min by ({', '.join(by)}) ({pick(metric, **labels)})"


def age(metric: Metric, by: Sequence[str] = SUBSCRIPTION, **labels: str) -> str:
    """Gives how long ago a timestamp was, by labels; NaN where there is none."""
    return f"time() - {newest(metric, by, **labels)}"


def lag_seconds(department: str, by: Sequence[str] = SUBSCRIPTION) -> str:
    """Gives for how long a department's slowest applier has been behind; NaN where that is not known."""
    return newest(m.LAG_SECONDS, by, department=department)


def parked(department: str, by: Sequence[str] = SUBSCRIPTION) -> str:
    """Gives how many records a department cannot apply."""
    return told(m.PARKED, by, department=department)


def is_behind(department: str) -> str:
    """Gives 1 where a department's lag is above its objective, else 0, unknown lags included."""
    objective = newest(m.OBJECTIVE, department=department)
    return f"{lag_seconds(department)} > bool on (department, view) {objective}"


def state(department: str, by: Sequence[str] = SUBSCRIPTION) -> str:
    """Gives the worst of `STATES` by labels; a subscription that only one side knows is unknown."""
    return _worst(
        by,
        (1, is_behind(department)),
        (1, _waits(department)),
        (2, f"{parked(department)} > bool 0"),
        (3, _is_unseen(department)),
        (3, _is_untold(department)),
        (3, _is_uncompared(department)),
        (4, _differing(department, *(kind for kind in DivergenceKind if kind is not DivergenceKind.PARKED))),
    )


def turn(department: str, by: Sequence[str] = SUBSCRIPTION) -> str:
    """Gives whose turn it is, of `TURNS`, by labels."""
    return _worst(
        by,
        (1, _is_uncompared(department)),
        (1, _differing(department, *(kind for kind in DivergenceKind if kind not in _OTHERS_DECIDE))),
        (2, is_behind(department)),
        (2, _is_unseen(department)),
        (2, f"{parked(department)} > bool 0"),
        (2, _differing(department, DivergenceKind.PARKED, DivergenceKind.AMBIGUOUS)),
        (3, _waits(department)),
        (3, _is_untold(department)),
        (3, _differing(department, DivergenceKind.UNPUBLISHED)),
    )


def _typed(department: str) -> str:
    """Gives the objectives with the record type of their view, by which outboxes are named."""
    objective = newest(m.OBJECTIVE, department=department)
    return f'label_replace({objective}, "record_type", "$1", "view", "(.+)[.][^.]+")'


def _waits(department: str) -> str:
    """Gives 1 where changes have waited at the authority for longer than the objective, else 0."""
    oldest_age = newest(m.OUTBOX_OLDEST, ("record_type",))
    return f"{_typed(department)} < bool on (record_type) group_left () {oldest_age}"


def _is_untold(department: str) -> str:
    """Gives 1 where no relay tells what waits at the authority, else nothing."""
    told_of = f"max by (record_type) ({pick(m.OUTBOX_OLDEST)} >= 0)"
    return f"({_typed(department)} >= bool 0) unless on (record_type) {told_of}"


def _differing(department: str, *kinds: DivergenceKind) -> str:
    return f"{told(m.DIVERGENT, department=department, kind='|'.join(kinds))} > bool 0"


def _is_compared(department: str) -> str:
    """Gives 1 where the reconciler knows a subscription's streams, 0 where it does not yet."""
    return f"min by (department, view) ({pick(m.STREAMS, department=department)} >= bool 0)"


def _is_unseen(department: str) -> str:
    """Gives 1 where no applier knows the lag, or where none is seen of a subscription that is compared, else 0."""
    return f"({newest(m.LAG_KNOWN, department=department)} or 0 * {_is_compared(department)}) == bool 0"


def _is_uncompared(department: str) -> str:
    """Gives 1 where streams cannot be compared, or where no reconciler is seen, else 0."""
    known = f"{_is_compared(department)} or 0 * {newest(m.LAG_KNOWN, department=department)}"
    streams = told(m.STREAMS, department=department, state=StreamState.UNKNOWN)
    return _worst(SUBSCRIPTION, (1, f"({known}) == bool 0"), (1, f"{streams} > bool 0"))


def _worst(by: Sequence[str], *weighed: tuple[int, str]) -> str:
    """Gives the largest of several 0 or 1, each times its weight.

    `or` keeps one of two series with the same labels, so each is given a label of its own first.
    """
    told_apart = [
        f'label_replace({weight} * ({term}), "term", "{number}", "", "")'
        for number, (weight, term) in enumerate(weighed)
    ]
    return f"max by ({', '.join(by)}) ({' or '.join(told_apart)})"
