"""The editor's page of contents: its buttons, its lengths, other languages, and who gets which version."""

import json
import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, select

from console.campaigns.draft_content import press
from console.campaigns.draft_what import lengths_of
from store.engine import reading, transaction
from store.models import Campaign, Customer, Variant
from tests.console.conftest import page, send
from tests.console.test_drafts import begin, checked, people, step, write

__all__ = ["people"]
AN_IMAGE = {"kind": "image", "url": "https://a.example/a.png", "preview": ""}


def content(*texts: str) -> dict[str, Any]:
    return {"messages": [{"kind": "text", "text": text} for text in texts], "replies": [], "weight": "1"}


def texts(variant: dict[str, Any]) -> str:
    return "".join(part["text"] for part in variant["messages"])


@pytest.mark.parametrize(
    ("pressed", "left", "focus"),
    [
        ("up-v0-m1", "乙甲丙", "press-down-v0-m0"),
        ("up-v0-m2", "甲丙乙", "press-up-v0-m1"),
        ("down-v0-m0", "乙甲丙", "press-down-v0-m1"),
        ("down-v0-m1", "甲丙乙", "press-up-v0-m2"),
        ("up-v0-m0", "甲乙丙", ""),
        ("down-v0-m2", "甲乙丙", ""),
        ("copy-v0-m0", "甲甲乙丙", "v0-m1-kind"),
        ("drop-v0-m0", "乙丙", "v0-m0-kind"),
        ("drop-v0-m9", "甲乙丙", ""),
        ("drop-v3-m0", "甲乙丙", ""),
        ("add-v0", "甲乙丙", "v0-m3-kind"),
        ("sing-v0-m0", "甲乙丙", ""),
        ("drop-variant-0", "甲乙丙", "press-add-variant"),
    ],
)
def test_a_button_moves_copies_and_removes_and_keeps_the_keyboard(pressed: str, left: str, focus: str) -> None:
    variants = [content("甲", "乙", "丙")]
    found = press(variants, pressed)
    assert (texts(variants[0]), found.focus, found.problem) == (left, focus, None)


def test_there_are_never_more_than_five_messages_nor_none() -> None:
    variants = [content("甲")]
    for _ in range(7):
        press(variants, "add-v0")
        press(variants, "copy-v0-m0")
    assert len(variants[0]["messages"]) == 5
    for _ in range(7):
        press(variants, "drop-v0-m0")
    assert len(variants[0]["messages"]) == 1


def test_a_message_becomes_json_and_a_form_again_and_json_without_a_form_stays() -> None:
    variants = [{**content("甲"), "messages": [dict(AN_IMAGE)]}]
    assert press(variants, "json-v0-m0").focus == "v0-m0-json"
    part = variants[0]["messages"][0]
    assert json.loads(part["json"])["originalContentUrl"] == AN_IMAGE["url"]
    press(variants, "form-v0-m0")
    assert variants[0]["messages"] == [AN_IMAGE]
    for text in ("{", "[]", "3", '{"type": "sticker"}', json.dumps([{"type": "text", "text": "a"}] * 6)):
        variants[0]["messages"] = [{"kind": "json", "json": text}]
        assert press(variants, "form-v0-m0").problem is not None, text
        assert variants[0]["messages"] == [{"kind": "json", "json": text}]
    quick = {"items": [{"type": "action", "action": {"type": "message", "label": "好", "text": "好"}}]}
    both = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "quickReply": quick}]
    variants[0]["messages"] = [{"kind": "json", "json": json.dumps(both)}]
    press(variants, "form-v0-m0")
    assert texts(variants[0]) == "ab"
    assert variants[0]["replies"] == [{"do": "message", "label": "好", "value": "好", "icon": ""}]


def test_rows_are_added_and_removed_up_to_what_line_takes() -> None:
    variants = [{**content("甲"), "messages": [{"kind": "carousel", "alt": "", "rows": []}]}]
    for _ in range(12):
        press(variants, "more-v0-m0")
    assert len(variants[0]["messages"][0]["rows"]) == 10
    assert press(variants, "less-v0-m0-r3").focus == "press-more-v0-m0"
    assert len(variants[0]["messages"][0]["rows"]) == 9
    for _ in range(15):
        found = press(variants, "more-v0")
    assert len(variants[0]["replies"]) == 13
    assert found.focus == "press-more-v0"
    assert press([content("甲")], "more-v0-m0").focus == ""  # a text has no rows


def test_lengths_are_told_as_line_counts_them() -> None:
    family = "👨‍👩‍👧"
    buttons = {"kind": "buttons", "alt": family, "title": "", "text": family, "a0-do": "uri", "a0-label": family}
    pictured = {**buttons, "image": "https://a.example/a.png", "a0-do": "message", "a0-value": "x"}
    bubble = {"type": "flex", "altText": "a", "contents": {"type": "bubble"}}
    parts = [buttons, pictured, {"kind": "json", "json": json.dumps(bubble)}]
    found = lengths_of([{"messages": parts, "replies": [{"do": "postback", "label": "🍎", "value": ""}]}])
    told = {name: (one.length, one.most) for name, one in found.items()}
    assert told["v0-m0-alt"] == (8, 1500)  # UTF-16
    assert told["v0-m0-text"] == (1, 160)  # grapheme clusters
    assert told["v0-m1-text"] == (1, 60)  # below a picture
    assert told["v0-m0-a0-label"] == (1, 20)
    assert (told["v0-m0-a0-value"][1], told["v0-m1-a0-value"]) == (1000, (1, 300))
    assert told["v0-m2-json"] == (len('{"type":"bubble"}'), 30 * 1024)
    assert found["v0-m2-json"].is_bytes
    assert told["v0-q-r0-value"][1] == 300 - 36


def test_a_message_moved_on_the_page_keeps_what_was_typed_and_the_keyboard(client: FlaskClient, people: None) -> None:
    draft = begin(client)
    fields = {f"v0-m{n}-kind": "text" for n in range(2)} | {"v0-m0-text": "甲", "v0-m1-text": "乙"}
    answer = step(client, draft, "what", press="up-v0-m1", **fields)
    text = page(client, str(answer.location))
    assert re.search(r'id="press-down-v0-m0"[^>]*autofocus', text)
    assert re.search(r'name="v0-m0-text"[^>]*>乙<', text)
    wrong = {**fields, "v0-m0-kind": "json", "v0-m0-was": "json", "v0-m0-json": '{"type": "sticker"}'}
    answer = step(client, draft, "what", press="form-v0-m0", **wrong)
    assert "沒有表單可以放" in page(client, str(answer.location))
    switched = {**fields, "v0-m0-kind": "json", "v0-m0-was": "text"}  # by the list of kinds: nothing typed is lost
    text = page(client, str(step(client, draft, "what", press="stay", **switched).location))
    assert "&#34;text&#34;: &#34;甲&#34;" in text


def test_who_reads_another_language_gets_its_version(client: FlaskClient, engine: Engine, people: None) -> None:
    with transaction(engine) as session:
        reader = session.get_one(Customer, 2)
        reader.language = "en-US"
        session.add(reader)
    draft = begin(client)
    write(client, draft)
    plain = {"v0-m0-kind": "text", "v0-m0-text": "您好"}
    answer = step(client, draft, "what", press="translate-v0", **plain)
    assert answer.location.endswith("focus=v0l0-language")
    assert 'name="v0l0-m0-text"' in page(client, f"{draft}/what")
    english = {"v0l0-m0-kind": "text", "v0l0-m0-text": "Hello"}
    step(client, draft, "what", **plain, **english, **{"v0l0-language": ""})
    assert "哪種語言" in client.get(f"{draft}/check").get_data(as_text=True)
    fields = {**plain, **english, "v0l0-language": "en"}
    seen = [send(client, f"{draft}/preview", **fields, **{"as": str(n)}).get_data(as_text=True) for n in range(5)]
    assert [("Hello<" in text, "您好<" in text) for text in seen[:2]] == [(False, True), (True, False)]
    assert "Hello<" in seen[4]  # an example of who reads it, after the four of the audience
    told = re.findall(r'<li>([^：]+)：<span class="pill">([^<]+)<', seen[0])
    assert [version for _, version in told] == ["一般版本", "en", "一般版本", "一般版本", "en"]
    step(client, draft, "what", **fields)
    checked(client, draft)
    with reading(engine) as session:
        assert session.scalars(select(Variant)).one().languages == {"en": [{"type": "text", "text": "Hello"}]}
        assert session.scalars(select(Campaign)).one().state == "draft"
    step(client, draft, "what", press="untranslate-v0l0", **fields)
    assert "v0l0" not in page(client, f"{draft}/what")


def test_what_is_wrong_in_one_language_names_its_version(client: FlaskClient, people: None) -> None:
    draft = begin(client)
    write(client, draft)
    fields = {
        "v0-m0-kind": "text",
        "v0-m0-text": "您好",
        "v0l0-m0-kind": "text",
        "v0l0-m0-text": "",
        "v0l0-language": "en",
    }
    step(client, draft, "what", **fields)
    assert "A · en 第 1 則 text 是空的" in client.get(f"{draft}/check").get_data(as_text=True)
