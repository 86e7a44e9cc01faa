"""The tables of the first version."""

import sqlalchemy as sa
from alembic import op

from preop.review.tables import LONGEST_NAME, UtcTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "patients",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("reviewer", sa.String(LONGEST_NAME), nullable=False),
        sa.Column("changed_at", UtcTime),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("patient_id", sa.Integer, sa.ForeignKey("patients.id"), nullable=False, index=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("reviewer", sa.String(LONGEST_NAME), nullable=False),
        sa.Column("before", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("masks", sa.JSON, nullable=False),
    )
    op.create_table(
        "masks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("patient_id", sa.Integer, sa.ForeignKey("patients.id"), nullable=False, index=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("slug", sa.String(LONGEST_NAME), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("based_on", sa.Integer),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("reviewer", sa.String(LONGEST_NAME), nullable=False),
        sa.Column("origin", sa.String(LONGEST_NAME), nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("voxels", sa.Integer, nullable=False),
        sa.UniqueConstraint("patient_id", "slug", "number"),
    )
    op.create_table(
        "readings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("patient_id", sa.Integer, sa.ForeignKey("patients.id"), nullable=False, index=True),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("reader", sa.String(LONGEST_NAME), nullable=False),
        sa.Column("phase", sa.String(10), nullable=False),
        sa.Column("answer", sa.String(LONGEST_NAME), nullable=False),
        sa.Column("likelihood", sa.Double),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("algorithm_said", sa.Text, nullable=False),
        sa.UniqueConstraint("patient_id", "reader", "phase"),
    )


def downgrade() -> None:
    """Remove them."""
    for table in ("readings", "masks", "decisions", "patients"):
        op.drop_table(table)
