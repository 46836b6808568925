"""What the message checks accept and refuse, at the limits."""

import json
from typing import Any

import pytest

from simulator.checks import check_messages, grapheme_length, utf16_length

Message = dict[str, Any]


def flex(*, alt_text: str = "特賣", contents: Any = None) -> Message:
    return {"type": "flex", "altText": alt_text, "contents": contents if contents is not None else bubble("您好")}


def bubble(*words: str) -> Message:
    texts = [{"type": "text", "text": word} for word in words]
    return {"type": "bubble", "body": {"type": "box", "layout": "vertical", "contents": texts}}


def bubble_of(size: int) -> Message:
    """A bubble that is exactly `size` bytes of JSON without spaces."""
    empty = len(json.dumps(bubble("")).replace(" ", ""))
    return bubble("x" * (size - empty))


def buttons(**fields: Any) -> Message:
    template = {"type": "buttons", "text": "選一個", "actions": [uri_action()]} | fields
    return {"type": "template", "altText": "選單", "template": template}


def uri_action(**fields: Any) -> Message:
    return {"type": "uri", "label": "去看看", "uri": "https://shop.example/a"} | fields


def quick_replies(count: int) -> Message:
    item = {"type": "action", "action": {"type": "message", "label": "好", "text": "好"}}
    return {"type": "text", "text": "好嗎", "quickReply": {"items": [item] * count}}


GOOD: dict[str, Message] = {
    "text of 5,000": {"type": "text", "text": "字" * 5000},
    "text of 2,500 emoji of two units": {"type": "text", "text": "🍎" * 2500},
    "flex": flex(),
    "flex with an alt text of 1,500": flex(alt_text="字" * 1500),
    "bubble of 30 KB": flex(contents=bubble_of(30 * 1024)),
    "carousel of 12": flex(contents={"type": "carousel", "contents": [bubble("好")] * 12}),
    "13 quick replies": quick_replies(13),
    "buttons with text of 160": buttons(text="字" * 160),
    "buttons with a family emoji counted as one": buttons(text="👨‍👩‍👧‍👦" * 160),
    "label of 20": buttons(actions=[uri_action(label="字" * 20)]),
    "uri of 1,000": buttons(actions=[uri_action(uri="https://a/" + "x" * 990)]),
    "sticker": {"type": "sticker", "packageId": "446", "stickerId": "1988"},
    "image": {"type": "image", "originalContentUrl": "https://a/b.png", "previewImageUrl": "https://a/c.png"},
    "substituted text": {
        "type": "textV2",
        "text": "您好 {laugh} {{}}",
        "substitution": {"laugh": {"type": "emoji", "productId": "5a", "emojiId": "002"}},
    },
    "coupon": {"type": "coupon", "couponId": "01JYNW8JMQVFBNWF1APF8Z3FS7"},
}

BAD: dict[str, tuple[Message, str]] = {
    "no text": ({"type": "text"}, "messages[0].text"),
    "empty text": ({"type": "text", "text": ""}, "messages[0].text"),
    "text that is a number": ({"type": "text", "text": 5}, "messages[0].text"),
    "text of 5,001": ({"type": "text", "text": "字" * 5001}, "messages[0].text"),
    "2,501 emoji of two units": ({"type": "text", "text": "🍎" * 2501}, "messages[0].text"),
    "unknown type": ({"type": "poem", "text": "x"}, "messages[0].type"),
    "no type": ({"text": "x"}, "messages[0].type"),
    "alt text of 1,501": (flex(alt_text="字" * 1501), "messages[0].altText"),
    "no alt text": ({"type": "flex", "contents": bubble("好")}, "messages[0].altText"),
    "bubble of 30 KB and a byte": (flex(contents=bubble_of(30 * 1024 + 1)), "messages[0].contents"),
    "carousel of 13": (
        flex(contents={"type": "carousel", "contents": [bubble("好")] * 13}),
        "messages[0].contents.contents",
    ),
    "carousel over 50 KB": (
        flex(contents={"type": "carousel", "contents": [bubble_of(26 * 1024)] * 2}),
        "messages[0].contents",
    ),
    "wrong text deep in a bubble": (
        flex(contents={"type": "carousel", "contents": [bubble("好"), bubble(5)]}),  # type: ignore[arg-type]
        "messages[0].contents.contents[1].body.contents[0].text",
    ),
    "14 quick replies": (quick_replies(14), "messages[0].quickReply.items"),
    "buttons with text of 161": (buttons(text="字" * 161), "messages[0].template.text"),
    "buttons with title and text of 61": (buttons(title="標題", text="字" * 61), "messages[0].template.text"),
    "label of 21": (buttons(actions=[uri_action(label="字" * 21)]), "messages[0].template.actions[0].label"),
    "uri of 1,001": (
        buttons(actions=[uri_action(uri="https://a/" + "x" * 991)]),
        "messages[0].template.actions[0].uri",
    ),
    "uri with a wrong scheme": (
        buttons(actions=[uri_action(uri="javascript:alert(1)")]),
        "messages[0].template.actions[0].uri",
    ),
    "image over http": (
        {"type": "image", "originalContentUrl": "http://a/b.png", "previewImageUrl": "https://a/c.png"},
        "messages[0].originalContentUrl",
    ),
    "sender name of 21": (
        {"type": "text", "text": "x", "sender": {"name": "字" * 21}},
        "messages[0].sender.name",
    ),
}


@pytest.mark.parametrize("message", GOOD.values(), ids=GOOD.keys())
def test_a_message_within_the_limits_is_accepted(message: Message) -> None:
    assert check_messages([message]) == []


@pytest.mark.parametrize(("message", "where"), BAD.values(), ids=BAD.keys())
def test_a_wrong_message_is_refused_naming_the_property(message: Message, where: str) -> None:
    assert [detail["property"] for detail in check_messages([message])] == [where]


@pytest.mark.parametrize(
    "messages", [None, [], {}, "text", [GOOD["sticker"]] * 6], ids=["none", "empty", "object", "text", "six"]
)
def test_anything_but_one_to_five_messages_is_refused(messages: Any) -> None:
    assert [detail["property"] for detail in check_messages(messages)] == ["messages"]
    assert check_messages([GOOD["sticker"]] * 5) == []


@pytest.mark.parametrize(
    "message",
    [
        5,
        None,
        [],
        {"type": 5},
        flex(contents=[1]),
        flex(contents={"type": "box"}),
        flex(contents={}),
        flex(contents="x"),
        {"type": "template", "altText": "x", "template": {"type": "nope"}},
        {"type": "text", "text": "x", "quickReply": "x"},
        {"type": "text", "text": "x", "sender": 5},
        {"type": "text", "text": "x", "emojis": [5]},
    ],
    ids=repr,
)
def test_nonsense_is_refused_without_a_crash(message: Any) -> None:
    assert check_messages([message])


def test_every_wrong_message_is_named_in_one_answer() -> None:
    found = check_messages([{"type": "text"}, GOOD["sticker"], {"type": "text", "text": ""}])
    assert [detail["property"] for detail in found] == ["messages[0].text", "messages[2].text"]


def test_quick_replies_belong_on_the_last_message() -> None:
    assert check_messages([GOOD["sticker"], quick_replies(1)]) == []
    found = check_messages([quick_replies(1), GOOD["sticker"]])
    assert [detail["property"] for detail in found] == ["messages[0].quickReply"]


def test_lengths_count_what_line_counts() -> None:
    assert (utf16_length("🍎字a"), grapheme_length("🍎字a")) == (4, 3)
    assert grapheme_length("👨‍👩‍👧‍👦") == 1
