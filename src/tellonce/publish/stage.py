"""Staging: unpublished rows become events with a sequence, and the ledger and sums move, all in one transaction.

Position rule 1: the sequence and the order of sending are stored before the first byte is sent.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from tellonce.avro.catalogue import Catalogue
from tellonce.model.errors import ConfigurationError
from tellonce.publish.batch import StagingBatch
from tellonce.publish.deletes import DeleteGate
from tellonce.publish.images import Publication
from tellonce.publish.staged import Staged, StageLimits
from tellonce.publish.streams import StreamId

__all__ = ["Stager"]


class Stager:
    """Stages the changes of one department's record types. Not thread-safe."""

    def __init__(
        self, department: str, publications: Sequence[Publication], catalogue: Catalogue, limits: StageLimits
    ) -> None:
        self._department = department
        self._publications = publications
        self._catalogue = catalogue
        self._limits = limits
        self._is_fresh = True
        self._rounds = limits.deletes.rounds()
        self.paused: dict[str, str] = {}
        """The record types whose tables or capture are not as declared, each with the sentence that says so."""

    def stage(self, connection: Connection, owed: Collection[StreamId] = ()) -> Staged:
        """Stages the oldest unpublished changes and the next records of a running snapshot, ordered per record.

        A stream in `owed` that gets no event otherwise gets a marker, so that its newest state can be attested.
        A record type that cannot be read as it is declared is paused, and the others go on.

        Raises:
            ConfigurationError: none could be read, from the first time on.
        """
        staged = Staged()
        for publication in self._publications:
            record_type = publication.source.record_type
            gate = DeleteGate(connection, publication.source, self._limits.deletes, self._rounds)
            batch = StagingBatch(connection, self._department, publication, self._catalogue, self._limits, gate)
            if not batch.streams:
                continue
            try:
                with connection.begin_nested():
                    batch.stage(owed, is_probing=record_type in self.paused)
            except ConfigurationError as error:
                self.paused[record_type] = str(error)
                if self._is_fresh and len(self.paused) == len(self._publications):
                    raise
                continue
            self.paused.pop(record_type, None)
            staged.events += batch.events
            staged.changes += batch.changes
            staged.snapshot_records += batch.snapshot_records
            staged.unpublished += len(batch.unpublished)
            staged.held_deletes += batch.held_deletes
            staged.is_full |= batch.is_full
            staged.to_sweep += [record_type] if batch.sweeps_now else []
            staged.stopped |= {stream_id for stream_id, stream in batch.streams.items() if stream.stopped}
            staged.refused |= batch.refused
        self._is_fresh = False
        return staged

    def pending(self, connection: Connection) -> tuple[int, int | None]:
        """Gives how many changes wait in the outboxes, and the commit time of the oldest in epoch milliseconds."""
        found = [publication.outbox.pending(connection) for publication in self._publications]
        times = [oldest for _, oldest in found if oldest is not None]
        return sum(count for count, _ in found), min(times, default=None)
