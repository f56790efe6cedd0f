"""Messages and small cities for the reconciler's tests: each names only the values that matter to it."""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from itertools import count

from tellonce.control.messages import Answer, Attestation, BucketSum, DivergenceEvent, Inquiry, Mark, PageEntry
from tellonce.model.digest import MODULUS, bucket_of, from_hex, to_hex
from tellonce.model.divergence import DivergenceKind, DivergenceState, Reason, RecordState, divergence_id
from tellonce.reconcile.compare import StreamId
from tellonce.reconcile.judge import Answered, Finding, Place
from tellonce.topology import Topology
from tellonce.topology.model import TopologyForm

VIEW = "citizen.identity"
STREAM = StreamId(VIEW, 0)
AUTHORITY = "public-security"
FUND = "provident-fund"
HEALTH = "healthcare"
BUCKETS = 16


def pseudonym(number: int) -> str:
    """Spreads records over buckets and pages as real pseudonyms do."""
    return blake2b(str(number).encode(), digest_size=16).hexdigest()


def digest(value: object) -> str:
    """Gives a digest that no other value has."""
    return blake2b(repr(value).encode(), digest_size=16, person=b"test").hexdigest()


def ids(prefix: str = "id") -> Callable[[], str]:
    """Gives new ids that can be read in a failure."""
    numbers = count(1)
    return lambda: f"{prefix}-{next(numbers)}"


def city(*, fund: str = "repair", health: str = "flag", repair_cap: int = 1000, partitions: int = 1) -> Topology:
    """A view with two subscribers, one repaired by policy and one flagged."""

    def subscription(on_divergence: str) -> dict[str, object]:
        return {
            "basis": "a law",
            "purpose": "a duty",
            "freshness_seconds": 60,
            "on_divergence": on_divergence,
            "repair_cap": repair_cap,
        }

    view = {
        "fields": ["name"],
        "major": 1,
        "partitions": partitions,
        "buckets": BUCKETS,
        "subscriptions": {FUND: subscription(fund), HEALTH: subscription(health)},
    }
    written = {
        "city": "Example",
        "departments": {slug: {"title": slug, "contact": "office"} for slug in (AUTHORITY, FUND, HEALTH)},
        "record_types": {
            "citizen": {
                "authority": AUTHORITY,
                "fields": {"name": {"sharing": "unconditional"}},
                "views": {"identity": view},
            }
        },
    }
    return Topology.from_form(TopologyForm.model_validate(written))


def total(digests: Mapping[str, str]) -> int:
    """The sum of a set of records, by pseudonym."""
    return sum(map(from_hex, digests.values())) % MODULUS


def mark(
    sequence: int = 1,
    digests: Mapping[str, str] | None = None,
    *,
    epoch: int = 1,
    partition: int = 0,
    department: str = AUTHORITY,
    view: str = VIEW,
    at_ms: int = 0,
) -> Mark:
    """The authority's statement that it holds these records."""
    held = digests or {}
    return Mark(
        view=view,
        partition=partition,
        department=department,
        epoch=epoch,
        sequence=sequence,
        sum=to_hex(total(held)),
        count=len(held),
        at_ms=at_ms,
    )


def attestation(
    sequence: int = 1,
    digests: Mapping[str, str] | None = None,
    *,
    department: str = FUND,
    epoch: int = 1,
    partition: int = 0,
    at_ms: int = 0,
) -> Attestation:
    """A department's statement that it holds these records."""
    held = digests or {}
    return Attestation(
        view=VIEW,
        partition=partition,
        department=department,
        epoch=epoch,
        sequence=sequence,
        sum=to_hex(total(held)),
        count=len(held),
        states={RecordState.HELD: len(held)},
        at_ms=at_ms,
    )


def entry(
    value: object = "now",
    *,
    number: int = 1,
    epoch: int = 1,
    version: int = 1,
    sequence: int = 1,
    state: RecordState = RecordState.HELD,
    reason: Reason | None = None,
) -> PageEntry:
    """A record in a page; with the value None it adds nothing to the sum."""
    return PageEntry(
        pseudonym=pseudonym(number),
        epoch=epoch,
        version=version,
        sequence=sequence,
        digest=None if value is None else digest(value),
        state=state,
        reason=reason,
    )


def answered(page_entry: PageEntry | None, position: int = 10, epoch: int = 1) -> Answered:
    """A record, or its absence, in a page that is true at this position."""
    return Answered(page_entry, Place(epoch, position))


def finding(
    kind: DivergenceKind = DivergenceKind.ALTERED,
    *,
    number: int = 1,
    authority: Answered | None = None,
    department: Answered | None = None,
    seen_at_ms: int = 0,
) -> Finding:
    """What a drill-down found about one record; by default an altered one."""
    return Finding(
        pseudonym=pseudonym(number),
        kind=kind,
        authority=authority or answered(entry("right", number=number, state=RecordState.LIVE)),
        department=department or answered(entry("wrong", number=number)),
        seen_at_ms=seen_at_ms,
    )


def divergence(
    number: int = 1,
    *,
    department: str = FUND,
    kind: DivergenceKind = DivergenceKind.ALTERED,
    state: DivergenceState = DivergenceState.OPEN,
    authority_version: int = 1,
    authority_sequence: int = 1,
    authority_digest: str | None = digest("right"),
    department_digest: str | None = digest("wrong"),
    repairs: int = 0,
    partition: int = 0,
    by: str = "reconciler",
    seen_at_ms: int = 0,
    at_ms: int = 0,
) -> DivergenceEvent:
    """A divergence as the topic holds it; it fits what `finding` finds."""
    return DivergenceEvent(
        view=VIEW,
        partition=partition,
        divergence_id=divergence_id(VIEW, department, pseudonym(number)),
        department=department,
        pseudonym=pseudonym(number),
        kind=kind,
        state=state,
        authority_epoch=1 if authority_version else 0,
        authority_version=authority_version,
        authority_sequence=authority_sequence,
        department_epoch=1,
        department_version=1,
        authority_digest=authority_digest,
        department_digest=department_digest,
        repairs=repairs,
        by=by,
        opened_at_ms=0,
        seen_at_ms=seen_at_ms,
        at_ms=at_ms,
    )


class Side:
    """The authority or a department that answers inquiries from a fixed set of records."""

    def __init__(self, name: str, records: Mapping[int, PageEntry], *, position: int = 10, epoch: int = 1) -> None:
        self.name = name
        self.records = {pseudonym(number): each for number, each in records.items()}
        self.position = position
        self.epoch = epoch

    def answer(self, inquiry: Inquiry, at_ms: int = 0) -> Answer:
        """Answers as the protocol says."""
        buckets: tuple[BucketSum, ...] = ()
        records: tuple[PageEntry, ...] = ()
        next_after = ""
        if inquiry.ask == "buckets":
            buckets = self._sums()
        else:
            wanted = set(inquiry.buckets)
            fitting = [
                each
                for key, each in sorted(self.records.items())
                if key > inquiry.after and bucket_of(key, BUCKETS) in wanted
            ]
            records = tuple(fitting[: inquiry.limit])
            next_after = records[-1].pseudonym if len(fitting) > len(records) else ""
        return Answer(
            view=inquiry.view,
            partition=inquiry.partition,
            inquiry_id=inquiry.inquiry_id,
            department=self.name,
            epoch=self.epoch,
            position=self.position,
            buckets=buckets,
            records=records,
            next_after=next_after,
            at_ms=at_ms,
        )

    def _sums(self) -> tuple[BucketSum, ...]:
        sums: dict[int, tuple[int, int]] = {}
        for key, each in self.records.items():
            if each.digest is not None:
                before, number = sums.get(bucket_of(key, BUCKETS), (0, 0))
                sums[bucket_of(key, BUCKETS)] = ((before + from_hex(each.digest)) % MODULUS, number + 1)
        return tuple(BucketSum(bucket=each, sum=to_hex(s), count=n) for each, (s, n) in sorted(sums.items()))


def side(name: str, values: Mapping[int, object]) -> Side:
    """A side that holds a record with this value under each number, all at version 1."""
    state = RecordState.LIVE if name == AUTHORITY else RecordState.HELD
    return Side(name, {number: entry(value, number=number, state=state) for number, value in values.items()})


FOLLOWING = {
    DivergenceState.OPEN: {DivergenceState.REPAIRING, DivergenceState.ACCEPTED, DivergenceState.RESOLVED},
    DivergenceState.REPAIRING: {
        DivergenceState.OPEN,
        DivergenceState.EXPLAINED,
        DivergenceState.ACCEPTED,
        DivergenceState.RESOLVED,
    },
    DivergenceState.EXPLAINED: {DivergenceState.OPEN, DivergenceState.ACCEPTED, DivergenceState.RESOLVED},
    DivergenceState.ACCEPTED: {DivergenceState.OPEN, DivergenceState.RESOLVED},
    DivergenceState.RESOLVED: {DivergenceState.OPEN},
}


def may_become(old: DivergenceState, new: DivergenceState) -> bool:
    """Whether a divergence may go from one state to the other, by the glossary's account of its life."""
    return new in FOLLOWING[old]
