"""What can be imported: the columns of each kind, and a template to fill in."""

import csv
import io
from collections.abc import Mapping

from store.imports.customers import LAYOUT as CUSTOMERS
from store.imports.events import LAYOUT as EVENTS
from store.imports.files import Layout
from store.imports.orders import LAYOUT as ORDERS
from store.imports.products import LAYOUT as PRODUCTS

LAYOUTS: Mapping[str, Layout] = {"customers": CUSTOMERS, "orders": ORDERS, "products": PRODUCTS, "events": EVENTS}

# Two rows of each, which its import takes as they stand: tests/store/test_imports_uploads.py
_EXAMPLES: Mapping[str, tuple[dict[str, str], ...]] = {
    "customers": (
        {"customer_id": "M0001", "name": "王小明", "gender": "male", "birthday": "1990-01-31", "city": "台北市"},
        {"customer_id": "M0002", "name": "陳小美", "language": "zh-TW", "tags": "會員日;VIP"},
    ),
    "orders": (
        {
            "order_id": "A1001",
            "customer_id": "M0001",
            "ordered_at": "2026-01-31 18:30",
            "amount": "1280",
            "status": "paid",
            "sku": "SKU-1",
            "quantity": "2",
            "unit_price": "640",
        },
        {
            "order_id": "A1001",
            "customer_id": "M0001",
            "ordered_at": "2026-01-31 18:30",
            "amount": "390",
            "status": "paid",
            "sku": "SKU-2",
            "quantity": "1",
            "unit_price": "420",
            "discount": "30",
        },
    ),
    "products": (
        {"sku": "SKU-1", "name": "頭皮養護洗髮精", "categories": "洗髮", "labels": "去屑;抗油", "price": "640"},
        {"sku": "SKU-2", "name": "護髮油", "price": "420", "in_stock": "是", "url": "https://shop.example/sku-2"},
    ),
    "events": (
        {
            "event_id": "E1",
            "customer_id": "M0001",
            "kind": "product_view",
            "occurred_at": "2026-01-31 18:00",
            "sku": "SKU-1",
        },
        {
            "event_id": "E2",
            "customer_id": "M0002",
            "kind": "search",
            "occurred_at": "2026-01-31 19:00",
            "text": "護髮",
        },
    ),
}
_NOT_IN_TEMPLATES = ("lines",)  # of JSON lines alone


def template(kind: str) -> str:
    """A CSV with every column of `kind` and two rows as an example; with a mark at its beginning, or Excel takes it for
    another coding. Raises KeyError for an unknown kind."""
    layout = LAYOUTS[kind]
    out = io.StringIO(newline="")
    columns = [name for name in layout.known if name not in _NOT_IN_TEMPLATES]
    writer = csv.DictWriter(out, columns, restval="")
    writer.writeheader()
    writer.writerows(_EXAMPLES[kind])
    return "\ufeff" + out.getvalue()
