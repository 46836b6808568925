"""Locks that no row stands for, for work that must be done by one at a time."""

from zlib import crc32

from sqlalchemy import Connection, func, select

# Who makes deliveries, or gives those of one customer to another: so that nobody comes to more messages than the brand
# allows, however many runs are frozen at once, and no delivery is made for a customer who is just being merged away.
DELIVERIES = "deliveries"
# Who changes what a rule or tag of the brand's says, or is called: what all of them say is looked at first, and of two
# changes that are right each by itself both may make a circle, or one be written over by the other.
DEFINITIONS = "definitions"
# Who changes settings: what holds is read, and written back with what changes in it.
SETTINGS = "settings"


def lock_until_end(connection: Connection, name: str) -> None:
    """Wait until nobody else holds the lock `name`, and hold it until the transaction ends. What others had committed
    by then is seen by the statements that follow. On SQLite whoever writes is alone anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(crc32(name.encode()))))
