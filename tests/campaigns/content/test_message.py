"""Content: what is refused, where links are found, and what fields may and may not do."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.content.counting import grapheme_length, utf16_length
from campaigns.content.message import (
    InvalidMessage,
    NotRenderable,
    check_messages,
    compile_content,
    links_in,
    words_of,
)
from campaigns.content.text import MAX_TEXT
from tests.campaigns.content.messages import ADDRESS, bubble, button, good, template, uri


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
        ("{{ count | upper }}", "3"),
        ("{{ name | replace('小', '大') | truncate(9) }}", "大明"),
        ("{{ empty | default('朋友') }}", "朋友"),
        ("{{ 'a{b' }}", "a{b"),
        ("{{ name }}\n", "小明\n"),
        ("{{ name }}\nhttps://a.example/b", "小明\nT<https://a.example/b>"),
    ],
)
def test_fields_are_filled_in(words: str, filled: str) -> None:
    assert rendered(f"＞{words}", name="小明", empty=None, home={"town": "台南"}, count=3) == f"＞{filled}"


@pytest.mark.parametrize(
    "value", ['a"b', "a\nb", "{{ secret }}", "{% x %}", "\\", "</script>", "😀", "https://evil.example"]
)
def test_what_a_field_brings_in_is_only_data(value: str) -> None:
    assert rendered("您好 {{ name }}。", name=value, secret="leak") == f"您好 {value}。"


def test_a_text_made_too_long_by_its_fields_cant_be_rendered() -> None:
    content = compile_content(text("您{{ name }}"))
    assert len(json.loads(content({"name": "😀" * 2_499}, str))[0]["text"]) == 2_500
    with pytest.raises(NotRenderable, match=r"messages.0..text has 5001"):
        content({"name": "😀" * 2_500}, str)


def test_half_a_character_in_a_field_fails_for_that_person_only() -> None:
    with pytest.raises(NotRenderable):
        rendered("您 {{ nick }}", nick="\ud83d")


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


@pytest.mark.parametrize("words", ["{{ name }}", " {{ name }}\n", "{{ name or nick }}"])
def test_a_field_alone_needs_a_fallback_since_line_takes_no_empty_text(words: str) -> None:
    with pytest.raises(InvalidMessage, match="fallback"):
        check_messages(text(words), way="push")
    check_messages(text("{{ name or '您' }}"), way="push")
    with pytest.raises(NotRenderable, match="is empty"):
        rendered("{{ name or '您' }}", name="  ")


def test_mistakes_are_told_with_their_places_all_at_once() -> None:
    carousel = {"type": "carousel", "contents": [bubble(), bubble(button(action={"type": "uri", "uri": "x"}))]}
    messages = [
        {"type": "text", "txt": "a"},
        {"type": "flex", "altText": "特賣", "contents": carousel},
        {"type": "poem"},
        template("buttons", title="字" * 41, text="字" * 61),
    ]
    with pytest.raises(InvalidMessage) as caught:
        check_messages(messages, way="push")
    places = [place for place, _ in caught.value.problems]
    assert places == [
        "messages[0].text",
        "messages[0].txt",
        "messages[1].contents.contents[1].body.contents[0].action.uri",
        "messages[2].type",
        "messages[3].template.title",
    ]
    assert "messages[2].type must be one of text, textV2" in str(caught.value)


def test_labels_and_titles_count_what_a_reader_calls_characters() -> None:
    family = "👨‍👩‍👧‍👦"
    assert (grapheme_length(family), utf16_length(family)) == (1, 11)
    check_messages([template("buttons", title=family * 40, actions=[uri(label=family * 20)])], way="push")
    with pytest.raises(InvalidMessage, match="41 characters"):
        check_messages([template("buttons", title=family * 41)], way="push")


def test_limits_hold_for_each_person_once_fields_are_filled_in() -> None:
    content = compile_content(
        [template("buttons", title="{{ name or '您' }}的券", actions=[uri(label="給{{ name }}")])]
    )
    assert "小明的券" in content({"name": "小明"}, str).decode()
    for name, place in (("字" * 39, "template.title"), ("字" * 20, "template.actions.0..label")):
        with pytest.raises(NotRenderable, match=place):
            content({"name": name}, str)


def test_a_bubble_that_outgrows_30_kb_by_its_fields_cant_be_rendered() -> None:
    content = compile_content(
        [{"type": "flex", "altText": "特賣", "contents": bubble({"type": "text", "text": "您{{ a }}"})}]
    )
    assert len(content({"a": "x" * 30_000}, str)) > 30_000
    with pytest.raises(NotRenderable, match="30720"):
        content({"a": "字" * 10_240}, str)


def test_every_kind_of_message_goes_out_as_it_was_written_with_its_links_tracked() -> None:
    for name, message in good().items():
        check_messages([message], way="multicast")
        expected = json.loads(json.dumps(message))
        for link in links_in([message]):
            expected = json.loads(json.dumps(expected).replace(f'"{link}"', f'"T<{link}>"'))
        assert render([message]) == [expected], name


def test_links_are_found_wherever_they_can_be_tapped_and_nowhere_else() -> None:
    assert links_in([good()["imagemap"]]) == ["https://shop.example/more", "https://shop.example/a"]
    assert links_in([good()["quick replies"]]) == ["https://shop.example/a?b=1", "postback:a=1", "postback:book"]
    with_desktop = button(action=uri(altUri={"desktop": "https://shop.example/pc"}))
    assert links_in([{"type": "flex", "altText": "x", "contents": bubble(with_desktop)}]) == [
        "https://shop.example/a?b=1",
        "https://shop.example/pc",
    ]
    assert (
        links_in(
            [{"type": "flex", "altText": "x", "contents": bubble({"type": "text", "text": "看 https://a.example"})}]
        )
        == []
    )
    assert links_in([good()["image"], good()["video"]]) == []


def test_quick_replies_stand_on_the_last_message_only() -> None:
    replies = good()["quick replies"]
    check_messages([*text("您好"), replies], way="push")
    with pytest.raises(InvalidMessage, match=r"messages.0..quickReply"):
        check_messages([replies, *text("您好")], way="push")


def test_a_field_may_choose_a_picture_but_not_where_it_lies() -> None:
    def image(address: str) -> list[dict[str, Any]]:
        return [{"type": "image", "originalContentUrl": address, "previewImageUrl": ADDRESS}]

    made = render(image("https://cdn.example/{{ sku or 'all' }}.png"), sku="../a?b=/字")
    assert made[0]["originalContentUrl"] == "https://cdn.example/..%2Fa%3Fb%3D%2F%E5%AD%97.png"
    for address in (
        "https://{{ host }}/a.png",
        "{{ address }}",
        "https://cdn.{{ host }}/a.png",
        "http://a.example/b.png",
    ):
        with pytest.raises(InvalidMessage, match="originalContentUrl"):
            check_messages(image(address), way="push")
    with pytest.raises(InvalidMessage, match="push"):
        check_messages(image("https://cdn.example/{{ sku }}.png"), way="multicast")


def text_v2(words: str) -> list[dict[str, Any]]:
    return [{"type": "textV2", "text": words, "substitution": good()["textV2"]["substitution"]}]


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        ("{laugh} {{ name or '您' }}", "{laugh} {{{{laugh}}}}"),
        ("{{ '{' }}x{{ '}' }}", "{{x}}"),
        ("{laugh}{{ nick or '}' }}", "{laugh}}}"),
        ("看{laugh} https://a.example/x", "看{laugh} T<https://a.example/x>"),
    ],
)
def test_what_a_field_brings_into_textv2_is_never_a_key(words: str, sent: str) -> None:
    assert render(text_v2(words), name="{{laugh}}")[0]["text"] == sent


@pytest.mark.parametrize("words", ["{wave}", "{", "a}", "{laugh", "{ laugh }", "{{ '{' }}{", "{laugh}" * 21])
def test_braces_of_textv2_that_line_would_not_understand_are_refused(words: str) -> None:
    with pytest.raises(InvalidMessage, match=r"messages.0..text"):
        check_messages(text_v2(words), way="push")


def test_mentions_need_a_group() -> None:
    mention = {"laugh": {"type": "mention", "mentionee": {"type": "all"}}}
    with pytest.raises(InvalidMessage, match=r"substitution.laugh.type"):
        check_messages([{"type": "textV2", "text": "{laugh}", "substitution": mention}], way="push")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('abc文"\\', max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_any_nonsense_is_refused_and_never_breaks_the_check(nonsense: Any) -> None:
    for messages in (nonsense, [nonsense], [{"type": "text", "text": "a", "quickReply": nonsense or 1}]):
        with pytest.raises(InvalidMessage):
            check_messages(messages, way="push")


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
