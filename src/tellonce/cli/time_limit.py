"""The one deadline of a command that asks the broker several times."""

import time
from collections.abc import Callable

from tellonce.kafka.settings import KafkaSettings

__all__ = ["TimeLimit"]

_SHORTEST_SECONDS = 0.2
"""Below this an answer is not worth waiting for: a broker that is there may need as long."""


class TimeLimit:
    """What is left of a command's time; whoever waits is given that and no limit of their own."""

    def __init__(self, total_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """The time begins now."""
        self._monotonic = monotonic
        self.deadline = monotonic() + total_seconds
        """The end, on the clock of `time.monotonic`."""

    @property
    def left_seconds(self) -> float:
        """What is left, and never less than nothing."""
        return max(self.deadline - self._monotonic(), 0.0)

    def is_over(self) -> bool:
        """Whether too little is left to ask for anything more."""
        return self.left_seconds < _SHORTEST_SECONDS

    def within(self, settings: KafkaSettings) -> KafkaSettings:
        """Gives settings by which a client waits for its connection no longer than what is left, or for 0.2 s."""
        limit = min(settings.connect_timeout_seconds, max(self.left_seconds, _SHORTEST_SECONDS))
        return settings.model_copy(update={"connect_timeout_seconds": limit})
