"""Customers, orders, products and events from files: read, checked as a whole, then written in short transactions.

Nothing is written before the whole file has been read and every row checked. A bad row is refused with its number
and a reason, the good ones go in, and importing the same file again changes nothing.
"""

from store.imports.customers import import_customers
from store.imports.events import import_events
from store.imports.orders import import_orders
from store.imports.products import import_products
from store.imports.report import ImportReport

__all__ = ["ImportReport", "import_customers", "import_events", "import_orders", "import_products"]
