"""What a person bought and looked at, by the names of the catalogue. Reads only."""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select
from sqlmodel import Session

from store.engine import table_of
from store.models import OrderLine, Product

line, product = table_of(OrderLine), table_of(Product)


@dataclass(frozen=True)
class Goods:
    """`bought`: order id -> (SKU, quantity) of its lines, in their order; `names`: SKU -> name, of what the catalogue
    has."""

    bought: dict[int, list[tuple[str, Decimal]]]
    names: dict[str, str]

    def named(self, sku: str) -> str:
        """Its name; the SKU itself where the catalogue doesn't have it."""
        return self.names.get(sku, sku)


def goods_of(session: Session, order_ids: Collection[int], skus: Collection[str]) -> Goods:
    """The lines of these orders, and the names of all in them and of `skus`."""
    lines = select(line.c.sales_order_id, line.c.sku, line.c.quantity).where(line.c.sales_order_id.in_(order_ids))
    bought: dict[int, list[tuple[str, Decimal]]] = {}
    for row in session.execute(lines.order_by(line.c.sales_order_id, line.c.line_number)) if order_ids else ():
        bought.setdefault(row.sales_order_id, []).append((row.sku, row.quantity))
    wanted = {*skus, *(sku for items in bought.values() for sku, _ in items)}
    named = select(product.c.sku, product.c.name).where(product.c.sku.in_(wanted))
    return Goods(bought, {row.sku: row.name for row in session.execute(named)} if wanted else {})
