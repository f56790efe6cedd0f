"""How many records may be ordered within a round of time, for whoever orders and for whoever obeys."""

__all__ = ["Rounds"]


class Rounds:
    """How much of each (department, view)'s cap is used up in its present round. Not thread-safe."""

    def __init__(self, round_seconds: float) -> None:
        self._round_ms = int(round_seconds * 1000)
        self._used: dict[tuple[str, str], tuple[int, int]] = {}

    def left(self, subscription: tuple[str, str], cap: int, now_ms: int) -> int:
        """Gives how many records of a (department, view) may be ordered now."""
        began_ms, used = self._used.get(subscription, (now_ms, 0))
        return cap if now_ms - began_ms >= self._round_ms else max(0, cap - used)

    def use(self, subscription: tuple[str, str], records: int, now_ms: int) -> None:
        """Counts records that were ordered; the first ones begin a round."""
        began_ms, used = self._used.get(subscription, (now_ms, 0))
        if now_ms - began_ms >= self._round_ms:
            began_ms, used = now_ms, 0
        self._used[subscription] = (began_ms, used + records)
