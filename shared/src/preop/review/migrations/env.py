"""Run by alembic for each migration, on the connection that ``preop.review.database`` gives it."""

from alembic import context

from preop.review.tables import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
