"""Keep at a subscriber which records it wants published again, so that no event has to say so."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    is_postgres = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "repair" if is_postgres else "tellonce_repair",
        sa.Column("view", sa.Text, primary_key=True),
        sa.Column("pseudonym", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("wanted_at_ms", sa.BigInteger, nullable=False),
        sa.Column("order_at_ms", sa.BigInteger, nullable=False),
        schema="tellonce" if is_postgres else None,
    )
