"""Keep with a record's entry what its renewal needs, so that renewing it touches one table of ours."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; a record that is there already is decided about once more before it is plain."""
    is_postgres = op.get_bind().dialect.name == "postgresql"
    prefix, schema = ("", "tellonce") if is_postgres else ("tellonce_", None)
    others = sa.Column("others", sa.Text, nullable=False, server_default=sa.text("''"))
    for column in (others, sa.Column("plain", sa.Text)):
        op.add_column(prefix + "applied", column, schema=schema)
    if is_postgres:
        # A new version of an entry finds room on its page, and no index needs to know of it.
        op.execute("ALTER TABLE tellonce.applied SET (fillfactor = 70)")
