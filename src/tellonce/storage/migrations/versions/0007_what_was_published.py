"""Keep with each published record a hash of its content, by which the relay alone counts versions."""

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
    op.add_column(prefix + "published", content, schema=schema)
    op.drop_column(prefix + "published", "seen_version", schema=schema)
