"""Take away two columns that nothing read: what a sweep found, and a stream's partitions, which its settings have."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop the columns."""
    is_postgres = op.get_bind().dialect.name == "postgresql"
    prefix, schema = ("", "tellonce") if is_postgres else ("tellonce_", None)
    op.drop_column(prefix + "progress", "findings", schema=schema)
    op.drop_column(prefix + "stream", "partitions", schema=schema)
