"""A tiny authority and subscribers that keep the position rules, one small step at a time."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reconcile.builders import AUTHORITY, VIEW, Side, digest
from tellonce.control.messages import Attestation, Mark, PageEntry
from tellonce.model.digest import MODULUS, from_hex, to_hex
from tellonce.model.divergence import RecordState


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEvent:
    """One event of the stream; without a pseudonym it only fills a sequence."""

    epoch: int
    sequence: int
    pseudonym: str | None
    version: int = 0
    digest: str | None = None
    flagged: bool = False
    is_repair: bool = False


class Authority(Side):
    """Publishes; its ledger is what it answers from."""

    def __init__(self) -> None:
        super().__init__(AUTHORITY, {}, position=0, epoch=1)
        self.log: list[LogEvent] = []
        self.marks: list[Mark] = []
        self.versions: dict[str, int] = defaultdict(int)
        self.digests: dict[str, str | None] = {}

    def publish(self, key: str, value: str | None, *, is_repair: bool = False, bad: bool = False) -> None:
        """Stages one change: version, sequence and place in the ledger; a bad one moves the sum and sends nothing."""
        if not is_repair:
            self.versions[key] += 1
            self.digests[key] = None if value is None else digest((key, value))
        self.position += 1
        state = RecordState.DELETED if self.digests[key] is None else RecordState.LIVE
        self.records[key] = PageEntry(
            pseudonym=key,
            epoch=self.epoch,
            version=self.versions[key],
            sequence=self.position,
            digest=self.digests[key],
            state=RecordState.UNPUBLISHED if bad else state,
        )
        sent = LogEvent(epoch=self.epoch, sequence=self.position, pseudonym=None)
        if not bad:
            sent = replace(
                sent, pseudonym=key, version=self.versions[key], digest=self.digests[key], is_repair=is_repair
            )
        self.log.append(sent)

    def end_batch(self, now_ms: int) -> None:
        """Flags the last event and states the sum after it."""
        if not self.log or self.log[-1].flagged or self.log[-1].sequence != self.position:
            return
        self.log[-1] = replace(self.log[-1], flagged=True)
        digests = [from_hex(each.digest) for each in self.records.values() if each.digest is not None]
        self.marks.append(
            Mark(
                view=VIEW,
                partition=0,
                department=AUTHORITY,
                epoch=self.epoch,
                sequence=self.position,
                sum=to_hex(sum(digests) % MODULUS),
                count=len(digests),
                at_ms=now_ms,
            )
        )

    def begin_epoch(self, lost: str | None) -> None:
        """Publishes every record again, but for one that a backup did not know."""
        self.epoch += 1
        self.position = 0
        if lost is not None:
            self.digests[lost] = None
        live = sorted(key for key, each in self.digests.items() if each is not None)
        self.records = {}
        for key in live:
            self.versions[key] -= 1
            value, self.digests[key] = self.digests[key], None
            self._republish(key, value)
        # An empty stream still has a place in the new epoch.
        self.position += 1
        self.log.append(LogEvent(epoch=self.epoch, sequence=self.position, pseudonym=None))

    def _republish(self, key: str, value: str | None) -> None:
        self.publish(key, "")
        self.digests[key] = value
        self.records[key] = self.records[key].model_copy(update={"digest": value})
        self.log[-1] = replace(self.log[-1], digest=value)


class Subscriber(Side):
    """Applies; keeps its position as the four rules say; parks, and is edited behind its service's back."""

    def __init__(self, name: str, skew_ms: int) -> None:
        super().__init__(name, {}, position=0, epoch=0)
        self.skew_ms = skew_ms
        self.next = 0
        self.delayed: list[LogEvent] = []
        self.highest = 0
        self.flagged = False
        self.is_unsure = False
        self.parks: dict[str, RecordState] = {}
        self.stubborn: set[str] = set()
        self.wanted: set[str] = set()
        self.earlier: dict[str, PageEntry] = {}
        self.attestations: list[Attestation] = []

    def read(self, log: Sequence[LogEvent], *, delay: bool = False) -> None:
        """Reads the next event, or puts it off: it will come later, out of order."""
        if self.next >= len(log):
            return
        event = log[self.next]
        self.next += 1
        if delay and event.epoch == self.epoch:
            self.delayed.append(event)
            return
        if event.epoch > self.epoch:
            # All that was staged in an epoch is sent before the next one begins.
            while self.delayed:
                self.catch_delayed()
        self._apply(event)

    def catch_delayed(self) -> None:
        """Reads the oldest event that was put off."""
        if self.delayed:
            self._apply(self.delayed.pop(0))

    def _apply(self, event: LogEvent) -> None:
        if event.epoch < self.epoch:
            return
        if event.epoch > self.epoch:
            self.epoch, self.highest, self.delayed = event.epoch, 0, []
        self.highest = max(self.highest, event.sequence)
        if event.pseudonym is not None:
            self._apply_record(event, event.pseudonym)
        self.flagged = event.flagged and event.sequence == self.highest
        self._move()

    def _move(self) -> None:
        missing = [each.sequence for each in self.delayed if each.epoch == self.epoch]
        self.position = 0 if self.is_unsure else min(missing, default=self.highest + 1) - 1

    def _apply_record(self, event: LogEvent, key: str) -> None:
        known = self.records.get(key)
        stored = (0, 0) if known is None else (known.epoch, known.version)
        is_wanted = event.is_repair and key in self.wanted and (event.epoch, event.version) == stored
        if (event.epoch, event.version) <= stored and not is_wanted:
            return
        self.wanted.discard(key)
        if known is not None:
            self.earlier[key] = known
        before = None if known is None else known.digest
        held = None if event.digest is None else digest("stubborn") if key in self.stubborn else event.digest
        state = RecordState.DELETED if event.digest is None else RecordState.HELD
        if key in self.parks:
            state, held = self.parks[key], before
        self.records[key] = PageEntry(
            pseudonym=key,
            epoch=event.epoch,
            version=event.version,
            sequence=event.sequence,
            digest=held,
            state=state,
        )

    def set_unsure(self, *, unsure: bool) -> None:
        """Whether a gap is waiting to close, so that it cannot tell its position."""
        self.is_unsure = unsure
        self._move()

    def attest(self, now_ms: int) -> None:
        """States its sum, where rule 4 allows."""
        if not self.flagged or self.position != self.highest or not self.position:
            return
        digests = [from_hex(each.digest) for each in self.records.values() if each.digest is not None]
        self.attestations.append(
            Attestation(
                view=VIEW,
                partition=0,
                department=self.name,
                epoch=self.epoch,
                sequence=self.position,
                sum=to_hex(sum(digests) % MODULUS),
                count=len(digests),
                states={},
                at_ms=now_ms + self.skew_ms,
            )
        )
