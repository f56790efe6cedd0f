"""Keep of each row how it was last written, and of each record which numbers it answers to and how."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_EMPTY, _FALSE = sa.text("''"), sa.text("false")


def upgrade() -> None:
    """Add the columns and make the table; what is not known yet is filled in with the record's next event."""
    is_postgres = op.get_bind().dialect.name == "postgresql"
    prefix, schema = ("", "tellonce") if is_postgres else ("tellonce_", None)
    for column in (
        sa.Column("number", sa.Text, nullable=False, server_default=_EMPTY),
        sa.Column("others", sa.Text, nullable=False, server_default=_EMPTY),
        sa.Column("by_person", sa.Boolean, nullable=False, server_default=_FALSE),
        sa.Column("is_ended", sa.Boolean, nullable=False, server_default=_FALSE),
    ):
        op.add_column(prefix + "linked_row", column, schema=schema)
    op.create_table(
        prefix + "claim",
        sa.Column("view", sa.Text, primary_key=True),
        sa.Column("hash", sa.Text, primary_key=True),
        sa.Column("pseudonym", sa.Text, primary_key=True),
        sa.Column("rank", sa.Text, nullable=False),
        sa.Column("others", sa.Text, nullable=False),
        schema=schema,
    )
    op.create_index("tellonce_claim_record", prefix + "claim", ["view", "pseudonym"], schema=schema)
    op.create_table(
        prefix + "seen",
        sa.Column("view", sa.Text, primary_key=True),
        sa.Column("row_key", sa.Text, primary_key=True),
        sa.Column("pseudonym", sa.Text, primary_key=True),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        schema=schema,
    )
    op.create_index("tellonce_seen_record", prefix + "seen", ["view", "pseudonym"], schema=schema)
    # Its hashes are of another kind; the claims come with the records' next events.
    op.drop_table(prefix + "match_hash", schema=schema)
