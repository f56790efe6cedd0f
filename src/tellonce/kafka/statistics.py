"""The few of librdkafka's statistics that are told, read from the JSON in which a client gives them.

What each field means is in librdkafka's STATISTICS.md. The rest names brokers and topics, and is left out.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["ClientStatistics", "read_statistics"]

_MICROSECONDS = 1_000_000
_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatistics:
    """How a client stands with all its brokers together; None is what it does not tell.

    `round_trip_seconds` is that of the slowest broker, within which it answers 99 of 100 requests. What is named by its
    trouble is counted since the client was made.
    """

    round_trip_seconds: float | None = None
    queued_messages: int | None = None
    unanswered_requests: int | None = None
    timed_out_requests: int | None = None
    send_errors: int | None = None
    receive_errors: int | None = None
    disconnects: int | None = None


def read_statistics(text: str) -> ClientStatistics:
    """Reads one message of statistics; it never raises, since a callback of librdkafka may not."""
    try:
        told: object = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    client = _object(told)
    brokers = [_object(broker) for broker in _object(client.get("brokers")).values()]
    return ClientStatistics(
        round_trip_seconds=_slowest(_object(broker.get("rtt")) for broker in brokers),
        queued_messages=_number(client.get("msg_cnt")),
        unanswered_requests=_sum(brokers, "waitresp_cnt"),
        timed_out_requests=_sum(brokers, "req_timeouts"),
        send_errors=_sum(brokers, "txerrs"),
        receive_errors=_sum(brokers, "rxerrs"),
        disconnects=_sum(brokers, "disconnects"),
    )


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType] - JSON has string keys


def _number(value: object) -> int | None:
    """The number, which librdkafka counts in 64 bits; anything else is none of its."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value < 1 << _BITS else None


def _sum(brokers: Iterable[Mapping[str, object]], name: str) -> int | None:
    """The sum over all brokers; a sum that leaves one out would look like less trouble than there is."""
    numbers = [_number(broker.get(name)) for broker in brokers]
    known = [number for number in numbers if number is not None]
    return sum(known) if known and len(known) == len(numbers) else None


def _slowest(windows: Iterable[Mapping[str, object]]) -> float | None:
    """The longest p99; a window in which nothing was measured has 0 there, which is no time of anything."""
    measured = [_number(window.get("p99")) for window in windows if _number(window.get("cnt"))]
    known = [number for number in measured if number is not None]
    return max(known) / _MICROSECONDS if known else None
