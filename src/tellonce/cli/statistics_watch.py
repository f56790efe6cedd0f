"""What a service's Kafka client tells of itself, as gauges."""

import time
from collections.abc import Callable, Mapping

from tellonce.kafka.clients import STATISTICS_SECONDS
from tellonce.kafka.statistics import ClientStatistics, read_statistics
from tellonce.observability import metrics as m
from tellonce.observability.meters import Meters

__all__ = ["STATISTICS", "StatisticsWatch"]

STATISTICS: Mapping[m.Metric, Callable[[ClientStatistics], float | None]] = {
    m.KAFKA_ROUND_TRIP: lambda told: told.round_trip_seconds,
    m.KAFKA_QUEUED: lambda told: told.queued_messages,
    m.KAFKA_UNANSWERED: lambda told: told.unanswered_requests,
    m.KAFKA_TIMEOUTS: lambda told: told.timed_out_requests,
    m.KAFKA_SEND_ERRORS: lambda told: told.send_errors,
    m.KAFKA_RECEIVE_ERRORS: lambda told: told.receive_errors,
    m.KAFKA_DISCONNECTS: lambda told: told.disconnects,
}
"""All that is told of librdkafka's statistics, by metric; the rest has names of brokers and topics in it."""

# Longer than the longest pause between two turns of a service that waits, in which nobody polls its client.
_VALID_SECONDS = 4 * STATISTICS_SECONDS


class StatisticsWatch:
    """Tells the newest statistics of one client, and nothing where they are old: it was closed, or is not polled."""

    def __init__(
        self, meters: Meters, service: m.Service, department: str, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._meters = meters
        self._labels = {"service": service.value, "department": department}
        self._monotonic = monotonic
        self._newest = ClientStatistics()
        self._taken_at = float("-inf")

    def take(self, text: str) -> None:
        """Takes what a client tells, in the thread that polls it."""
        self._newest = read_statistics(text)
        self._taken_at = self._monotonic()

    def refresh(self) -> None:
        """Tells how the client stands."""
        is_valid = self._monotonic() - self._taken_at <= _VALID_SECONDS
        told = self._newest if is_valid else ClientStatistics()
        for metric, pick in STATISTICS.items():
            self._meters.set(metric, pick(told), **self._labels)
