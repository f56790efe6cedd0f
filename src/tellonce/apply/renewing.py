"""Which events need no deciding: pure, a record at a time."""

from tellonce.apply.deciding import Wanted
from tellonce.apply.settling import Settled
from tellonce.model.digest import to_hex
from tellonce.model.divergence import RecordState
from tellonce.storage.subscriber.entries import Entry
from tellonce.storage.subscriber.renewal import Renewal, Standing, answers_of

__all__ = ["renewal_of"]


def renewal_of(event: Settled, wanted: Wanted, standing: Standing, now_ms: int) -> Renewal | None:
    """Gives how a record's row is renewed, where deciding could come to nothing else once the row is as it must be.

    That is so where the record is plain and answers to the numbers that it answered to: then no other row and no other
    record has a say.
    """
    old = standing.entry
    if old is None or old.state is not RecordState.HELD or standing.row is None or event.digest is None:
        return None
    if wanted.refused is not None or wanted.why is not None or standing.is_wanted:
        return None
    numbers = {each: number.rank for each, number in wanted.numbers.items()}
    if answers_of(wanted.number, numbers) != standing.answers:
        return None
    digest = to_hex(event.digest)
    entry = Entry(
        pseudonym=event.pseudonym,
        partition=event.partition,
        epoch=event.header.epoch,
        version=event.header.version,
        sequence=event.header.sequence,
        event_digest=digest,
        row_digest=digest,
        state=RecordState.HELD,
        committed_at_ms=event.committed_at_ms,
        applied_at_ms=now_ms,
    )
    return Renewal(row=standing.row, values=wanted.values, entry=entry, others=wanted.others)
