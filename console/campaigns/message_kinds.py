"""The kinds of messages that the editor has a small form for: the fields of each, their limits as LINE counts them, and
the shape of the message that they make."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from campaigns.content.actions import MAX_CLIPBOARD, MAX_POSTBACK
from campaigns.content.any_message import MAX_QUICK_REPLIES
from campaigns.content.counting import grapheme_length, utf16_length
from campaigns.content.imagemap import MAX_ACTIONS
from campaigns.content.parts import MARK_LENGTH, MAX_ADDRESS, MAX_ALT_TEXT, MAX_URI
from campaigns.content.template import MAX_COLUMNS
from campaigns.content.text import MAX_EMOJI, MAX_TEXT
from console.campaigns.shapes import KeyedRows, OneOf, Rows, Slots, Text, Whole

Most = int | Callable[[Mapping[str, Any]], int | None] | None
Count = Callable[[str], int]


@dataclass(frozen=True)
class Field:
    """A field of a form: what it is called (in Chinese), how long it may be (by the values beside it, where it depends
    on them) and how that is counted. `lines` above 1: words of several lines. `options`: one of a few.
    `offers_coupons`: it is one of the channel's coupons on LINE."""

    name: str
    words: str
    most: Most = None
    count: Count = utf16_length
    lines: int = 1
    options: tuple[str, ...] = ()
    offers_coupons: bool = False

    def limit(self, values: Mapping[str, Any]) -> int | None:
        """How long it may be beside these values; None: as long as one likes."""
        return self.most(values) if callable(self.most) else self.most


@dataclass(frozen=True)
class Slot:
    """Fields that come several times in a form, such as a button: their names begin with `prefix`."""

    prefix: str
    words: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Repeated:
    """What a form has as many of as one likes, up to `most`."""

    words: str
    most: int
    fields: tuple[Field, ...]
    slots: tuple[Slot, ...] = ()


@dataclass(frozen=True)
class Kind:
    """A kind of message: its fields, and the shape that they fill. `note`: what one should know (in Chinese)."""

    fields: tuple[Field, ...]
    shape: Any
    slots: tuple[Slot, ...] = ()
    rows: Repeated | None = None
    note: str = ""


LABEL = 20
DOS = ("uri", "message", "postback", "clipboard")
QUICK_DOS = (*DOS, "camera", "cameraRoll", "location")  # the last three open something, and need no more words


def _value_most(do: Mapping[str, Any]) -> int | None:
    by_kind = {"uri": MAX_URI, "message": MAX_POSTBACK, "clipboard": MAX_CLIPBOARD}
    return {**by_kind, "postback": MAX_POSTBACK - MARK_LENGTH}.get(do.get("do", ""), None if do.get("do") else MAX_URI)


def _action_fields(label: int, dos: tuple[str, ...] = DOS) -> tuple[Field, ...]:
    return (
        Field("do", "按了會", options=dos),
        Field("label", "按鈕文字", label, grapheme_length),
        Field("value", "連結、文字或資料", _value_most),
    )


def _action_shape(*, may_lack_label: bool = False) -> dict[str, Any]:
    label = Text("label", may_lack=may_lack_label)
    return {
        "uri": {"type": "uri", "label": label, "uri": Text("value")},
        "message": {"type": "message", "label": label, "text": Text("value")},
        "postback": {"type": "postback", "label": label, "data": Text("value")},
        "clipboard": {"type": "clipboard", "label": label, "clipboardText": Text("value")},
    }


def _buttons(count: int) -> tuple[Slot, ...]:
    return tuple(Slot(f"a{n}-", "按鈕", _action_fields(LABEL)) for n in range(count))


def _slots(count: int) -> Slots:
    return Slots(tuple(f"a{n}-" for n in range(count)), OneOf("do", _action_shape()))


def _text_most(alone: int, below: int) -> Callable[[Mapping[str, Any]], int]:
    """A text has less room below a picture or a title."""
    return lambda values: below if values.get("image") or values.get("title") else alone


def _pictured(alone: int, below: int) -> tuple[Field, ...]:
    return (
        Field("image", "圖片網址（https，可留空）", MAX_ADDRESS),
        Field("title", "標題（可留空）", 40, grapheme_length),
        Field("text", "內文", _text_most(alone, below), grapheme_length, lines=3),
    )


_PICTURED: dict[str, Any] = {
    "thumbnailImageUrl": Text("image", may_lack=True),
    "title": Text("title", may_lack=True),
    "text": Text("text"),
}
_ALT = Field("alt", "通知上的文字", MAX_ALT_TEXT)
_PICTURE = Field("url", "圖片網址（https）", MAX_ADDRESS)
_AREA = {name: Whole(name) for name in ("x", "y", "width", "height")}
_AREA_LABEL = Text("label", may_lack=True)
_AREA_SHAPES = {
    "uri": {"type": "uri", "label": _AREA_LABEL, "linkUri": Text("value"), "area": _AREA},
    "message": {"type": "message", "label": _AREA_LABEL, "text": Text("value"), "area": _AREA},
    "clipboard": {"type": "clipboard", "label": _AREA_LABEL, "clipboardText": Text("value"), "area": _AREA},
}


def _area_value_most(area: Mapping[str, Any]) -> int:
    return {"message": 400, "clipboard": MAX_CLIPBOARD}.get(area.get("do", ""), MAX_URI)


def _template(**template: Any) -> dict[str, Any]:
    return {"type": "template", "altText": Text("alt"), "template": template}


KINDS: dict[str, Kind] = {
    "text": Kind((Field("text", "文字", MAX_TEXT, lines=6),), {"type": "text", "text": Text("text")}),
    "textV2": Kind(
        (Field("text", "文字", MAX_TEXT, lines=6),),
        {
            "type": "textV2",
            "text": Text("text"),
            "substitution": KeyedRows("key", {"type": "emoji", "productId": Text("product"), "emojiId": Text("emoji")}),
        },
        rows=Repeated(
            "LINE 表情貼",
            MAX_EMOJI,
            (
                Field("key", "代號（在文字裡用大括號括起來）", 20),
                Field("product", "productId", 100),
                Field("emoji", "emojiId", 100),
            ),
        ),
        note="表情貼的兩個 ID 查 LINE 的表情貼清單。提及（@）只能用在群組，活動是一對一發送，所以沒有。",
    ),
    "image": Kind(
        (_PICTURE, Field("preview", "預覽圖網址（可留空）", MAX_ADDRESS)),
        {"type": "image", "originalContentUrl": Text("url"), "previewImageUrl": Text("preview", instead="url")},
        note="JPEG 或 PNG，最大 10 MB；預覽圖最大 1 MB。",
    ),
    "video": Kind(
        (
            Field("url", "影片網址（https）", MAX_ADDRESS),
            Field("preview", "預覽圖網址", MAX_ADDRESS),
            Field("tracking", "看完的追蹤代號（可留空）", 100),
        ),
        {
            "type": "video",
            "originalContentUrl": Text("url"),
            "previewImageUrl": Text("preview"),
            "trackingId": Text("tracking", may_lack=True),
        },
        note="MP4，最大 200 MB；預覽圖最大 1 MB。",
    ),
    "imagemap": Kind(
        (_PICTURE, _ALT, Field("base_height", "圖高（圖寬算 1040）")),
        {
            "type": "imagemap",
            "baseUrl": Text("url"),
            "altText": Text("alt"),
            "baseSize": {"width": 1040, "height": Whole("base_height")},
            "actions": Rows(OneOf("do", _AREA_SHAPES)),
        },
        rows=Repeated(
            "可點的區域",
            MAX_ACTIONS,
            (
                *(Field("x", "左邊起"), Field("y", "上面起"), Field("width", "寬"), Field("height", "高")),
                Field("do", "按了會", options=tuple(_AREA_SHAPES)),
                Field("label", "朗讀文字（可留空）", 100),
                Field("value", "連結、文字或資料", _area_value_most),
            ),
        ),
        note="LINE 會在網址後面加上 /240、/300、/460、/700、/1040 取圖，網址不要有 .png。",
    ),
    "buttons": Kind(
        (_ALT, *_pictured(160, 60)),
        _template(type="buttons", **_PICTURED, actions=_slots(4)),
        _buttons(4),
    ),
    "confirm": Kind(
        (_ALT, Field("text", "問題", 240, grapheme_length, lines=3)),
        _template(type="confirm", text=Text("text"), actions=_slots(2)),
        _buttons(2),
    ),
    "carousel": Kind(
        (_ALT,),
        _template(type="carousel", columns=Rows({**_PICTURED, "actions": _slots(3)})),
        rows=Repeated("卡片", MAX_COLUMNS, _pictured(120, 60), _buttons(3)),
        note="每張卡片的按鈕數要一樣，圖片與標題也要都有或都沒有。",
    ),
    "pictures": Kind(
        (_ALT,),
        _template(
            type="image_carousel",
            columns=Rows({"imageUrl": Text("image"), "action": OneOf("do", _action_shape(may_lack_label=True))}),
        ),
        rows=Repeated("圖片", MAX_COLUMNS, (Field("image", "圖片網址（https）", MAX_ADDRESS), *_action_fields(12))),
    ),
    "coupon": Kind(
        (
            Field("coupon", "優惠券 ID（點一下就列出）", 100, offers_coupons=True),
            Field("tag", "統計用的代號（可留空）", 30),
        ),
        {"type": "coupon", "couponId": Text("coupon"), "deliveryTag": Text("tag", may_lack=True)},
        note="在 LINE 官方帳號後台建立的優惠券；每個人拿到的是同一張。",
    ),
}
_NEEDS_NO_VALUE = {name: {"type": name, "label": Text("label")} for name in QUICK_DOS if name not in DOS}
QUICK_REPLIES = Kind(
    (),
    {
        "items": Rows(
            {
                "type": "action",
                "imageUrl": Text("icon", may_lack=True),
                "action": OneOf("do", {**_action_shape(), **_NEEDS_NO_VALUE}),
            }
        )
    },
    rows=Repeated(
        "快速回覆",
        MAX_QUICK_REPLIES,
        (*_action_fields(LABEL, QUICK_DOS), Field("icon", "圖示網址（https，可留空）", MAX_ADDRESS)),
    ),
)


def all_fields(kind: Kind) -> Iterator[tuple[str, Field]]:
    """(name in the form, field) of a kind's own fields and its slots; those of its rows are left out."""
    yield from ((field.name, field) for field in kind.fields)
    yield from ((slot.prefix + field.name, field) for slot in kind.slots for field in slot.fields)


def row_fields(rows: Repeated) -> Iterator[tuple[str, Field]]:
    """The same of one row."""
    yield from ((field.name, field) for field in rows.fields)
    yield from ((slot.prefix + field.name, field) for slot in rows.slots for field in slot.fields)
