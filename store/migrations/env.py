"""Alembic's entry: runs the migrations on the engine that store/migrate.py hands over."""

from alembic import context
from sqlmodel import SQLModel

import store.models  # noqa: F401  (fills the metadata)

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite:  # a table that others refer to is changed by making it anew, which enforced keys would not allow
        connection.connection.execute("PRAGMA foreign_keys=OFF")
    context.configure(connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()
        if is_sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
            raise RuntimeError("the migration would leave rows that refer to nothing; nothing was changed")
    connection.commit()
    if is_sqlite:
        connection.connection.execute("PRAGMA foreign_keys=ON")
