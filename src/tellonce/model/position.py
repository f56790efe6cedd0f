"""Where a subscriber stands in a stream, and when it may state a sum: the third and fourth position rules.

A sequence that was skipped is *missing*.
It is known to have been compacted away, and not delayed, once an event says that everything up to it was settled;
that gap closes when the subscriber has passed the high watermark read at that moment.
A missing sequence above `settled` will be sent again.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tellonce.model.quick import quick

__all__ = [
    "HEADER_NAME",
    "Header",
    "Position",
    "PositionTracker",
    "parse_header",
    "parse_ranges",
    "render_header",
    "render_ranges",
]

Range = tuple[int, int]

HEADER_NAME = "tellonce"
"""The Kafka header that vouches for a message: an event's position and seal, or a control message's signature."""

_HEADER_VERSION = b"2"
_MAX_NUMBER = 2**63 - 1
# The seal is whatever 32 bytes stand in its place: only `model.seal` can tell. No number has more digits than 2^63.
_HEADER = re.compile(rb"%b ([^ ]{32})%b" % (_HEADER_VERSION, rb" ([0-9]{1,19})" * 5))


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the relay writes beside each event when it sends it.

    `settled` is the highest sequence up to which all were acknowledged when this event was sent.
    `flagged` says that the event ends a staged batch and that no later sequence may already be in the log.
    """

    epoch: int
    sequence: int
    version: int
    settled: int
    flagged: bool

    def numbers(self) -> bytes:
        """Gives the five numbers as they are written."""
        return b"%d %d %d %d %d" % (self.epoch, self.sequence, self.version, self.settled, self.flagged)

    @property
    def settles_all(self) -> bool:
        """Whether nothing has to follow: it may be attested at, and says of all before it that they are in the log."""
        return self.flagged and self.settled == self.sequence - 1


def render_header(header: Header, seal: str) -> bytes:
    """Gives the value of the Kafka header `tellonce`: its format, the message's seal, and five plain numbers."""
    return b"%b %b %b" % (_HEADER_VERSION, seal.encode(), header.numbers())


def parse_header(data: bytes) -> tuple[Header, str]:
    """Gives the header that `render_header` wrote, and the seal, which only `model.seal` can tell to be right.

    Raises:
        ValueError: the bytes are not such a header.
    """
    parts = _HEADER.fullmatch(data)
    if parts is None:
        raise ValueError("it has no position header of format 2")
    seal, *numbers = parts.groups()
    epoch, sequence, record_version, settled, flagged = map(int, numbers)
    is_possible = epoch >= 1 and sequence >= 1 and settled < sequence and flagged <= 1
    if not is_possible or max(epoch, sequence, record_version) > _MAX_NUMBER:
        raise ValueError("its position header has impossible numbers")
    header = Header(epoch=epoch, sequence=sequence, version=record_version, settled=settled, flagged=flagged == 1)
    return header, seal.decode("ascii", "replace")


def render_ranges(ranges: tuple[Range, ...]) -> str:
    """Gives inclusive ranges as text, such as `3-5,9`."""
    return ",".join(f"{a}-{b}" if a != b else f"{a}" for a, b in ranges)


def parse_ranges(text: str) -> tuple[Range, ...]:
    """Gives the ranges that `render_ranges` wrote."""
    pairs = (part.partition("-") for part in text.split(",") if part)
    return tuple((int(a), int(b or a)) for a, _, b in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A subscriber's place in one stream, as its database keeps it.

    `offset` is the next one to read. `missing` are inclusive ranges of sequences below `highest`.
    `wait_until` is the high watermark that must be passed before the gaps that were closed count as closed.
    """

    offset: int = 0
    leader_epoch: int = -1
    epoch: int = 0
    highest: int = 0
    missing: tuple[Range, ...] = ()
    wait_until: int = 0

    @property
    def contiguous(self) -> int:
        """The highest sequence at or below which nothing is missing; 0 while a gap is waiting to close."""
        if self.offset < self.wait_until:
            return 0
        return self.missing[0][0] - 1 if self.missing else self.highest


class PositionTracker:
    """Follows one stream event by event; `position` is what to store with the batch. Not thread-safe."""

    __slots__ = ("_attestable", "_epoch", "_highest", "_leader_epoch", "_missing", "_offset", "_wait_until")

    def __init__(self, position: Position, *, attestable: bool = False) -> None:
        """`attestable` says whether the last event before this position was one to attest at."""
        self._offset = position.offset
        self._leader_epoch = position.leader_epoch
        self._epoch = position.epoch
        self._highest = position.highest
        self._missing = list(position.missing)
        self._wait_until = position.wait_until
        self._attestable = attestable

    @property
    def epoch(self) -> int:
        """The newest epoch seen."""
        return self._epoch

    @property
    def highest(self) -> int:
        """The highest sequence seen in that epoch."""
        return self._highest

    @property
    def may_attest(self) -> bool:
        """Whether the last event observed is one at which the subscriber may state its sum (rule 4)."""
        return self._attestable

    @property
    def position(self) -> Position:
        """The place reached, to be stored in the transaction that applied the events."""
        return Position(
            offset=self._offset,
            leader_epoch=self._leader_epoch,
            epoch=self._epoch,
            highest=self._highest,
            missing=tuple(self._missing),
            wait_until=self._wait_until,
        )

    def skip(self, offset: int, leader_epoch: int) -> None:
        """Passes a message that is no event of the stream, such as a tombstone."""
        self._offset = offset + 1
        self._leader_epoch = leader_epoch

    def observe(self, header: Header, offset: int, leader_epoch: int, high_watermark: Callable[[], int]) -> bool:
        """Takes an event into account and tells whether it belongs to the current epoch.

        `high_watermark` is asked only when a gap turns out to have been compacted away.
        An event of an older epoch leaves the place in the stream as it is, but for the offset.
        """
        self._offset = offset + 1
        self._leader_epoch = leader_epoch
        if header.epoch < self._epoch:
            self._attestable = False
            return False
        if header.epoch > self._epoch:
            self._epoch, self._highest, self._missing, self._wait_until = header.epoch, 0, [], 0
        sequence = header.sequence
        if sequence > self._highest:
            if sequence > self._highest + 1:
                self._missing.append((self._highest + 1, sequence - 1))
            self._highest = sequence
        if self._missing:
            self._fill(sequence)
            if self._close(header.settled):
                self._wait_until = max(self._wait_until, high_watermark())
        self._attestable = (
            header.flagged and self._highest == sequence and not self._missing and self._offset >= self._wait_until
        )
        return True

    def _fill(self, sequence: int) -> None:
        for i, (first, last) in enumerate(self._missing):
            if first <= sequence <= last:
                rest = [(first, sequence - 1), (sequence + 1, last)]
                self._missing[i : i + 1] = [(a, b) for a, b in rest if a <= b]
                return

    def _close(self, settled: int) -> bool:
        if self._missing[0:1] and self._missing[0][0] > settled:
            return False
        before = self._missing
        self._missing = [(max(first, settled + 1), last) for first, last in before if last > settled]
        return self._missing != before
