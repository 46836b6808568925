"""A content's forms and its JSON: neither loses what the other made, whatever was typed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.content.layouts import LAYOUTS
from campaigns.content.message import check_messages
from console.campaigns.message_kinds import DOS, KINDS, QUICK_DOS, QUICK_REPLIES, Field, Repeated, row_fields
from console.campaigns.message_parts import (
    KINDS_IN_ORDER,
    content_of_messages,
    is_list,
    json_part,
    messages_of,
    part_messages,
    part_of,
)
from console.campaigns.shapes import ROWS, is_blank
from console.words import names
from console.words.catalog import english
from simulator.checks import check_messages as line_check
from store.errors import BadInput
from tests.campaigns.content.messages import good
from tests.campaigns.content.test_layouts import FIELDS

WORDS = st.sampled_from(["", "", "甲", "🍎 {{ name or '您' }}", "https://a.example/a?b=1", "{x}", "a\nb", " ", "007"])
NUMBERS = {"x", "y", "width", "height", "base_height"}


def value_of(field: Field) -> st.SearchStrategy[str]:
    if field.options:
        return st.sampled_from(field.options)
    return st.sampled_from(["", "0", "520", "a"]) if field.name in NUMBERS else WORDS


def rows_of(rows: Repeated) -> st.SearchStrategy[list[dict[str, str]]]:
    row = st.fixed_dictionaries({name: value_of(field) for name, field in row_fields(rows)})
    return st.lists(row, max_size=4)


@st.composite
def forms(draw: st.DrawFn) -> dict[str, Any]:
    """A form of any kind, filled in somehow."""
    name = draw(st.sampled_from(sorted(KINDS)))
    kind = KINDS[name]
    part: dict[str, Any] = {"kind": name} | {field.name: draw(value_of(field)) for field in kind.fields}
    for slot in kind.slots:
        part |= {slot.prefix + field.name: draw(value_of(field)) for field in slot.fields}
    if kind.rows is not None:
        part[ROWS] = draw(rows_of(kind.rows))
    return part


def written(part: Any) -> list[str]:
    """All that a marketer wrote, in order of the alphabet; a choice alone is nothing."""
    if isinstance(part, list):
        return sorted(text for row in part for text in written(row))
    choices = {name for name in part if name.rpartition("-")[2] == "do"}
    texts = [value for name, value in part.items() if isinstance(value, str) and name not in {*choices, "kind"}]
    return sorted([text for text in texts if text] + written(part.get(ROWS, [])))


@given(forms())
def test_a_form_made_json_and_read_again_is_the_form(part: dict[str, Any]) -> None:
    try:
        [message] = part_messages(part)
    except BadInput:
        keys = [row["key"] for row in part[ROWS] if not is_blank(row)]
        assert len(set(keys)) < len(keys)  # the one thing that a form can hold and JSON can't
        return
    again = part_of(json.loads(json.dumps(message)))
    assert again is not None
    assert again["kind"] == part["kind"]
    assert part_messages(again) == [message]
    assert part_of(message) == again
    if part["kind"] != "image" or part["preview"] != part["url"]:  # a preview like the picture is left empty
        assert written(again) == written(part)


@given(st.lists(st.sampled_from(sorted(good())), min_size=1, max_size=5), forms(), st.booleans())
def test_messages_read_into_forms_make_the_same_messages(names: list[str], part: Any, has_part: bool) -> None:
    messages = [good()[name] for name in names]
    if has_part and part["kind"] != "textV2":
        messages[0:1] = part_messages(part)
    content = content_of_messages(messages)
    assert messages_of(content) == messages
    assert messages_of(json.loads(json.dumps(content))) == messages  # as a draft keeps it


@given(rows_of(QUICK_REPLIES.rows or pytest.fail("quick replies are rows")))
def test_quick_replies_stand_on_the_last_message_and_are_read_again(rows: list[dict[str, str]]) -> None:
    content = {"messages": [{"kind": "text", "text": "甲"}, {"kind": "text", "text": "乙"}], "replies": rows}
    first, last = messages_of(content)
    assert "quickReply" not in first
    assert len(last.get("quickReply", {"items": []})["items"]) == sum(not is_blank(row) for row in rows)
    again = content_of_messages([first, last])
    assert messages_of(again) == [first, last]
    if all(row["label"] for row in rows):  # without its label, a button that opens the camera says nothing
        assert [part["kind"] for part in again["messages"]] == ["text", "text"]


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("lacks", [(), ("image",), ("was",), ("where",), ("code",), ("button",)])
def test_a_card_made_json_is_read_again_as_its_layout(name: str, lacks: tuple[str, ...]) -> None:
    layout = LAYOUTS[name]
    may_lack = {
        field for field in lacks if layout.model_fields.get(field) and not layout.model_fields[field].is_required()
    }
    given_fields = {"button": "買", **FIELDS[name]}
    texts = {
        field: "\n".join(value) if is_list(layout, field) else value
        for field, value in given_fields.items()
        if field not in may_lack
    }
    part = {"kind": "card", "layout": name, "fields": texts}
    [message] = part_messages(part)
    assert part_of(message) == part
    message["contents"]["styles"] = {}
    assert part_of(message) is None  # what the layout would not write is never lost


def test_what_no_form_holds_stays_json() -> None:
    for name in ("text with emoji", "flex", "flex carousel", "another sender"):
        content = content_of_messages([good()[name]])
        assert content == {"messages": [json_part(good()[name])], "replies": []}
    kinds = {part["kind"] for message in good().values() for part in content_of_messages([message])["messages"]}
    assert kinds == {*KINDS_IN_ORDER, "card"} - {"card", "imagemap"}  # that imagemap has a video on it
    two = {"messages": [json_part(good()["quick replies"])], "replies": [{"do": "message", "label": "a", "value": "a"}]}
    with pytest.raises(BadInput, match="its own quickReply"):
        messages_of(two)


def test_a_form_well_filled_in_is_taken_by_us_and_by_line() -> None:
    tap = {"do": "uri", "label": "去", "value": "https://a.example/"}
    taps = {f"a{n}-{name}": value for n in range(2) for name, value in tap.items()}
    address, area = "https://a.example/a.png", {"x": "0", "y": "0", "width": "1040", "height": "520"}
    filled: dict[str, dict[str, Any]] = {
        "text": {"text": "甲"},
        "textV2": {"text": "{a} 甲", ROWS: [{"key": "a", "product": "5ac1", "emoji": "001"}]},
        "image": {"url": address},
        "video": {"url": "https://a.example/a.mp4", "preview": address, "tracking": "w1"},
        "imagemap": {"url": "https://a.example/m", "alt": "圖", "base_height": "520", ROWS: [{**tap, **area}]},
        "buttons": {"alt": "選單", "title": "標題", "text": "內文", **taps},
        "confirm": {"alt": "選單", "text": "好嗎", **taps},
        "carousel": {
            "alt": "選單",
            ROWS: [{"title": "一", "text": "內文", **taps}, {"title": "二", "text": "內文", **taps}],
        },
        "pictures": {"alt": "選單", ROWS: [{"image": address, **tap}]},
        "coupon": {"coupon": "01JY", "tag": "w"},
    }
    assert filled.keys() == KINDS.keys()
    for name, fields in filled.items():
        messages = messages_of({"messages": [{"kind": name, **fields}], "replies": [tap]})
        check_messages(messages, way="push")
        assert line_check(messages) == [], name


def test_every_kind_field_and_tap_has_words_in_both_languages() -> None:
    assert set(names.MESSAGE_KINDS) == set(KINDS_IN_ORDER)
    assert set(names.TAP_WORDS) == set(QUICK_DOS) > set(DOS)
    texts = [*names.MESSAGE_KINDS.values(), *names.TAP_WORDS.values()]
    for kind in (*KINDS.values(), QUICK_REPLIES):
        slots = [*kind.slots, *(kind.rows.slots if kind.rows else ())]
        texts += [kind.note, *(slot.words for slot in slots), kind.rows.words if kind.rows else ""]
        fields = [
            *kind.fields,
            *(field for slot in slots for field in slot.fields),
            *(kind.rows.fields if kind.rows else ()),
        ]
        texts += [field.words for field in fields]
    assert [text for text in texts if text and text not in english()] == []
