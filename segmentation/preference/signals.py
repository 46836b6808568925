"""What customers did, as signals of preference: labels and categories bought and looked at, topics tapped, words said.

Ibis expressions over `Facts`; the session's zone must be the brand's. Promotion styles and prices: see promotions.py.
"""

from typing import Any

import ibis

from segmentation.facts import Facts
from segmentation.preference.promotions import price_signals, promotion_signals
from segmentation.preference.scores import SIGNALS
from segmentation.preference.settings import CATEGORY, LABEL, TOPIC, WORD, PreferenceSettings
from store.types import DECIMAL_PLACES

Table = Any
SCALE = 10**DECIMAL_PLACES

# Each doubling of the pieces in an order adds a quarter, up to a half: stocking up says a little more than buying, but
# no single order reaches the threshold that puts a preference on (1.5 after at least a day).
_PER_DOUBLING = 0.25
_MOST_FOR_PIECES = 0.5


def all_signals(facts: Facts, said: Table, settings: PreferenceSettings) -> Table:
    """Every signal of every dimension, in the shape SIGNALS. `said` as words.py gives it."""
    valued = product_values(facts.products)
    parts = (
        bought(facts.lines, valued),
        looked_at(facts.events, valued, settings),
        topics(facts.events, settings),
        words_said(said, settings),
        promotion_signals(facts, settings),
        price_signals(facts),
    )
    return ibis.union(*(part.select(*SIGNALS.names).cast(SIGNALS) for part in parts))


def product_values(products: Table) -> Table:
    """Which SKU stands for which values: `sku, dimension, value`, each once."""
    both = []
    for dimension, column in ((LABEL, products.labels), (CATEGORY, products.categories)):
        each = products.select(products.sku, dimension=ibis.literal(dimension), value=column.unnest())
        both.append(each.filter(each.value != ""))
    return ibis.union(*both, distinct=True)


def bought(lines: Table, valued: Table) -> Table:
    """One signal per order and value. Its portion is the part of the order's money that went to the value (of its
    lines where nothing was paid), among lines with a value of the dimension. Returned pieces say nothing: what came
    back whole was not bought."""
    gross = lines.quantity.cast("float64") * lines.unit_price / SCALE
    each = lines.select(
        "order_id",
        "customer_id",
        "sku",
        day=lines.ordered_at.date(),
        pieces=lines.quantity / float(SCALE),
        worth=ibis.ifelse(lines.quantity > 0, ibis.greatest(gross - lines.discount, 0.0), gross + lines.discount.abs()),
    )
    kept = each.group_by(["order_id", "customer_id", "sku", "day"]).aggregate(
        pieces=each.pieces.sum(),
        worth=ibis.greatest(each.worth.sum(), 0.0),
        lines=(each.pieces > 0).sum(),
    )
    line = kept.filter(kept.pieces > 0)
    about = valued.select("sku", "dimension").distinct()
    order = ["customer_id", "order_id", "day", "dimension"]
    rows = line.inner_join(about, "sku")
    whole = rows.group_by(order).aggregate(order_worth=rows.worth.sum(), order_lines=rows.lines.sum())
    rows = line.inner_join(valued, "sku")
    part = rows.group_by([*order, "value"]).aggregate(
        pieces=rows.pieces.sum(), worth=rows.worth.sum(), lines=rows.lines.sum(), sku=rows.sku.min()
    )
    part = part.mutate(values_of_order=part.count().over(group_by=[part.order_id, part.dimension]))
    joined = part.inner_join(whole, order)
    paid = joined.order_worth > 0
    return joined.select(
        "customer_id",
        "dimension",
        "value",
        "day",
        weight=1.0 + ibis.least(_PER_DOUBLING * ibis.greatest(joined.pieces, 1.0).log2(), _MOST_FOR_PIECES),
        portion=ibis.ifelse(paid, joined.worth / joined.order_worth.nullif(0), joined.lines / joined.order_lines),
        whole=1.0 / joined.values_of_order,
        source=ibis.literal("order"),
        order_id="order_id",
        sku="sku",
    )


def looked_at(events: Table, valued: Table, settings: PreferenceSettings) -> Table:
    """One signal per customer, kind of event, product, day and value: loading a page again says nothing new."""
    kinds = {kind: weight for kind, weight in settings.event_weights.items() if weight > 0}
    about = events.filter(events.sku.notnull() & events.kind.isin(list(kinds)))
    once = about.select("customer_id", "kind", "sku", day=about.occurred_at.date()).distinct()
    weighed = once.mutate(weight=ibis.cases(*((once.kind == k, ibis.literal(w)) for k, w in kinds.items())))
    values = valued.mutate(of_sku=valued.count().over(group_by=[valued.sku, valued.dimension]))
    rows = weighed.inner_join(values, "sku")
    return rows.select(
        "customer_id",
        "dimension",
        "value",
        "day",
        "weight",
        portion=rows.weight,
        whole=rows.weight / rows.of_sku,
        source=rows.kind,
        order_id=ibis.null("int64"),
        sku="sku",
    )


def topics(events: Table, settings: PreferenceSettings) -> Table:
    """One signal per customer, topic, kind of event and day."""
    about = events.filter(events.topic.notnull() & (events.topic != ""))
    once = about.select("customer_id", "kind", value=about.topic, day=about.occurred_at.date()).distinct()
    weight = ibis.literal(settings.topic_weight)
    return once.select(
        "customer_id",
        "value",
        "day",
        dimension=ibis.literal(TOPIC),
        weight=weight,
        portion=weight,
        whole=weight,
        source=once.kind,
        order_id=ibis.null("int64"),
        sku=ibis.null("string"),
    )


def words_said(said: Table, settings: PreferenceSettings) -> Table:
    """One signal per customer, word and day. `said`: customer_id, occurred_at, value (a word of the brand's)."""
    once = said.select("customer_id", "value", day=said.occurred_at.date()).distinct()
    weight = ibis.literal(settings.word_weight)
    return once.select(
        "customer_id",
        "value",
        "day",
        dimension=ibis.literal(WORD),
        weight=weight,
        portion=weight,
        whole=weight / once.count().over(group_by=[once.customer_id, once.day]),
        source=ibis.literal("word"),
        order_id=ibis.null("int64"),
        sku=ibis.null("string"),
    )
