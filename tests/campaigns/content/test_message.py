"""Content: what is refused, where links are found, and what fields may and may not do."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.content.message import (
    MAX_TEXT,
    InvalidMessage,
    NotRenderable,
    check_messages,
    compile_content,
    links_in,
    utf16_length,
    words_of,
)


def text(words: str, **more: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": words, **more}]


def flex(uri: str = "https://shop.example/a", **bubble: Any) -> list[dict[str, Any]]:
    button = {"type": "button", "action": {"type": "uri", "label": "看看", "uri": uri}}
    contents = {"type": "bubble", "body": {"type": "box", "layout": "vertical", "contents": [button]}, **bubble}
    return [{"type": "flex", "altText": "特賣", "contents": contents}]


def render(messages: list[dict[str, Any]], **fields: Any) -> list[dict[str, Any]]:
    """The messages as LINE gets them; every link reads as T<link>."""
    made: list[dict[str, Any]] = json.loads(compile_content(messages)(fields, lambda url: f"T<{url}>"))
    return made


def rendered(words: str, **fields: Any) -> str:
    made: str = render(text(words), **fields)[0]["text"]
    return made


@pytest.mark.parametrize(
    "messages",
    [
        None,
        {},
        [],
        text("a") * 6,
        ["a"],
        [{"type": "image"}],
        text(""),
        text("  \n"),
        text(None),  # type: ignore[arg-type]
        [{"type": "flex", "altText": "", "contents": {"type": "bubble"}}],
        [{"type": "flex", "altText": "x" * 1501, "contents": {"type": "bubble"}}],
        [{"type": "flex", "altText": "x", "contents": {"type": "box"}}],
        [{"type": "flex", "altText": "x", "contents": {"type": "carousel", "contents": []}}],
        [{"type": "flex", "altText": "x", "contents": {"type": "carousel", "contents": [{"type": "bubble"}] * 13}}],
        flex("https://shop.example/" + "a" * 1000),
        flex(header={"type": "text", "text": "x" * 31_000}),
        text("\ud800"),  # half a character: JSON escapes can write it, UTF-8 can't
        text("a\x00b"),  # PostgreSQL's text can't hold it
        text("a", more=float("nan")),
        text("a", more=2**70),
        text("$ {{ name }}", emojis=[{"index": 0, "productId": "p", "emojiId": "1"}]),
        text("{{ name"),
        text("https://shop.example/{{ name }}"),
        text("https://{{ host }}/"),
        text("{{ name or 'https://shop.example' }}"),
    ],
)
def test_content_that_line_would_refuse_is_refused_when_planned(messages: Any) -> None:
    with pytest.raises(InvalidMessage):
        check_messages(messages, way="push")


@pytest.mark.parametrize(
    "words",
    [
        "{% for x in y %}{{ x }}{% endfor %}",
        "{% set a = 1 %}",
        "{{ name() }}",
        "{{ name.upper() }}",
        "{{ ''.__class__.__mro__ }}{{ cycler.__init__() }}",
        "{{ a[0] }}",
        "{{ 9 * 9 }}",
        "{{ 'a' ~ 'b' }}",
        "{{ name if x else y }}",
        "{{ name | attr('__class__') }}",
        "{{ name | map('upper') }}",
        "{{ [1] }}",
        "{% include 'x' %}",
    ],
)
def test_only_fields_stand_between_braces(words: str) -> None:
    with pytest.raises(InvalidMessage):
        check_messages(text(words), way="push")


def test_lengths_are_counted_as_line_counts_them() -> None:
    assert utf16_length("中a😀") == 4
    check_messages(text("😀" * (MAX_TEXT // 2)), way="push")
    check_messages(text("中" * MAX_TEXT), way="push")
    with pytest.raises(InvalidMessage, match="5002"):
        check_messages(text("😀" * (MAX_TEXT // 2 + 1)), way="push")


def test_multicast_takes_links_but_no_fields() -> None:
    check_messages(text("https://shop.example/a"), way="multicast")
    with pytest.raises(InvalidMessage, match="push"):
        check_messages(text("{{ name }}"), way="multicast")


def test_a_field_may_follow_a_link_after_chinese_punctuation() -> None:
    messages = text("看 https://shop.example/a，{{ name }}")
    check_messages(messages, way="push")
    assert rendered("看 https://shop.example/a，{{ name }}", name="小明") == "看 T<https://shop.example/a>，小明"


@pytest.mark.parametrize(
    ("words", "filled"),
    [
        ("您好 {{ name }}！", "您好 小明！"),
        ('{{ nick or "朋友" }}', "朋友"),
        ("{{ nick | default('朋友') }}", "朋友"),
        ("{{ name | upper }}", "小明"),
        ("{{ nick }}", ""),
        ("{{ nick.of.nobody }}", ""),
        ("{{ empty }}", ""),
        ("{{ empty or name }}", "小明"),
        ("{{ name.upper }}", ""),  # a method found by a dotted name is nobody's business
        ("{{ name.__class__ }}", ""),
        ("{{ home.town }}", "台南"),
        ("{{ count }}", "3"),
        ("{{ name }}\n", "小明\n"),
        ("{{ name }}\nhttps://a.example/b", "小明\nT<https://a.example/b>"),
    ],
)
def test_fields_are_filled_in(words: str, filled: str) -> None:
    check_messages(text(words), way="push")
    assert rendered(words, name="小明", empty=None, home={"town": "台南"}, count=3) == filled


@pytest.mark.parametrize(
    "value", ['a"b', "a\nb", "{{ secret }}", "{% x %}", "\\", "</script>", "😀", "https://evil.example"]
)
def test_what_a_field_brings_in_is_only_data(value: str) -> None:
    assert rendered("您好 {{ name }}。", name=value, secret="leak") == f"您好 {value}。"


def test_a_text_made_too_long_by_its_fields_cant_be_rendered() -> None:
    content = compile_content(text("{{ name }}"))
    assert len(json.loads(content({"name": "😀" * 2_500}, str))[0]["text"]) == 2_500
    with pytest.raises(NotRenderable, match="5000"):
        content({"name": "😀" * 2_500 + "a"}, str)


def test_half_a_character_in_a_field_fails_for_that_person_only() -> None:
    with pytest.raises(NotRenderable):
        rendered("{{ nick }}", nick="\ud83d")


@pytest.mark.parametrize(
    ("words", "links"),
    [
        ("https://a.example/x?utm_source=line&b=1#top 快來", ["https://a.example/x?utm_source=line&b=1#top"]),
        ("點https://a.example/x。", ["https://a.example/x"]),
        ("點https://a.example/x，再點http://b.example！", ["https://a.example/x", "http://b.example"]),
        ("（https://a.example/x）", ["https://a.example/x"]),
        ("(https://a.example/x).", ["https://a.example/x"]),
        ("https://a.example/Foo_(bar)", ["https://a.example/Foo_(bar)"]),
        ("https://a.example/x...", ["https://a.example/x"]),
        ("https://a.example/x https://a.example/x", ["https://a.example/x"]),
        ("HTTPS://A.example/x", ["HTTPS://A.example/x"]),
        ("https://", []),
        ("沒有連結 a.example", []),
    ],
)
def test_links_are_found_in_texts(words: str, links: list[str]) -> None:
    assert links_in(text(words)) == links
    expected = words
    for link in links:
        expected = expected.replace(link, f"T<{link}>")
    assert rendered(words) == expected


@pytest.mark.parametrize(
    "uri",
    [
        "https://a.example/Foo_(bar)",
        "https://a.example/end.",
        "https://a.example/冬季特賣",
        "https://a.example/x?q=a b",
    ],
)
def test_a_uri_is_one_link_as_a_whole(uri: str) -> None:
    messages = flex(uri)
    check_messages(messages, way="push")
    assert links_in(messages) == [uri]
    action = render(messages)[0]["contents"]["body"]["contents"][0]["action"]
    assert action["uri"] == f"T<{uri}>"


def test_images_and_phone_numbers_are_not_links() -> None:
    hero = {"type": "image", "url": "https://cdn.example/a.png"}
    messages = flex("tel:0800000000", hero=hero)
    assert links_in(messages) == []
    assert render(messages) == messages


def test_words_are_what_a_person_reads() -> None:
    assert words_of([*text("週年慶 {{ name }}"), *flex()]) == "週年慶 {{ name }}\n特賣\n看看"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('abc文"\\', max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(st.dictionaries(st.text("abc", min_size=1, max_size=3), json_values), min_size=1, max_size=3))
def test_content_without_fields_or_links_goes_out_as_it_is(messages: list[dict[str, Any]]) -> None:
    if "{{" not in json.dumps(messages) and not links_in(messages):
        assert json.loads(compile_content(messages)({}, str)) == messages


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_field_value_arrives_as_it_is(value: str) -> None:
    assert rendered("<{{ name }}>", name=value) == f"<{value}>"


@given(st.text("https://a.b?=()[].,！，\"'{} x", max_size=40))
def test_whatever_passes_the_check_can_be_compiled_and_its_links_are_all_known(words: str) -> None:
    messages = text(words)
    try:
        check_messages(messages, way="push")
    except InvalidMessage:
        return
    known = set(links_in(messages))
    asked: list[str] = []
    compile_content(messages)({}, lambda url: asked.append(url) or "T")  # type: ignore[func-returns-value]
    assert set(asked) == known
