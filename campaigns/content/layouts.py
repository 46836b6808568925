"""Common layouts of Flex messages, from a few plain fields: an announcement, a product, several, a coupon, a reminder.

Each is a model whose fields an editor can show (`model_json_schema`), and makes a message that passes our checks. Words
may hold `{{ fields }}`.
"""

from abc import ABC, abstractmethod
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from campaigns.content.message import check_messages
from store.errors import BadInput

Box = dict[str, Any]
ACCENT = "#06C755"

_Words = Annotated[str, Field(min_length=1, max_length=400)]


class Layout(BaseModel, ABC):
    """Base of all layouts. `alt`: what notifications and the chat list show."""

    model_config = ConfigDict(extra="forbid")

    alt: Annotated[str, Field(min_length=1, max_length=400)]

    @abstractmethod
    def contents(self) -> Box:
        """The Flex container."""

    def message(self) -> dict[str, Any]:
        """The Flex message. Raises InvalidMessage when a field makes something that LINE would refuse."""
        made = self.unchecked_message()
        check_messages([made], way="push")
        return made

    def unchecked_message(self) -> dict[str, Any]:
        """The same, whatever the fields are. Raises BadInput when lists differ in length."""
        return {"type": "flex", "altText": self.alt, "contents": self.contents()}


class Announcement(Layout):
    """A picture, a headline, some words and a button. 公告"""

    title: _Words
    body: _Words
    link: str
    button: str = "看更多"
    image: str | None = None

    def contents(self) -> Box:
        """A bubble."""
        return _bubble(self.image, [_title(self.title), _words(self.body)], [_button(self.button, self.link)])


class ProductCard(Layout):
    """A product with its price, perhaps the one before, and a button. 商品卡"""

    name: _Words
    price: _Words
    link: str
    image: str
    was: str | None = None
    button: str = "立即選購"

    def contents(self) -> Box:
        """A bubble."""
        return product_bubble(self.name, self.price, self.was, self.image, self.button, self.link)


class ProductCarousel(Layout):
    """Up to twelve products side by side: lists of the same length. 商品輪播"""

    names: Annotated[list[_Words], Field(min_length=1, max_length=12)]
    prices: list[_Words]
    links: list[str]
    images: list[str]
    button: str = "立即選購"

    def contents(self) -> Box:
        """A carousel. Raises BadInput when the lists differ in length."""
        if not len(self.names) == len(self.prices) == len(self.links) == len(self.images):
            raise BadInput("names, prices, links and images must be as many as each other")
        rows = zip(self.names, self.prices, self.images, self.links, strict=True)
        bubbles = [product_bubble(name, price, None, image, self.button, link) for name, price, image, link in rows]
        return {"type": "carousel", "contents": bubbles}


class Coupon(Layout):
    """An offer, its code to copy, until when, and where to use it. 優惠券"""

    title: _Words
    offer: _Words
    until: _Words
    link: str
    code: str | None = None
    button: str = "去使用"

    def contents(self) -> Box:
        """A bubble."""
        offer = {"type": "text", "text": self.offer, "size": "xxl", "weight": "bold", "color": ACCENT, "wrap": True}
        buttons = [_button(self.button, self.link)]
        if self.code:
            copy = {"type": "clipboard", "label": "複製代碼", "clipboardText": self.code}
            buttons.insert(0, {"type": "button", "style": "secondary", "action": copy})
        return _bubble(None, [_title(self.title), offer, _small(self.until)], buttons)


class Reminder(Layout):
    """What is coming up, when, where, and a button. 提醒"""

    title: _Words
    when: _Words
    link: str
    where: str | None = None
    button: str = "查看"

    def contents(self) -> Box:
        """A bubble."""
        lines = [_row("時間", self.when), *([_row("地點", self.where)] if self.where else [])]
        return _bubble(None, [_title(self.title), *lines], [_button(self.button, self.link)])


class Receipt(Layout):
    """Lines of what was bought and the total: lists of the same length. 收據"""

    title: _Words
    items: Annotated[list[_Words], Field(min_length=1, max_length=30)]
    amounts: list[_Words]
    total: _Words
    link: str
    button: str = "查看訂單"

    def contents(self) -> Box:
        """A bubble. Raises BadInput when the lists differ in length."""
        if len(self.items) != len(self.amounts):
            raise BadInput("items and amounts must be as many as each other")
        lines = [_row(item, amount) for item, amount in zip(self.items, self.amounts, strict=True)]
        total = [{"type": "separator", "margin": "md"}, _row("總計", self.total)]
        return _bubble(None, [_title(self.title), *lines, *total], [_button(self.button, self.link)])


LAYOUTS: dict[str, type[Layout]] = {
    "announcement": Announcement,
    "product": ProductCard,
    "products": ProductCarousel,
    "coupon": Coupon,
    "reminder": Reminder,
    "receipt": Receipt,
}


def build_layout(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The Flex message of a layout. Raises BadInput for an unknown layout or field, InvalidMessage."""
    if name not in LAYOUTS:
        raise BadInput(f"there is no layout {name!r}; there are {', '.join(LAYOUTS)}")
    try:
        layout = LAYOUTS[name].model_validate(fields)
    except ValidationError as error:
        problems = [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors(include_url=False)]
        known = ", ".join(LAYOUTS[name].model_fields)
        raise BadInput(f"{'; '.join(problems)} (fields of {name}: {known})") from None
    return layout.message()


def product_bubble(name: str, price: str, was: str | None, image: str, button: str, link: str) -> Box:
    """A product as a card."""
    paid = [{"type": "text", "text": price, "size": "xl", "weight": "bold", "color": ACCENT, "flex": 0}]
    if was:
        paid.append({"type": "text", "text": was, "size": "sm", "color": "#999999", "decoration": "line-through"})
    prices = {"type": "box", "layout": "baseline", "spacing": "sm", "contents": paid}
    return _bubble(image, [_title(name), prices], [_button(button, link)])


def _bubble(image: str | None, body: list[Box], buttons: list[Box]) -> Box:
    bubble: Box = {"type": "bubble"}
    if image:
        bubble["hero"] = {"type": "image", "url": image, "size": "full", "aspectRatio": "20:13", "aspectMode": "cover"}
    bubble["body"] = {"type": "box", "layout": "vertical", "spacing": "md", "contents": body}
    bubble["footer"] = {"type": "box", "layout": "vertical", "spacing": "sm", "contents": buttons}
    return bubble


def _title(text: str) -> Box:
    return {"type": "text", "text": text, "size": "lg", "weight": "bold", "wrap": True}


def _words(text: str) -> Box:
    return {"type": "text", "text": text, "size": "md", "wrap": True, "color": "#555555"}


def _small(text: str) -> Box:
    return {"type": "text", "text": text, "size": "sm", "wrap": True, "color": "#999999"}


def _row(left: str, right: str) -> Box:
    name = {"type": "text", "text": left, "size": "sm", "color": "#555555", "wrap": True, "flex": 2}
    value = {"type": "text", "text": right, "size": "sm", "align": "end", "wrap": True, "flex": 3}
    return {"type": "box", "layout": "horizontal", "contents": [name, value]}


def _button(label: str, link: str) -> Box:
    action = {"type": "uri", "label": label, "uri": link}
    return {"type": "button", "style": "primary", "color": ACCENT, "action": action}
