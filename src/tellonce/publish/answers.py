"""The authority's answers to inquiries, from its ledger, each true at the stream's last staged sequence."""

from collections import defaultdict

from sqlalchemy import Connection, select

from tellonce.control.messages import MOST_ANSWERED, Answer, BucketSum, Inquiry, PageEntry
from tellonce.model.digest import MODULUS, bucket_of, from_hex, to_hex
from tellonce.model.divergence import RecordState
from tellonce.publish.streams import PublishedView, load_streams
from tellonce.storage.database import clock_ms
from tellonce.storage.tables import own_tables

__all__ = ["answer_inquiry"]


def answer_inquiry(connection: Connection, department: str, view: PublishedView, inquiry: Inquiry) -> Answer | None:
    """Gives the authority's answer, all of it read in one state of the database; nothing if there is no such stream."""
    stream = load_streams(connection, [view.name], lock=False).get((view.name, inquiry.partition))
    if stream is None:
        return None
    table = own_tables(connection.dialect.name).published
    wanted = set(inquiry.buckets)
    sums: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    entries: list[PageEntry] = []
    rows = connection.execute(
        select(table)
        .where(table.c.view == view.name, table.c.partition == inquiry.partition, table.c.pseudonym > inquiry.after)
        .order_by(table.c.pseudonym)
        .execution_options(yield_per=1_000)
    )
    next_after = ""
    for row in rows:
        bucket = bucket_of(row.pseudonym, view.view.buckets)
        if row.epoch != stream.epoch or (wanted and bucket not in wanted):
            continue
        if inquiry.ask == "buckets":
            if row.digest is not None:
                sums[bucket][0] = (sums[bucket][0] + from_hex(row.digest)) % MODULUS
                sums[bucket][1] += 1
        else:
            if len(entries) == min(inquiry.limit, MOST_ANSWERED):
                next_after = entries[-1].pseudonym
                break
            entries.append(
                PageEntry(
                    pseudonym=row.pseudonym,
                    epoch=row.epoch,
                    version=row.version,
                    sequence=row.sequence,
                    digest=row.digest,
                    state=RecordState(row.state),
                )
            )
    rows.close()
    return Answer(
        inquiry_id=inquiry.inquiry_id,
        department=department,
        view=view.name,
        partition=inquiry.partition,
        epoch=stream.epoch,
        position=stream.staged_sequence if stream.complete else 0,
        buckets=tuple(BucketSum(bucket=b, sum=to_hex(s), count=n) for b, (s, n) in sorted(sums.items())),
        records=tuple(entries),
        next_after=next_after,
        at_ms=clock_ms(connection),
    )
