"""Take away a column that repeated the pseudonym: no event tells a subscriber the authority's own key."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop the column."""
    is_postgres = op.get_bind().dialect.name == "postgresql"
    prefix, schema = ("", "tellonce") if is_postgres else ("tellonce_", None)
    op.drop_column(prefix + "applied", "record_key", schema=schema)
