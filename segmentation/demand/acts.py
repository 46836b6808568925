"""What people showed that they want: acts of looking, tapping, asking and buying, and which label, category or topic
each is about. Ibis expressions over `Facts`; the session's zone must be the brand's.

An act counts once per customer, thing and day: loading a page again says nothing new. A person's share of a value is
the part of their acts that is about it, for each signal (looked, clicked, asked, bought) and then the mean over the
signals that they gave. So everybody has one voice, however much they browse, and somebody who takes products at random
has, on average, the catalogue's own share of each value.
"""

from typing import Any

import ibis

from segmentation.engine import kept
from segmentation.facts import Facts
from segmentation.preference.settings import CATEGORY, LABEL, TOPIC
from segmentation.preference.signals import product_values
from segmentation.preference.words import Tokenize, said_words

Table = Any
SIGNALS = ("looked", "clicked", "asked", "bought")
DIMENSIONS = (LABEL, CATEGORY, TOPIC)  # a topic that is a label or category of some product is that


def catalogue(connection: Any, facts: Facts) -> Table:
    """`dimension, value, products`: how many products in stock (or not known to be out of it) have each label and
    category, and every topic that stands for none of them, with 0. Keeps the table `demand_value`."""
    sold = facts.products.select("sku", is_sold=facts.products.in_stock.fill_null(True))
    valued = product_values(facts.products).inner_join(sold, "sku")
    served = valued.group_by(["dimension", "value"]).aggregate(products=valued.is_sold.cast("int64").sum())
    topics = facts.events.filter(facts.events.topic.notnull() & (facts.events.topic != ""))
    topics = topics.select(value=topics.topic).distinct().anti_join(served, "value")
    others = topics.select(dimension=ibis.literal(TOPIC), value="value", products=ibis.literal(0, "int64"))
    return kept(connection, "demand_value", served.union(others))


def product_count(connection: Any, facts: Facts) -> int:
    """Products in stock, or not known to be out of it."""
    sold = facts.products.filter(facts.products.in_stock.fill_null(True))
    return int(connection.to_pyarrow(sold.count()).as_py())


def shares(
    connection: Any, facts: Facts, values: Table, since: Any, until: Any, tokenize: Tokenize
) -> tuple[Table, Table]:
    """(people, wants) of the days [since, until): `people` has customer_id and for each signal whether it was given;
    `wants` has customer_id, dimension, value, the share of each signal (null: not given, 0: not about it), and
    `share`, all in 0..1. Keeps the tables `demand_act`, `demand_people` and `demand_want`."""
    acts = kept(connection, "demand_act", _acts(connection, facts, values, since, until, tokenize))
    counts = acts.group_by(["customer_id", "signal"]).aggregate(acts=acts.act.nunique())
    people = counts.group_by("customer_id").aggregate(
        **{f"{name}_acts": counts.acts.sum(where=counts.signal == name).fill_null(0) for name in SIGNALS}
    )
    people = kept(connection, "demand_people", people)
    about = acts.filter(acts.value.notnull())
    touched = about.group_by(["customer_id", "dimension", "value"]).aggregate(
        **{f"{name}_of": about.act.nunique(where=about.signal == name) for name in SIGNALS}
    )
    joined = touched.inner_join(people, "customer_id")
    part = {name: joined[f"{name}_of"] / joined[f"{name}_acts"].nullif(0) for name in SIGNALS}
    given = sum(((joined[f"{name}_acts"] > 0).cast("int64") for name in SIGNALS), start=ibis.literal(0))
    share = sum((portion.fill_null(0.0) for portion in part.values()), start=ibis.literal(0.0)) / given
    wants = joined.select("customer_id", "dimension", "value", **part, share=share)
    return people, kept(connection, "demand_want", wants)


def _acts(connection: Any, facts: Facts, values: Table, since: Any, until: Any, tokenize: Tokenize) -> Table:
    """`customer_id, signal, act, dimension, value`: one row per act and value that it is about, one with nulls for an
    act about a product without any."""
    known = facts.products.select("sku").distinct()
    events = _within(facts.events, since, until)
    events = events.mutate(signal=ibis.ifelse(events.kind == "click", "clicked", "looked"))
    about_product = events.semi_join(known, "sku").select("customer_id", "signal", "sku", "day").distinct()
    lines = _within(facts.lines.rename(occurred_at="ordered_at"), since, until)
    lines = lines.filter(lines.quantity > 0).semi_join(known, "sku")
    bought = lines.select("customer_id", "sku", "day", signal=ibis.literal("bought")).distinct()
    products = about_product.union(bought.select("customer_id", "signal", "sku", "day"))
    of_product = products.left_join(product_values(facts.products), "sku")
    of_product = of_product.mutate(act=_act("p", of_product.day, of_product.sku))

    about_topic = events.filter(events.topic.notnull() & (events.topic != "")).anti_join(known, "sku")
    tapped = about_topic.select("customer_id", "signal", "day", value="topic").distinct()
    of_topic = tapped.inner_join(values, "value")
    of_topic = of_topic.mutate(act=_act("t", of_topic.day, of_topic.value))

    topics = connection.to_pyarrow(values.filter(values.dimension == TOPIC).value).to_pylist()
    words = facts.words
    heard = words.filter((words.occurred_at >= since) & (words.occurred_at < until))
    said = said_words(connection, _with_words(facts, heard), tokenize, topics)
    said = said.mutate(day=said.occurred_at.date())
    of_word = said.inner_join(values, "value")
    of_word = of_word.mutate(act=_act("w", of_word.day, of_word.value), signal=ibis.literal("asked"))
    columns = ("customer_id", "signal", "act", "dimension", "value")
    return ibis.union(*(part.select(*columns) for part in (of_product, of_topic, of_word)))


def _with_words(facts: Facts, words: Table) -> Facts:
    return Facts(**{**vars(facts), "words": words})


def _within(rows: Table, since: Any, until: Any) -> Table:
    inside = rows.filter((rows.occurred_at >= since) & (rows.occurred_at < until))
    return inside.mutate(day=inside.occurred_at.date())


def _act(mark: str, day: Any, thing: Any) -> Any:
    return ibis.literal(mark) + day.cast("string") + thing
