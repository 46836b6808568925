"""The brand's one currency: orders are added up, so all of them must be in it. Imports refuse others; what came in
before, or by another setting, is told of."""

from sqlalchemy import Engine, func, select

from store.engine import reading, table_of
from store.errors import ExpectedError
from store.models import SalesOrder

order = table_of(SalesOrder)


class OtherCurrencies(ExpectedError):
    """Some stored orders are in other currencies than the brand's."""


def check_currencies(engine: Engine, currency: str) -> None:
    """Look at all orders, paid or not. Raises OtherCurrencies, with how many there are of each other currency."""
    others = (
        select(order.c.currency, func.count()).where(order.c.currency != currency).group_by(order.c.currency)
    ).order_by(order.c.currency)
    with reading(engine) as session:
        found = session.execute(others).all()
    if found:
        counts = ", ".join(f"{name} × {orders:,}" for name, orders in found)
        raise OtherCurrencies(
            f"orders are stored in other currencies than the brand's {currency}, and added as if in it: {counts};"
            " import them again converted, or set CURRENCY"
        )
