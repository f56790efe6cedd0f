"""A department's answers to inquiries, from its ledger, each true at the position the stream has reached."""

from collections import defaultdict
from collections.abc import Mapping

from tellonce.apply.subscription import SubscribedView
from tellonce.control.messages import MOST_ANSWERED, Answer, BucketSum, Inquiry, PageEntry
from tellonce.model.digest import MODULUS, bucket_of, from_hex, to_hex
from tellonce.model.divergence import Reason
from tellonce.storage.subscriber.store import LedgerLook

__all__ = ["answer_inquiry"]

_CHUNK = 1_000


def answer_inquiry(subscribed: SubscribedView, inquiry: Inquiry) -> Answer | None:
    """Gives the department's answer, read in one state of the database; nothing if it never read the stream."""
    with subscribed.store.ledger() as ledger:
        stream = ledger.stream(inquiry.partition)
        if stream is None:
            return None
        sums, entries, next_after = _collect(ledger, subscribed, inquiry)
        now_ms = ledger.clock_ms()
    return Answer(
        inquiry_id=inquiry.inquiry_id,
        department=subscribed.department,
        view=subscribed.name,
        partition=inquiry.partition,
        epoch=stream.position.epoch,
        position=stream.position.contiguous,
        buckets=tuple(BucketSum(bucket=b, sum=to_hex(s), count=n) for b, (s, n) in sorted(sums.items())),
        records=tuple(entries),
        next_after=next_after,
        at_ms=now_ms,
    )


def _collect(
    ledger: LedgerLook, subscribed: SubscribedView, inquiry: Inquiry
) -> tuple[dict[int, tuple[int, int]], list[PageEntry], str]:
    wanted = set(inquiry.buckets)
    reasons: Mapping[str, Reason] = ledger.parked_reasons() if inquiry.ask == "records" else {}
    sums: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
    entries: list[PageEntry] = []
    after = inquiry.after
    while chunk := ledger.entries_after(inquiry.partition, after, _CHUNK):
        after = chunk[-1].pseudonym
        for entry in chunk:
            bucket = bucket_of(entry.pseudonym, subscribed.view.buckets)
            if wanted and bucket not in wanted:
                continue
            if inquiry.ask == "buckets":
                if entry.digest is not None:
                    total, count = sums[bucket]
                    sums[bucket] = ((total + from_hex(entry.digest)) % MODULUS, count + 1)
            else:
                if len(entries) == min(inquiry.limit, MOST_ANSWERED):
                    return sums, entries, entries[-1].pseudonym
                entries.append(
                    PageEntry(
                        pseudonym=entry.pseudonym,
                        epoch=entry.epoch,
                        version=entry.version,
                        sequence=entry.sequence,
                        digest=entry.digest,
                        state=entry.state,
                        reason=reasons.get(entry.pseudonym),
                    )
                )
    return sums, entries, ""
