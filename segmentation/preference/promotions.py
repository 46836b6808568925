"""How customers buy: by which style of promotion, and at what depth of discount. Ibis expressions over `Facts`.

What is read from what, for each paid order:

- 打折: a line with a discount that leaves something to pay; or a coupon of that style.
- 買一送一: an article that stands in the order both paid and free; or an even number of it at half; or a coupon.
  (An even number at half price looks the same: then it is read as 買一送一.)
- 滿額: an article that is only free, beside others that are paid (a gift above an amount); or a coupon.
- 點數: a coupon.

A coupon's style comes from the brand's own list, else from the words of its code. A code that says nothing counts
for no style.
"""

import re
from typing import Any

import ibis

from segmentation.facts import Facts
from segmentation.preference.settings import (
    BUY_ONE_GET_ONE,
    DISCOUNT,
    INSENSITIVE,
    POINTS,
    PRICE,
    PROMOTION,
    SENSITIVE,
    SPEND_OVER,
    PreferenceSettings,
)
from store.types import DECIMAL_PLACES

Table = Any
SCALE = 10**DECIMAL_PLACES
Expression = Any

# Upper-case codes, the first that fits: 滿千打九折 is 滿額, 點數折抵 is 點數.
_CODE_PATTERNS = (
    (r"買.{0,2}送|買.{0,2}贈|BOGO|B1G1|B2G1|BUY\s?\d\s?GET|\b1\+1\b", BUY_ONE_GET_ONE),
    (r"滿|SPEND|OVER\s?\d|ABOVE\s?\d|\bMIN\s?\d", SPEND_OVER),
    (r"點數|點折|紅利|POINT|REWARD", POINTS),
    (r"折|特價|半價|\d\s?%|\d\s?OFF|OFF\s?\d|DISCOUNT|SALE", DISCOUNT),
)
_HALF = (0.495, 0.505)  # prices are rounded to whole dollars
_NOTABLE_DEPTH = 0.05  # below it an order was bought at the full price, or nearly


def promotion_signals(facts: Facts, settings: PreferenceSettings) -> Table:
    """One signal per order and style; orders of no style count in the whole."""
    articles = _articles(facts)
    marks = articles.group_by("order_id").aggregate(
        cut=articles.is_cut.any(),
        pair=(articles.is_half | (articles.is_free & articles.is_paid)).any(),
        gift=(articles.is_free & ~articles.is_paid).any() & articles.is_paid.any(),
    )
    orders = facts.orders
    joined = orders.left_join(marks, "order_id").select(
        "order_id",
        "customer_id",
        "cut",
        "pair",
        "gift",
        day=orders.ordered_at.date(),
        code=_style_of_code(orders.coupon, settings),
    )
    found = ibis.array(
        [
            ibis.ifelse(joined.cut | (joined.code == DISCOUNT), DISCOUNT, None),
            ibis.ifelse(joined.pair | (joined.code == BUY_ONE_GET_ONE), BUY_ONE_GET_ONE, None),
            ibis.ifelse(joined.gift | (joined.code == SPEND_OVER), SPEND_OVER, None),
            ibis.ifelse(joined.code == POINTS, POINTS, None),
        ]
    )
    styles = joined.mutate(styles=found.filter(lambda style: style.notnull()))
    count = ibis.greatest(styles.styles.length(), 1)
    some = styles.mutate(
        whole=1.0 / count,
        value=ibis.ifelse(styles.styles.length() > 0, styles.styles, ibis.array([ibis.null("string")])).unnest(),
    )
    has_style = some.value.notnull().cast("float64")
    return some.select(
        "customer_id",
        "value",
        "day",
        "whole",
        dimension=ibis.literal(PROMOTION),
        weight=has_style,
        portion=has_style,
        source=ibis.literal("order"),
        order_id="order_id",
        sku=ibis.null("string"),
    )


def price_signals(facts: Facts) -> Table:
    """Two signals per order with lines: how deep its discount was, and how far from it. The whole is its worth at list
    prices; the depth 0..1 is what was taken off that worth, by its lines or by the order's total."""
    articles = _articles(facts)
    sums = articles.group_by("order_id").aggregate(listed=articles.listed.sum(), paid=articles.paid.sum())
    orders = facts.orders.inner_join(sums.filter(sums.listed > 0), "order_id")
    paid = ibis.greatest(
        ibis.least(orders.paid, orders.amount.cast("float64")), 0.0
    )  # the total may carry a shipping fee
    priced = orders.mutate(day=orders.ordered_at.date(), depth=ibis.greatest(1.0 - paid / orders.listed, 0.0))
    low = (priced.depth < _NOTABLE_DEPTH).cast("float64")
    sides = ((SENSITIVE, 1.0 - low, priced.depth), (INSENSITIVE, low, 1.0 - priced.depth))
    return ibis.union(
        *(
            priced.select(
                "customer_id",
                "day",
                dimension=ibis.literal(PRICE),
                value=ibis.literal(value),
                weight=weight,
                portion=priced.listed / SCALE * part,
                whole=priced.listed / SCALE / len(sides),
                source=ibis.literal("order"),
                order_id="order_id",
                sku=ibis.null("string"),
            )
            for value, weight, part in sides
        )
    )


def _articles(facts: Facts) -> Table:
    """One row per order and SKU of which something was kept: `is_paid`, `is_free`, `is_half`, `is_cut` (what its lines
    show), `listed` and `paid` (ten-thousandths, of what was kept). A line at price 0 is worth the product's price where
    that is known; one below 0 is no article but something taken off the order."""
    lines = facts.lines.filter(facts.lines.unit_price >= 0)
    prices = facts.products.select("sku", price=facts.products.price)
    rows = lines.left_join(prices, "sku").select("order_id", "sku", "quantity", "unit_price", "discount", "price")
    gross = rows.quantity.cast("float64") * rows.unit_price / SCALE
    worth = ibis.ifelse(rows.unit_price > 0, gross, rows.quantity.cast("float64") * rows.price.fill_null(0) / SCALE)
    is_bought = rows.quantity > 0
    back = ibis.least(gross + rows.discount.abs(), 0.0)  # what was paid is what is given back
    paid = ibis.ifelse(is_bought, ibis.greatest(gross - rows.discount, 0.0), back)
    rows = rows.mutate(gross=gross, worth=worth, paid=paid, is_bought=is_bought)
    is_free = rows.paid <= 0
    off = rows.discount / rows.gross.nullif(0)
    is_half = off.between(*_HALF) & (rows.quantity % (2 * SCALE) == 0)
    is_half = is_half.fill_null(False)
    found = rows.group_by(["order_id", "sku"]).aggregate(
        is_paid=(rows.is_bought & ~is_free).any(),
        is_free=(rows.is_bought & is_free).any(),
        is_half=(rows.is_bought & is_half).any(),
        is_cut=(rows.is_bought & (rows.discount > 0) & ~is_free & ~is_half).any(),
        kept=rows.quantity.sum(),
        listed=rows.worth.sum(),
        paid=rows.paid.sum(),
    )
    return found.filter(found.kept > 0)


def _style_of_code(code: Expression, settings: PreferenceSettings) -> Expression:
    upper = code.upper()
    brand = [(_glob(pattern), style) for pattern, style in settings.coupon_styles.items()]
    return ibis.cases(*((upper.re_search(pattern), style) for pattern, style in (*brand, *_CODE_PATTERNS)))


def _glob(pattern: str) -> str:
    """The regular expression of a code with `*` for anything."""
    return "^" + ".*".join(re.escape(part) for part in pattern.upper().split("*")) + "$"
