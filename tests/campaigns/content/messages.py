"""Messages of every kind that LINE would take, for tests to spoil."""

from copy import deepcopy
from typing import Any

Message = dict[str, Any]

ADDRESS = "https://cdn.shop.example/a.png"


def uri(**more: Any) -> Message:
    return {"type": "uri", "label": "去看看", "uri": "https://shop.example/a?b=1"} | more


def button(**more: Any) -> Message:
    return {"type": "button", "action": uri()} | more


def bubble(*components: Message, **more: Any) -> Message:
    body = {"type": "box", "layout": "vertical", "contents": list(components) or [{"type": "text", "text": "您好"}]}
    return {"type": "bubble", "body": body} | more


def flex(contents: Message | None = None, **more: Any) -> Message:
    return {"type": "flex", "altText": "特賣", "contents": contents or bubble()} | more


def card(**more: Any) -> Message:
    return {"title": "標題", "text": "內文", "thumbnailImageUrl": ADDRESS, "actions": [uri()]} | more


def template(kind: str, **more: Any) -> Message:
    parts: dict[str, Message] = {
        "buttons": card(),
        "confirm": {"text": "好嗎", "actions": [uri(), {"type": "message", "label": "好", "text": "好"}]},
        "carousel": {"columns": [card(), card()]},
        "image_carousel": {"columns": [{"imageUrl": ADDRESS, "action": uri()}]},
    }
    return {"type": "template", "altText": "選單", "template": {"type": kind, **parts[kind], **more}}


AREA = {"x": 0, "y": 0, "width": 1040, "height": 520}

_GOOD: dict[str, Message] = {
    "text": {"type": "text", "text": "週年慶"},
    "text with emoji": {
        "type": "text",
        "text": "🍎$好",
        "emojis": [{"index": 2, "productId": "5ac1", "emojiId": "001"}],
    },
    "textV2": {
        "type": "textV2",
        "text": "您好 {laugh}",
        "substitution": {"laugh": {"type": "emoji", "productId": "5ac1", "emojiId": "001"}},
    },
    "image": {"type": "image", "originalContentUrl": ADDRESS, "previewImageUrl": ADDRESS},
    "video": {
        "type": "video",
        "originalContentUrl": "https://cdn.shop.example/a.mp4",
        "previewImageUrl": ADDRESS,
        "trackingId": "winter-1",
    },
    "imagemap": {
        "type": "imagemap",
        "baseUrl": "https://cdn.shop.example/map",
        "altText": "地圖",
        "baseSize": {"width": 1040, "height": 1040},
        "video": {
            "originalContentUrl": "https://cdn.shop.example/a.mp4",
            "previewImageUrl": ADDRESS,
            "area": AREA,
            "externalLink": {"linkUri": "https://shop.example/more", "label": "更多"},
        },
        "actions": [
            {"type": "uri", "label": "看", "linkUri": "https://shop.example/a", "area": AREA},
            {"type": "message", "text": "好", "area": AREA},
            {"type": "clipboard", "clipboardText": "SALE", "area": AREA},
        ],
    },
    "buttons": template("buttons"),
    "confirm": template("confirm"),
    "carousel": template("carousel"),
    "image carousel": template("image_carousel"),
    "flex": flex(
        bubble(
            {"type": "text", "text": "您好", "color": "#FF0000", "action": uri()},
            {"type": "text", "contents": [{"type": "span", "text": "特"}, {"type": "span", "text": "價"}]},
            {
                "type": "box",
                "layout": "baseline",
                "contents": [{"type": "icon", "url": ADDRESS}, {"type": "text", "text": "五星"}],
            },
            button(),
            {"type": "separator", "margin": "md"},
            hero={"type": "image", "url": ADDRESS, "aspectRatio": "20:13", "size": "full"},
        )
    ),
    "flex with a video": flex(
        bubble(
            size="mega",
            hero={
                "type": "video",
                "url": "https://cdn.shop.example/a.mp4",
                "previewUrl": ADDRESS,
                "altContent": {"type": "image", "url": ADDRESS},
                "aspectRatio": "20:13",
                "action": uri(),
            },
        )
    ),
    "flex carousel": flex({"type": "carousel", "contents": [bubble(), bubble(button())]}),
    "coupon": {"type": "coupon", "couponId": "01JYNW8JMQVFBNWF1APF8Z3FS7", "deliveryTag": "winter_2026"},
    "quick replies": {
        "type": "text",
        "text": "想看什麼",
        "quickReply": {
            "items": [
                {"type": "action", "imageUrl": ADDRESS, "action": uri()},
                {"type": "action", "action": {"type": "postback", "label": "券", "data": "a=1", "displayText": "券"}},
                {
                    "type": "action",
                    "action": {
                        "type": "datetimepicker",
                        "label": "預約",
                        "data": "book",
                        "mode": "date",
                        "min": "2026-01-01",
                        "max": "2026-12-31",
                    },
                },
                {"type": "action", "action": {"type": "camera", "label": "拍照"}},
                {"type": "action", "action": {"type": "location", "label": "位置"}},
            ]
        },
    },
    "another sender": {"type": "text", "text": "您好", "sender": {"name": "小編", "iconUrl": ADDRESS}},
}


def good() -> dict[str, Message]:
    """Name -> message, fresh copies."""
    return deepcopy(_GOOD)
