"""The first tables of an authority and of a subscriber.

A migration is a record of the past: it spells its tables out and never follows `tables.py`.
"""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, Text, text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TYPES = {"big": BigInteger, "bool": Boolean, "bytes": LargeBinary, "int": Integer, "text": Text}

# Each column: name, type, then `key` or `null` (else NOT NULL), then a default.
_TABLES = {
    "applied": (
        "view text key",
        "pseudonym text key",
        "record_key text",
        "partition int",
        "epoch big",
        "version big",
        "sequence big",
        "event_digest text null",
        "row_digest text null",
        "state text",
        "committed_at_ms big",
        "applied_at_ms big",
    ),
    "lease": (
        "name text key",
        "holder text",
        "fence big",
        "expires_at_ms big",
    ),
    "linked_row": (
        "view text key",
        "row_key text key",
        "pseudonym text",
    ),
    "match_hash": (
        "view text key",
        "hash text key",
        "pseudonym text key",
    ),
    "parked": (
        "view text key",
        "pseudonym text key",
        "partition int",
        "reason text",
        "detail text",
        "epoch big",
        "version big",
        "sequence big",
        "payload bytes",
        "attempts int",
        "parked_at_ms big",
        "retry_at_ms big null",
    ),
    "position": (
        "view text key",
        "partition int key",
        "offset big",
        "leader_epoch big",
        "epoch big",
        "complete_epoch big",
        "highest big",
        "missing text",
        "wait_until big",
        "sum text",
        "count big",
        "held big",
        "out_of_scope big",
        "parked big",
        "ambiguous big",
        "applied_events big",
        "superseded_events big",
        "out_of_scope_events big",
        "parked_events big",
        "attestable bool",
        "attestation text null",
        "stopped text null",
    ),
    "progress": (
        "task text key",
        "cursor text",
        "started_at_ms big",
        "finished_at_ms big null",
        "findings big default=0",
    ),
    "published": (
        "view text key",
        "record_key text key",
        "pseudonym text",
        "partition int",
        "epoch big",
        "version big",
        "seen_version big",
        "sequence big",
        "digest text null",
        "state text",
        "tombstone bool default=false",
    ),
    "record_version": (
        "record_type text key",
        "record_key text key",
        "version big",
    ),
    "snapshot": (
        "record_type text key",
        "epoch big",
        "reason text",
        "last_key text null",
        "records big",
        "read_to_end bool",
        "complete bool",
        "started_at_ms big",
    ),
    "staged": (
        "view text key",
        "partition int key",
        "epoch big key",
        "sequence big key",
        "record_key text null",
        "kafka_key text",
        "version big",
        "payload bytes",
        "committed_at_ms big",
        "ends_batch bool",
        "mark_sum text null",
        "mark_count big null",
    ),
    "stream": (
        "view text key",
        "partition int key",
        "epoch big",
        "staged_sequence big",
        "confirmed_sequence big",
        "complete bool",
        "sum text",
        "count big",
        "mark_sequence big null",
        "mark_sum text null",
        "mark_count big null",
        "partitions int",
        "settings text",
        "stopped text null",
    ),
    "unpublished": (
        "view text key",
        "record_key text key",
        "version big",
        "reason text",
        "detail text",
        "at_ms big",
    ),
}

_INDEXES = (
    ("tellonce_applied_stream", "applied", ("view", "partition", "pseudonym")),
    ("tellonce_linked_row_record", "linked_row", ("view", "pseudonym")),
    ("tellonce_match_hash_record", "match_hash", ("view", "pseudonym")),
    ("tellonce_published_pseudonym", "published", ("view", "pseudonym")),
    ("tellonce_published_stream", "published", ("view", "partition", "pseudonym")),
)


def _column(form: str) -> Column[object]:
    name, kind, *flags = form.split(" ")
    default = next((flag.removeprefix("default=") for flag in flags if flag.startswith("default=")), None)
    return Column(
        name,
        _TYPES[kind](),
        primary_key="key" in flags,
        nullable="null" in flags,
        autoincrement=False,
        server_default=None if default is None else text(default),
    )


def upgrade() -> None:
    """Make the tables: in our schema where there are schemas, else with our prefix."""
    is_postgres = op.get_bind().dialect.name == "postgresql"
    prefix, schema = ("", "tellonce") if is_postgres else ("tellonce_", None)
    for name, columns in _TABLES.items():
        op.create_table(prefix + name, *map(_column, columns), schema=schema)
    for name, table, columns in _INDEXES:
        op.create_index(name, prefix + table, columns, schema=schema)
