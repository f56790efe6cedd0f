"""Keep of each published record a hash of its content, by which versions are counted, and when it was buried."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the ledger; of a record that is there already its digest says whether it has changed since."""
    is_postgres = op.get_bind().dialect.name == "postgresql"
    prefix, schema = ("", "tellonce") if is_postgres else ("tellonce_", None)
    content = sa.Column("content", sa.Text, nullable=False, server_default=sa.text("''"))
    for column in (content, sa.Column("buried_at_ms", sa.BigInteger)):
        op.add_column(prefix + "published", column, schema=schema)
    op.drop_column(prefix + "published", "seen_version", schema=schema)
    op.create_index(
        "tellonce_published_tombstone",
        prefix + "published",
        ["view", "partition"],
        schema=schema,
        postgresql_where=sa.text("tombstone"),
        sqlite_where=sa.text("tombstone"),
    )
