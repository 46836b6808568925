"""The shape of a rule: what a condition may say, and what it can't. Immutable, hashable, equal when they say the same.

Days are the brand's calendar days. A rule is asked as of the start of a day, `as_of`: what happened on that day or
later doesn't count, and "today" (for ages and birthdays) is the last day that counts, the day before it. "N days ago"
counts from `as_of`, as R of RFM does: what happened today was 1 day ago.

Wrong values raise `Wrong` when a condition is made; reading.py tells people where.
"""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal
from zlib import crc32

import msgspec

from store.types import DECIMAL_PLACES

MAX_DAYS = 36_500
MAX_NUMBER = 10**14  # beyond it, ten-thousandths would not fit 64 bits

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Names = Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=1_000)]
Days = Annotated[int, msgspec.Meta(ge=1, le=MAX_DAYS)]
CampaignId = Annotated[int, msgspec.Meta(le=2**63 - 1)]  # as databases number them
Campaigns = Annotated[tuple[CampaignId, ...], msgspec.Meta(min_length=1, max_length=1_000)]
Number = Decimal

OrderMeasure = Literal["count", "sum", "average", "quantity", "days", "first", "last"]
Score = Literal[
    "recency_days",
    "frequency",
    "monetary",
    "r",
    "f",
    "m",
    "loyalty",
    "loyalty_percentile",
    "cycle_days",
    "paid_total",
    "p_buy",
    "churn_risk",
    "expected_orders",
    "spend_90",
    "spend_365",
]
MONEY_SCORES = frozenset({"monetary", "paid_total", "spend_90", "spend_365"})
REAL_SCORES = frozenset({"loyalty", "loyalty_percentile", "p_buy", "churn_risk", "expected_orders"})


class Wrong(ValueError):
    """A value that can't be, in `field` (its name in JSON; empty: the condition as a whole)."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field
        self.sentence = sentence


class Base(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all parts of a rule have in common."""


class Bounds(Base, frozen=True, kw_only=True):
    """Limits of a number: `at_least` and `at_most` belong to it, `more_than` and `less_than` don't."""

    at_least: Number | None = None
    at_most: Number | None = None
    more_than: Number | None = None
    less_than: Number | None = None

    def __post_init__(self) -> None:
        _check_bounds(self)

    @property
    def is_bounded(self) -> bool:
        """Whether any limit is given."""
        return any(value is not None for value in (self.at_least, self.at_most, self.more_than, self.less_than))


def _check_bounds(bounds: Bounds) -> None:
    for name in ("at_least", "at_most", "more_than", "less_than"):
        value = getattr(bounds, name)
        if value is None:
            continue
        if not value.is_finite() or abs(value) >= MAX_NUMBER:
            raise Wrong(name, "must be a number below 100,000,000,000,000")
        if value.as_tuple().exponent < -DECIMAL_PLACES and value != round(value, DECIMAL_PLACES):
            raise Wrong(name, f"may have {DECIMAL_PLACES} decimal places at most")
    if bounds.at_least is not None and bounds.more_than is not None:
        raise Wrong("more_than", "stands beside at_least; say one of them")
    if bounds.at_most is not None and bounds.less_than is not None:
        raise Wrong("less_than", "stands beside at_most; say one of them")
    low = bounds.at_least if bounds.at_least is not None else bounds.more_than
    high = bounds.at_most if bounds.at_most is not None else bounds.less_than
    if low is None or high is None:
        return
    inclusive = bounds.more_than is None and bounds.less_than is None
    if low > high or (low == high and not inclusive):
        field = "at_most" if bounds.at_most is not None else "less_than"
        raise Wrong(field, f"{high} lies below the lower limit {low}, so that nobody could match")


def _must_be_bounded(bounds: Bounds, *, whole: bool, field: str = "") -> None:
    """A limit must be there; of what is counted it is a whole number from 0. `field`: where `bounds` stand, if they are
    not the condition itself."""
    if not bounds.is_bounded:
        raise Wrong(field, "needs a limit: at_least, at_most, more_than or less_than")
    if not whole:
        return
    for name in ("at_least", "at_most", "more_than", "less_than"):
        value = getattr(bounds, name)
        if value is not None and (value != int(value) or value < 0):
            raise Wrong(f"{field}.{name}".lstrip("."), "must be a whole number from 0, because it limits a count")


class Window(Base, frozen=True, kw_only=True):
    """Days, half-open: from the start of `from` up to but not including `until`, or the `last_days` before the day that
    the rule is asked for. Without one of the two ends there is no limit at that side."""

    from_: date | None = msgspec.field(default=None, name="from")
    until: date | None = None
    last_days: Days | None = None

    def __post_init__(self) -> None:
        if self.last_days is not None and (self.from_ is not None or self.until is not None):
            raise Wrong("last_days", "stands beside from or until; say days or a number of last days")
        if self.last_days is None and self.from_ is None and self.until is None:
            raise Wrong("", "needs from, until or last_days")
        if self.from_ is not None and self.until is not None and self.from_ >= self.until:
            raise Wrong("from", f"{self.from_} is not before until, {self.until}: the window holds no day")


class Products(Base, frozen=True, kw_only=True):
    """Which products: those that are in all `categories`, carry all `labels`, are one of `skus` and whose name contains
    `name_contains` (whatever the case). It is one product that must fit everything said."""

    categories: Names | None = None
    labels: Names | None = None
    skus: Names | None = None
    name_contains: Name | None = None

    def __post_init__(self) -> None:
        if not (self.categories or self.labels or self.skus or self.name_contains):
            raise Wrong("", "needs categories, labels, skus or name_contains")


class AllOf(Base, frozen=True, kw_only=True, tag="all"):
    """Every one of the conditions holds (且)."""

    of: Annotated[tuple["Rule", ...], msgspec.Meta(min_length=1)]


class AnyOf(Base, frozen=True, kw_only=True, tag="any"):
    """At least one of the conditions holds (或)."""

    of: Annotated[tuple["Rule", ...], msgspec.Meta(min_length=1)]


class NotOf(Base, frozen=True, kw_only=True, tag="not"):
    """The condition doesn't hold (非)."""

    of: "Rule"


class Attribute(Bounds, frozen=True, kw_only=True, tag="attribute"):
    """What the brand or LINE says of a customer: name, gender, city, language, member_id, is_following, is_refused, or
    an attribute of the brand's own by its name. One test: `is`, `in`, `contains` (whatever the case), `exists`, or
    limits, which read the value as a number. An unknown value fits nothing but `exists: false`. Genders are the same
    as female, f, 女 or 女性 (male, m, 男, 男性), cities with 臺 or 台."""

    name: Name
    is_: str | bool | int | float | None = msgspec.field(default=None, name="is")
    in_: Names | None = msgspec.field(default=None, name="in")
    contains: Name | None = None
    exists: bool | None = None

    def __post_init__(self) -> None:
        _check_bounds(self)
        given = [value is not None for value in (self.is_, self.in_, self.contains, self.exists)]
        if sum(given) + self.is_bounded != 1:
            raise Wrong("", "needs exactly one test: is, in, contains, exists, or limits such as at_least")
        if isinstance(self.is_, float) and not abs(self.is_) < float("inf"):
            raise Wrong("is", "must be a finite number")
        if self.name in FLAGS and not (isinstance(self.is_, bool) or self.exists is not None):
            raise Wrong("is", f"must be true or false, because {self.name} is")


class Age(Bounds, frozen=True, kw_only=True, tag="age"):
    """Whole years today. Who was born on 29 February is a year older on 1 March of common years. Nobody whose
    birthday is unknown matches."""

    def __post_init__(self) -> None:
        _check_bounds(self)
        _must_be_bounded(self, whole=True)


class Birthday(Base, frozen=True, kw_only=True, tag="birthday"):
    """The next birthday is at most so many days from today; 0 is today. That of 29 February is kept on 28 February in
    common years."""

    within_days: Annotated[int, msgspec.Meta(ge=0, le=366)]


class Orders(Bounds, frozen=True, kw_only=True, tag="orders"):
    """Paid orders in the window: their `count`, the `sum` or `average` of their totals, the `quantity` of articles, the
    number of different `days`, or how many days ago was the `first` or the `last` (limits), or when (`on`).

    With `products`, only order lines of such products count: orders that have one, what those lines cost after
    discount, their quantity. Without any order, count, sum, quantity and days are 0; average, first and last fit
    nothing."""

    measure: OrderMeasure
    products: Products | None = None
    window: Window | None = None
    on: Window | None = None

    def __post_init__(self) -> None:
        _check_bounds(self)
        if self.on is not None:
            if self.measure not in ("first", "last"):
                raise Wrong("on", "goes with the measures first and last only")
            if self.is_bounded:
                raise Wrong("on", "stands beside limits; say days or how many days ago")
            return
        _must_be_bounded(self, whole=self.measure in ("count", "days", "first", "last"))


class Events(Bounds, frozen=True, kw_only=True, tag="events"):
    """How many behaviour events of these kinds in the window; with products, topics or campaigns only events that are
    about one of them. 0 for those without any."""

    kinds: Names
    products: Products | None = None
    topics: Names | None = None
    campaigns: Campaigns | None = None
    window: Window | None = None

    def __post_init__(self) -> None:
        _check_bounds(self)
        _must_be_bounded(self, whole=True)


class Clicks(Bounds, frozen=True, kw_only=True, tag="clicks"):
    """How many taps on tracked links in the window, of these topics or campaigns."""

    topics: Names | None = None
    campaigns: Campaigns | None = None
    window: Window | None = None

    def __post_init__(self) -> None:
        _check_bounds(self)
        _must_be_bounded(self, whole=True)


class Tagged(Base, frozen=True, kw_only=True, tag="tag"):
    """The tag is on now; for so many days already (put on today: 1), or with such a strength."""

    name: Name
    days: Bounds | None = None
    strength: Bounds | None = None

    def __post_init__(self) -> None:
        if self.days is not None:
            _must_be_bounded(self.days, whole=True, field="days")
        if self.strength is not None:
            _must_be_bounded(self.strength, whole=False, field="strength")


class InSegment(Base, frozen=True, kw_only=True, tag="segment"):
    """In one of the segments of a model: as last computed, or as it was at the start of a day (`on`, or `days_ago`
    before the day that the rule is asked for)."""

    model: Name
    in_: Names = msgspec.field(name="in")
    days_ago: Days | None = None
    on: date | None = None

    def __post_init__(self) -> None:
        if self.days_ago is not None and self.on is not None:
            raise Wrong("on", "stands beside days_ago; say one of them")


class Moved(Base, frozen=True, kw_only=True, tag="moved"):
    """Moved in one step from one of the segments `from` (left out: whatever it was, none too) to one of `to` (left out:
    whatever it became) in the window. A move is dated by the last day that it took into account. Changed settings move
    nobody."""

    model: Name
    from_: Names | None = msgspec.field(default=None, name="from")
    to: Names | None = None
    window: Window | None = None

    def __post_init__(self) -> None:
        if self.from_ is None and self.to is None:
            raise Wrong("", "needs from or to")
        if self.from_ is not None and self.to is not None and len(self.from_) == 1 and self.from_ == self.to:
            raise Wrong("to", "is the segment that it comes from: that is no move")


class Measure(Bounds, frozen=True, kw_only=True, tag="measure"):
    """A number that a model gives: R in days, F, M, their scores, loyalty and its percentile, the purchase cycle, all
    that was paid, or a prediction. Frequency, monetary, loyalty and paid_total are 0 for those who never bought; the
    others are unknown then and fit nothing."""

    name: Score

    def __post_init__(self) -> None:
        _check_bounds(self)
        _must_be_bounded(self, whole=self.name not in MONEY_SCORES | REAL_SCORES)


class RuleReference(Base, frozen=True, kw_only=True, tag="rule"):
    """Another saved rule holds."""

    name: Name


Rule = (
    AllOf
    | AnyOf
    | NotOf
    | Attribute
    | Age
    | Birthday
    | Orders
    | Events
    | Clicks
    | Tagged
    | InSegment
    | Moved
    | Measure
    | RuleReference
)

FLAGS = ("is_following", "is_refused")
# What files say of a gender, in lower case; and a sign of place names that is written in two ways, 臺中 and 台中.
WOMAN, MAN = ("female", "f", "女", "女性"), ("male", "m", "男", "男性")
TAI = ("臺", "台")
TEXT_ATTRIBUTES = ("name", "gender", "city", "language", "member_id")


def parts_of(rule: Rule) -> tuple[Rule, ...]:
    """The conditions directly inside `rule`; none for a condition on facts."""
    if isinstance(rule, AllOf | AnyOf):
        return rule.of
    return (rule.of,) if isinstance(rule, NotOf) else ()


def with_parts(rule: Rule, change: Callable[[Rule], Rule]) -> Rule:
    """`rule` with each condition directly inside it changed."""
    if isinstance(rule, AllOf):
        return AllOf(of=tuple(change(part) for part in rule.of))
    if isinstance(rule, AnyOf):
        return AnyOf(of=tuple(change(part) for part in rule.of))
    return NotOf(of=change(rule.of)) if isinstance(rule, NotOf) else rule


def part_path(rule: Rule, path: str, index: int) -> str:
    """The JSON path of the part at `index` of `parts_of(rule)`, where `rule` is at `path`."""
    return f"{path}.of" if isinstance(rule, NotOf) else f"{path}.of[{index}]"


def to_builtins(rule: Rule) -> dict[str, Any]:
    """`rule` as JSON values, which read_rule reads back as an equal rule: whole numbers as numbers, others as text so
    that no digit is lost."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [plain(inner) for inner in value]
        if isinstance(value, Decimal):
            return int(value) if value == int(value) else format(value.normalize(), "f")
        return value

    made: dict[str, Any] = plain(msgspec.to_builtins(rule, builtin_types=(Decimal,)))
    return made


def mark_of(rule: Rule) -> str:
    """Eight signs by which `rule` is told from another."""
    return f"{crc32(msgspec.json.encode(to_builtins(rule), order='deterministic')):08x}"
