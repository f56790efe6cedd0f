"""Who has said something new about a stream lately, so that a statement which is withheld is missed.

By this machine's clock alone: departments' clocks may differ by hours. A statement that is older, by its speaker's own
clock, than one that was heard already is nothing new, so an old one that is repeated hides no silence.
"""

from tellonce.reconcile.compare import StreamId

__all__ = ["Freshness", "Voice"]

Voice = tuple[str, StreamId]
"""A department's or authority's statements of one stream."""


class Freshness:
    """When each voice was heard last. Not thread-safe."""

    def __init__(self, age_seconds: float) -> None:
        self._age_ms = int(age_seconds * 1000)
        self._stated_ms: dict[Voice, int] = {}
        self._new: set[Voice] = set()
        self._heard_ms: dict[Voice, int] = {}
        self._silent: set[Voice] = set()

    def note(self, voice: Voice, at_ms: int) -> None:
        """Takes a statement into account, made at this instant of its speaker's clock."""
        if at_ms > self._stated_ms.get(voice, at_ms - 1):
            self._stated_ms[voice] = at_ms
            self._new.add(voice)

    def advance(self, now_ms: int) -> set[Voice]:
        """Lets time pass, and gives the voices that have fallen silent, or are heard again, since it was asked last."""
        self._heard_ms |= dict.fromkeys(self._new, now_ms)
        self._new.clear()
        silent = {voice for voice, heard_ms in self._heard_ms.items() if now_ms - heard_ms > self._age_ms}
        changed = silent ^ self._silent
        self._silent = silent
        return changed

    def is_recent(self, *voices: Voice) -> bool:
        """Tells whether none of these has fallen silent."""
        return self._silent.isdisjoint(voices)
