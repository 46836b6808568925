"""Our checks against LINE as the simulator plays it (shapes by line-bot-sdk's models, limits by the reference): what
one refuses the other refuses, in every kind of message and at every limit."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.content.message import InvalidMessage
from campaigns.content.message import check_messages as our_check
from simulator.checks import check_messages as line_check
from tests.campaigns.content.messages import Message, good

NAMES = sorted(good())
LENGTHS: tuple[int, ...] = (
    1,
    12,
    13,
    20,
    21,
    30,
    31,
    40,
    41,
    60,
    61,
    100,
    101,
    120,
    121,
    160,
    161,
    240,
    241,
    300,
    301,
    400,
    401,
)
LENGTHS += (1000, 1001, 1500, 1501, 2000, 2001, 5000, 5001)
CHARACTERS = ("a", "中", "🍎", "👨‍👩‍👧‍👦")


def we_refuse(messages: Any) -> list[str]:
    try:
        our_check(messages, way="push")
    except InvalidMessage as error:
        return [place for place, _ in error.problems]
    return []


def line_refuses(messages: Any) -> list[str]:
    return [detail["property"] for detail in line_check(messages)]


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_message_is_taken_by_both(name: str) -> None:
    assert (we_refuse([good()[name]]), line_refuses([good()[name]])) == ([], [])


def places_in(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    yield path, value
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places_in(part, (*path, key))


def changed(message: Message, path: tuple[str | int, ...], change: Any) -> Message:
    node: Any = message
    for key in path[:-1]:
        node = node[key]
    if change is None:
        del node[path[-1]]
    else:
        node[path[-1]] = change
    return message


@pytest.mark.parametrize("name", NAMES)
def test_what_is_left_out_is_missed_by_both(name: str) -> None:
    for path, _ in list(places_in(good()[name])):
        if not path or path == ("type",) or isinstance(path[-1], int):
            continue
        spoiled = [changed(good()[name], path, None)]
        assert bool(we_refuse(spoiled)) == bool(line_refuses(spoiled)), (
            path,
            we_refuse(spoiled),
            line_refuses(spoiled),
        )


def is_words(path: tuple[str | int, ...]) -> bool:
    return path[-1] in ("text", "altText", "title", "label", "displayText", "clipboardText", "name") and path != (
        "text",
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("character", CHARACTERS)
def test_words_of_any_length_are_judged_alike(name: str, character: str) -> None:
    for path, value in list(places_in(good()[name])):
        if not (path and isinstance(value, str) and is_words(path)):
            continue
        for length in LENGTHS:
            longer = [changed(good()[name], path, character * length)]
            assert bool(we_refuse(longer)) == bool(line_refuses(longer)), (path, length, we_refuse(longer))


@pytest.mark.parametrize("name", NAMES)
def test_addresses_and_links_are_judged_alike(name: str) -> None:
    for path, value in list(places_in(good()[name])):
        if not (isinstance(value, str) and value.startswith("https://")):
            continue
        for other in ("http://a.example/b", "ftp://a.example/b", "javascript:alert(1)", "tel:0800", "nonsense"):
            spoiled = [changed(good()[name], path, other)]
            assert bool(we_refuse(spoiled)) == bool(line_refuses(spoiled)), (path, other, we_refuse(spoiled))
        for length in (1000, 1001, 2000, 2001):
            longer = [changed(good()[name], path, "https://a.example/".ljust(length, "x"))]
            assert bool(we_refuse(longer)) == bool(line_refuses(longer)), (path, length, we_refuse(longer))


@pytest.mark.parametrize("name", NAMES)
def test_lists_of_any_size_are_judged_alike(name: str) -> None:
    for path, value in list(places_in(good()[name])):
        if not isinstance(value, list):
            continue
        for size in (0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 20, 21, 50, 51):
            resized = [changed(good()[name], path, (value * 51)[:size])]
            assert bool(we_refuse(resized)) == bool(line_refuses(resized)), (path, size, we_refuse(resized))


@pytest.mark.parametrize("name", NAMES)
def test_values_of_another_type_are_refused_by_both(name: str) -> None:
    for path, value in list(places_in(good()[name])):
        if not path or isinstance(value, dict | list) or path[-1] == "type":
            continue
        spoiled = [changed(good()[name], path, [] if isinstance(value, str) else "x")]
        assert we_refuse(spoiled), path
        assert line_refuses(spoiled), path


@settings(max_examples=300)
@given(st.text("{}laughx_ {{}}{laugh}", max_size=30))
def test_braces_of_textv2_that_we_let_through_are_let_through_by_line(text: str) -> None:
    substitution = {"laugh": {"type": "emoji", "productId": "5a", "emojiId": "1"}}
    message = {"type": "textV2", "text": f"a{text}", "substitution": substitution}
    if not we_refuse([message]) and "{{" not in text:
        assert line_refuses([message]) == []


@settings(max_examples=300)
@given(st.data())
def test_two_spoiled_places_are_no_better_than_one(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    message = good()[name]
    for _ in range(2):
        places = [path for path, value in places_in(message) if path and isinstance(value, str) and path[-1] != "type"]
        path = data.draw(st.sampled_from(places))
        length = data.draw(st.sampled_from(LENGTHS))
        if is_words(path):
            message = changed(message, path, "字" * length)
    assert bool(we_refuse([message])) == bool(line_refuses([message]))
