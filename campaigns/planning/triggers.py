"""Triggers: what makes single people enter a campaign. Stored as JSON in Campaign.trigger, told in Chinese and English.

What counts is the moment that a trigger names: a purchase of long ago triggers 30 days later, if the campaign was
scheduled by then.
"""

import re
from collections.abc import Callable, Mapping
from datetime import time
from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy import select
from sqlmodel import Session

from segmentation.models import MODELS
from store.engine import table_of
from store.errors import BadInput
from store.models import Tag as TagRow

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Names = Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=100)]
Ids = Annotated[tuple[int, ...], msgspec.Meta(min_length=1, max_length=100)]
DaysBefore = Annotated[int, msgspec.Meta(ge=0, le=90)]
Clock = Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Language = Literal["zh", "en"]

IN_THE_MORNING = "10:00"
COUPON_ATTRIBUTE = "coupon_until"


class Base(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="on"):
    """What all triggers have in common."""


class Moved(Base, frozen=True, kw_only=True, tag="segment"):
    """Somebody entered a segment (`to`), left one (`from`), or moved from one to another. A customer's first result
    enters too."""

    model: Name
    from_: Names | None = msgspec.field(default=None, name="from")
    to: Names | None = None


class TagPut(Base, frozen=True, kw_only=True, tag="tag"):
    """A tag was put on, by whatever puts it on."""

    name: Name


class Clicked(Base, frozen=True, kw_only=True, tag="click"):
    """Somebody tapped a tracked link of another campaign or of a shop's code: any, or of these topics or campaigns. The
    same link of the same run triggers once, however often it is tapped."""

    topics: Names | None = None
    campaigns: Ids | None = None


class CouponEnds(Base, frozen=True, kw_only=True, tag="coupon_ends"):
    """A coupon ends in so many days: the day stands as 2026-12-31 in an attribute of the customer, kept by the brand's
    imports. `at` is the brand's clock."""

    days_before: DaysBefore = 3
    attribute: Name = COUPON_ATTRIBUTE
    at: Clock = IN_THE_MORNING


class Birthday(Base, frozen=True, kw_only=True, tag="birthday"):
    """The birthday, or so many days before. That of 29 February is kept on 28 February in common years."""

    days_before: DaysBefore = 0
    at: Clock = IN_THE_MORNING


class CartLeft(Base, frozen=True, kw_only=True, tag="cart_left"):
    """Something was put into the cart (the brand's event add_to_cart), nothing more for so many hours, and no order."""

    hours: Annotated[int, msgspec.Meta(ge=1, le=24 * 14)] = 4


class Bought(Base, frozen=True, kw_only=True, tag="purchase"):
    """So many days have passed since a paid order; several of one day count once."""

    days: Annotated[int, msgspec.Meta(ge=0, le=730)]


Trigger = Moved | TagPut | Clicked | CouponEnds | Birthday | CartLeft | Bought


def read_trigger(given: str | Mapping[str, Any]) -> Trigger:
    """The trigger that `given` says: JSON (text or values, as stored) or words such as `nesl:E→S1`, `tag:VIP`,
    `click:維他命 C`, `生日前 7 天`. Names of models and segments are checked. Raises BadInput."""
    if isinstance(given, str) and not given.lstrip().startswith("{"):
        return _checked(_from_words(given))
    try:
        values = msgspec.json.decode(given) if isinstance(given, str) else dict(given)
        trigger: Trigger = msgspec.convert(values, Trigger)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise BadInput(f"this is not a trigger: {error}") from error
    return _checked(trigger)


def check_trigger(session: Session, trigger: Trigger) -> None:
    """Raise BadInput when it names a tag that doesn't exist: it would wait for ever."""
    if isinstance(trigger, TagPut):
        found = select(table_of(TagRow).c.id).where(table_of(TagRow).c.name == trigger.name)
        if session.execute(found).first() is None:
            raise BadInput(f"there is no tag {trigger.name!r} to wait for")


def to_json(trigger: Trigger) -> dict[str, Any]:
    """As it stands in Campaign.trigger; read_trigger reads it back as an equal one."""
    made: dict[str, Any] = msgspec.to_builtins(trigger)
    return made


def clock_time(trigger: CouponEnds | Birthday) -> time:
    """The time of the day at which it comes."""
    return time.fromisoformat(trigger.at)


def _checked(trigger: Trigger) -> Trigger:
    if isinstance(trigger, Moved):
        if trigger.model not in MODELS:
            raise BadInput(f"there is no model {trigger.model!r}; the models are {', '.join(MODELS)}")
        known = [segment.name for segment in MODELS[trigger.model]]
        for name in (*(trigger.from_ or ()), *(trigger.to or ())):
            if name not in known:
                raise BadInput(f"{trigger.model} has no segment {name!r}; it has {', '.join(known)}")
        if not (trigger.from_ or trigger.to):
            raise BadInput("a trigger by segment needs one to come from or to go to")
        if trigger.from_ is not None and trigger.from_ == trigger.to and len(trigger.from_) == 1:
            raise BadInput("from a segment to itself is no move")
    return trigger


# --- words -----------------------------------------------------------------------------------------------------

_AT = r"(?: ?(?:at )?(?P<at>\d{1,2}:\d{2}))?"
_FORMS: tuple[tuple[str, Callable[[dict[str, str]], Trigger]], ...] = (
    (
        r"(?P<model>\w+):(?P<from>[\w, ]*)(?:→|->|>)(?P<to>[\w, ]*)",
        lambda said: Moved(model=said["model"], from_=_split(said["from"]), to=_split(said["to"])),
    ),
    (r"tag:(?P<name>.+)", lambda said: TagPut(name=said["name"].strip())),
    (r"click(?: campaign (?P<ids>[\d, ]+)|:(?P<topics>.+))?", lambda said: _clicked(said)),
    (rf"(?:生日|birthday){_AT}", lambda said: Birthday(days_before=0, **_clock(said))),
    (
        rf"(?:生日前 ?(?P<zh>\d+) ?天|(?P<en>\d+) days? before (?:the )?birthday){_AT}",
        lambda said: Birthday(days_before=_number(said), **_clock(said)),
    ),
    (
        rf"(?:優惠券到期前 ?(?P<zh>\d+) ?天|(?P<en>\d+) days? before (?:a |the )?coupon ends){_AT}",
        lambda said: CouponEnds(days_before=_number(said), **_clock(said)),
    ),
    (
        r"(?:購物車放置 ?(?P<zh>\d+) ?小時(?:未結帳)?|cart left (?:for )?(?P<en>\d+) hours?)",
        lambda said: CartLeft(hours=_number(said)),
    ),
    (
        r"(?:購買後 ?(?P<zh>\d+) ?天|(?P<en>\d+) days? after (?:a )?purchase)",
        lambda said: Bought(days=_number(said)),
    ),
)
HOW_TO_SAY = (
    "say nesl:E→S1, nesl:→S1, nesl:E→, tag:NAME, click, click:TOPIC, `click campaign 3`, 生日, 生日前 7 天, "
    "優惠券到期前 3 天, 購物車放置 4 小時, 購買後 30 天, or JSON (docs/campaigns.md)"
)


def _from_words(words: str) -> Trigger:
    for pattern, make in _FORMS:
        if found := re.fullmatch(pattern, " ".join(words.split()), re.IGNORECASE):
            made = make({name: value for name, value in found.groupdict().items() if value is not None})
            return read_trigger(to_json(made))  # what a struct is made of is not checked, what is read is
    raise BadInput(f"{words!r} is not a trigger; {HOW_TO_SAY}")


def _split(names: str) -> tuple[str, ...] | None:
    return tuple(name.strip() for name in names.split(",") if name.strip()) or None


def _clicked(said: dict[str, str]) -> Clicked:
    ids = tuple(int(number) for number in re.findall(r"\d+", said.get("ids", "")))
    return Clicked(topics=_split(said.get("topics", "")), campaigns=ids or None)


def _clock(said: dict[str, str]) -> dict[str, str]:
    return {"at": said["at"].zfill(5)} if "at" in said else {}


def _number(said: dict[str, str]) -> int:
    return int(said.get("zh") or said["en"])


def trigger_words(trigger: Trigger, language: Language) -> str:
    """A sentence for marketers about who enters."""
    is_zh = language == "zh"
    match trigger:
        case Moved():
            return _moved_words(trigger, is_zh)
        case TagPut():
            return (
                f"當顧客被貼上標籤「{trigger.name}」" if is_zh else f"when the tag {trigger.name!r} is put on somebody"
            )
        case Clicked():
            return _clicked_words(trigger, is_zh)
        case CouponEnds():
            day = f"優惠券（{trigger.attribute}）" if is_zh else f"a coupon ({trigger.attribute})"
            if is_zh:
                return f"{day}到期前 {trigger.days_before} 天的 {trigger.at}"
            return f"{trigger.days_before} days before {day} ends, at {trigger.at}"
        case Birthday(days_before=0):
            return f"生日當天 {trigger.at}" if is_zh else f"on the birthday, at {trigger.at}"
        case Birthday():
            before = trigger.days_before
            return (
                f"生日前 {before} 天的 {trigger.at}" if is_zh else f"{before} days before the birthday, at {trigger.at}"
            )
        case CartLeft():
            if is_zh:
                return f"放入購物車後 {trigger.hours} 小時沒有下單"
            return f"when a cart was left for {trigger.hours} hours without an order"
        case Bought():
            return f"購買後 {trigger.days} 天" if is_zh else f"{trigger.days} days after a purchase"


def _moved_words(trigger: Moved, is_zh: bool) -> str:
    chinese = {segment.name: segment.chinese for segment in MODELS[trigger.model]}

    def named(names: tuple[str, ...]) -> str:
        return "、".join(f"{chinese[n]} {n}" for n in names) if is_zh else " or ".join(names)

    if trigger.from_ and trigger.to:
        both = (named(trigger.from_), named(trigger.to))
        return "當顧客由{}變為{}".format(*both) if is_zh else "when somebody moves from {} to {}".format(*both)
    if trigger.to:
        return f"當顧客進入{named(trigger.to)}" if is_zh else f"when somebody enters {named(trigger.to)}"
    assert trigger.from_ is not None
    return f"當顧客離開{named(trigger.from_)}" if is_zh else f"when somebody leaves {named(trigger.from_)}"


def _clicked_words(trigger: Clicked, is_zh: bool) -> str:
    what = []
    if trigger.topics:
        what.append(("主題 " if is_zh else "about ") + ("、" if is_zh else " or ").join(trigger.topics))
    if trigger.campaigns:
        ids = ("、" if is_zh else " or ").join(map(str, trigger.campaigns))
        what.append(f"活動 {ids}" if is_zh else f"of campaign {ids}")
    if is_zh:
        return f"當顧客點擊{'、'.join(what)}的連結" if what else "當顧客點擊連結"
    return " ".join(["when somebody taps a link", *what])
