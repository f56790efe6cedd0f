"""Our own tables in a department's database; the migrations make exactly these (a test compares the two).

Digests and sums are 32 hexadecimal digits. Instants are epoch milliseconds.
"""

from functools import cache

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, Table, Text, text

from tellonce.storage.database import OWN_SCHEMA

__all__ = ["OwnTables", "own_tables"]


class OwnTables:
    """The tables of one dialect.

    At an authority: `lease`, `stream`, `published`, `staged`, `snapshot`, `unpublished`, and `record_version`, which
    nothing reads: an earlier release's triggers write it until `tellonce install` has replaced them.
    At a subscriber: `position`, `applied`, `linked_row`, `claim`, `seen`, `parked`, `repair`.
    At both: `progress` (of sweeps and of control topics read).
    """

    def __init__(self, dialect_name: str) -> None:
        self._postgres = dialect_name == "postgresql"
        self.metadata = MetaData(schema=OWN_SCHEMA if self._postgres else None)
        self._authority()
        self._authority_beside_streams()
        self._subscriber()
        self._subscriber_beside_streams()
        self.progress = self._table(
            "progress",
            Column("task", Text, primary_key=True),
            Column("cursor", Text, nullable=False),
            Column("started_at_ms", BigInteger, nullable=False),
            Column("finished_at_ms", BigInteger),
        )

    def _table(self, name: str, *parts: Column[object] | Index) -> Table:
        return Table(name if self._postgres else f"{OWN_SCHEMA}_{name}", self.metadata, *parts)

    def _index(self, name: str, *columns: str) -> Index:
        return Index(f"tellonce_{name}", *columns)

    def _authority(self) -> None:
        self.record_version = self._table(
            "record_version",
            Column("record_type", Text, primary_key=True),
            Column("record_key", Text, primary_key=True),
            Column("version", BigInteger, nullable=False),
        )
        self.lease = self._table(
            "lease",
            Column("name", Text, primary_key=True),
            Column("holder", Text, nullable=False),
            Column("fence", BigInteger, nullable=False),
            Column("expires_at_ms", BigInteger, nullable=False),
        )
        self.stream = self._table(
            "stream",
            Column("view", Text, primary_key=True),
            Column("partition", Integer, primary_key=True),
            Column("epoch", BigInteger, nullable=False),
            Column("staged_sequence", BigInteger, nullable=False),
            Column("confirmed_sequence", BigInteger, nullable=False),
            Column("complete", Boolean, nullable=False),
            Column("sum", Text, nullable=False),
            Column("count", BigInteger, nullable=False),
            Column("mark_sequence", BigInteger),
            Column("mark_sum", Text),
            Column("mark_count", BigInteger),
            Column("settings", Text, nullable=False),
            Column("stopped", Text),
        )
        self.published = self._table(
            "published",
            Column("view", Text, primary_key=True),
            Column("record_key", Text, primary_key=True),
            Column("pseudonym", Text, nullable=False),
            Column("partition", Integer, nullable=False),
            Column("epoch", BigInteger, nullable=False),
            Column("version", BigInteger, nullable=False),
            Column("content", Text, nullable=False, server_default=text("''")),
            Column("sequence", BigInteger, nullable=False),
            Column("digest", Text),
            Column("state", Text, nullable=False),
            Column("tombstone", Boolean, nullable=False, server_default=text("false")),
            Column("buried_at_ms", BigInteger),
            self._index("published_pseudonym", "view", "pseudonym"),
            self._index("published_stream", "view", "partition", "pseudonym"),
            # Few at a time, and asked for again and again.
            Index(
                "tellonce_published_tombstone",
                "view",
                "partition",
                postgresql_where=text("tombstone"),
                sqlite_where=text("tombstone"),
            ),
        )
        self.staged = self._table(
            "staged",
            Column("view", Text, primary_key=True),
            Column("partition", Integer, primary_key=True),
            Column("epoch", BigInteger, primary_key=True),
            Column("sequence", BigInteger, primary_key=True),
            Column("record_key", Text),
            Column("kafka_key", Text, nullable=False),
            Column("version", BigInteger, nullable=False),
            Column("payload", LargeBinary, nullable=False),
            Column("committed_at_ms", BigInteger, nullable=False),
            Column("ends_batch", Boolean, nullable=False),
            Column("mark_sum", Text),
            Column("mark_count", BigInteger),
        )

    def _authority_beside_streams(self) -> None:
        self.snapshot = self._table(
            "snapshot",
            Column("record_type", Text, primary_key=True),
            Column("epoch", BigInteger, nullable=False),
            Column("reason", Text, nullable=False),
            Column("last_key", Text),
            Column("records", BigInteger, nullable=False),
            Column("read_to_end", Boolean, nullable=False),
            Column("complete", Boolean, nullable=False),
            Column("started_at_ms", BigInteger, nullable=False),
        )
        self.unpublished = self._table(
            "unpublished",
            Column("view", Text, primary_key=True),
            Column("record_key", Text, primary_key=True),
            Column("version", BigInteger, nullable=False),
            Column("reason", Text, nullable=False),
            Column("detail", Text, nullable=False),
            Column("at_ms", BigInteger, nullable=False),
        )

    def _subscriber(self) -> None:
        self.position = self._table(
            "position",
            Column("view", Text, primary_key=True),
            Column("partition", Integer, primary_key=True),
            Column("offset", BigInteger, nullable=False),
            Column("leader_epoch", BigInteger, nullable=False),
            Column("epoch", BigInteger, nullable=False),
            Column("complete_epoch", BigInteger, nullable=False),
            Column("highest", BigInteger, nullable=False),
            Column("missing", Text, nullable=False),
            Column("wait_until", BigInteger, nullable=False),
            Column("sum", Text, nullable=False),
            Column("count", BigInteger, nullable=False),
            Column("held", BigInteger, nullable=False),
            Column("out_of_scope", BigInteger, nullable=False),
            Column("parked", BigInteger, nullable=False),
            Column("ambiguous", BigInteger, nullable=False),
            Column("applied_events", BigInteger, nullable=False),
            Column("superseded_events", BigInteger, nullable=False),
            Column("out_of_scope_events", BigInteger, nullable=False),
            Column("parked_events", BigInteger, nullable=False),
            Column("attestable", Boolean, nullable=False),
            Column("attestation", Text),
            Column("stopped", Text),
        )
        self.applied = self._table(
            "applied",
            Column("view", Text, primary_key=True),
            Column("pseudonym", Text, primary_key=True),
            Column("partition", Integer, nullable=False),
            Column("epoch", BigInteger, nullable=False),
            Column("version", BigInteger, nullable=False),
            Column("sequence", BigInteger, nullable=False),
            Column("event_digest", Text),
            Column("row_digest", Text),
            Column("state", Text, nullable=False),
            Column("committed_at_ms", BigInteger, nullable=False),
            Column("applied_at_ms", BigInteger, nullable=False),
            Column("others", Text, nullable=False, server_default=text("''")),
            Column("plain", Text),
            self._index("applied_stream", "view", "partition", "pseudonym"),
        )

    def _subscriber_beside_streams(self) -> None:
        self.linked_row = self._table(
            "linked_row",
            Column("view", Text, primary_key=True),
            Column("row_key", Text, primary_key=True),
            Column("pseudonym", Text, nullable=False),
            Column("number", Text, nullable=False, server_default=text("''")),
            Column("others", Text, nullable=False, server_default=text("''")),
            Column("by_person", Boolean, nullable=False, server_default=text("false")),
            Column("is_ended", Boolean, nullable=False, server_default=text("false")),
            self._index("linked_row_record", "view", "pseudonym"),
        )
        self.seen = self._table(
            "seen",
            Column("view", Text, primary_key=True),
            Column("row_key", Text, primary_key=True),
            Column("pseudonym", Text, primary_key=True),
            Column("epoch", BigInteger, nullable=False),
            Column("version", BigInteger, nullable=False),
            self._index("seen_record", "view", "pseudonym"),
        )
        self.claim = self._table(
            "claim",
            Column("view", Text, primary_key=True),
            Column("hash", Text, primary_key=True),
            Column("pseudonym", Text, primary_key=True),
            Column("rank", Text, nullable=False),
            Column("others", Text, nullable=False),
            self._index("claim_record", "view", "pseudonym"),
        )
        self.parked = self._table(
            "parked",
            Column("view", Text, primary_key=True),
            Column("pseudonym", Text, primary_key=True),
            Column("partition", Integer, nullable=False),
            Column("reason", Text, nullable=False),
            Column("detail", Text, nullable=False),
            Column("epoch", BigInteger, nullable=False),
            Column("version", BigInteger, nullable=False),
            Column("sequence", BigInteger, nullable=False),
            Column("payload", LargeBinary, nullable=False),
            Column("attempts", Integer, nullable=False),
            Column("parked_at_ms", BigInteger, nullable=False),
            Column("retry_at_ms", BigInteger),
        )
        self.repair = self._table(
            "repair",
            Column("view", Text, primary_key=True),
            Column("pseudonym", Text, primary_key=True),
            Column("partition", Integer, nullable=False),
            Column("wanted_at_ms", BigInteger, nullable=False),
            Column("order_at_ms", BigInteger, nullable=False),
        )


@cache
def own_tables(dialect_name: str) -> OwnTables:
    """Gives our tables as they are in a database of this dialect (`postgresql` or `sqlite`)."""
    return OwnTables(dialect_name)
