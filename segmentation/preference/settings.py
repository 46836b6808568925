"""What preferences are judged by: lines and weights, and what holds where the brand has said nothing (its own choice:
choices.py).

The scale of a score: one order for a value, today, is 1; so a score of 1.5 reads "as if it had been bought one and a
half times just now".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

LABEL, CATEGORY, PROMOTION, PRICE, TOPIC, WORD = "label", "category", "promotion", "price", "topic", "word"
DIMENSIONS = (LABEL, CATEGORY, PROMOTION, PRICE, TOPIC, WORD)

DISCOUNT, BUY_ONE_GET_ONE, SPEND_OVER, POINTS = "打折", "買一送一", "滿額", "點數"  # the values of `promotion`
PROMOTIONS = (DISCOUNT, BUY_ONE_GET_ONE, SPEND_OVER, POINTS)
SENSITIVE, INSENSITIVE = "價格敏感", "價格不敏感"  # the values of `price`

MOST_HALF_LIFE_DAYS = 3650


@dataclass(frozen=True)
class Line:
    """Where a preference begins and ends: on from `on` and `share_on` together, off below `off` or `share_off`; in
    between, what is on stays on. Shares are 0..1 of the customer's own attention within the dimension."""

    half_life_days: float = 90
    on: float = 1.5  # more than one order can give: what was bought once is no habit
    off: float = 0.75  # half of it: at the least, a preference outlives one half-life of nothing
    share_on: float = 0.2  # who buys of everything prefers nothing
    share_off: float = 0.1


# Keys: a dimension, or "dimension=value", which goes before it.
LINES: Mapping[str, Line] = {
    LABEL: Line(),
    CATEGORY: Line(),
    PROMOTION: Line(share_on=0.4, share_off=0.25),  # of all orders
    PRICE: Line(),
    # share is the mean depth of discount, each order counting by its list price
    f"{PRICE}={SENSITIVE}": Line(share_on=0.25, share_off=0.15),
    f"{PRICE}={INSENSITIVE}": Line(share_on=0.95, share_off=0.9),  # share is one minus that depth
    TOPIC: Line(),
    WORD: Line(),
}

# What a signal weighs beside an order (1). A look costs nothing and happens often; asking for something is near to it.
EVENT_WEIGHTS: Mapping[str, float] = {
    "product_view": 0.1,
    "page_view": 0.1,
    "click": 0.3,
    "add_to_cart": 0.5,
    "wishlist": 0.5,
}
TOPIC_WEIGHT = 0.75  # a tap on a topic: three days with one, not two, make a preference
WORD_WEIGHT = 1.0  # a word said on two days makes one


@dataclass(frozen=True)
class PreferenceSettings:
    """`coupon_styles` maps coupon codes (`*` stands for anything) to promotion styles, before our own patterns.
    A tag is made of a value once `least_people` have it, unless more than `most_share` of all who have any signal of
    the dimension do: what everybody has tells nobody apart."""

    lines: Mapping[str, Line] = field(default_factory=lambda: LINES)
    event_weights: Mapping[str, float] = field(default_factory=lambda: EVENT_WEIGHTS)
    topic_weight: float = TOPIC_WEIGHT
    word_weight: float = WORD_WEIGHT
    coupon_styles: Mapping[str, str] = field(default_factory=dict)
    least_people: int = 20
    most_share: float = 0.8
