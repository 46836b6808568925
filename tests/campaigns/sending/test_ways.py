"""Which way fits which content, with its time and cost."""

from collections.abc import Callable
from typing import Any

import pytest

from campaigns.planning.plan import StepPlan, VariantPlan
from campaigns.sending.ways import Needs, check_way, choose_way, needs_of, ways_for
from store.errors import BadInput
from tests.campaigns.conftest import LINKED, PLAIN, Shop

OpenShop = Callable[[int], Shop]
LINK = [{"type": "text", "text": "看看 https://shop.example/a"}]
LIFF = [{"type": "text", "text": "看看 https://liff.line.me/123-abc"}]
BUTTON = [
    {
        "type": "template",
        "altText": "週年慶",
        "template": {
            "type": "confirm",
            "text": "要嗎",
            "actions": [
                {"type": "postback", "label": "要", "data": "yes"},
                {"type": "postback", "label": "不要", "data": "no"},
            ],
        },
    }
]


def needs(*messages: list[dict[str, Any]], **more: Any) -> Needs:
    return needs_of([[VariantPlan(m, str(n), **more) for n, m in enumerate(messages)]])


def by_name(people: int, wanted: Needs) -> dict[str, Any]:
    return {way.name: way for way in ways_for(people, wanted)}


@pytest.mark.parametrize(
    ("content", "way"),
    [(PLAIN, "multicast"), (LINKED, "push"), (LINK, "push"), (LIFF, "multicast"), (BUTTON, "multicast")],
    ids=["plain", "fields and a link", "a link", "LIFF", "postback"],
)
def test_auto_takes_the_fewest_calls_that_keep_what_is_each_persons_own(content: Any, way: str) -> None:
    assert check_way("auto", needs(content)) == choose_way(needs(content)) == way


def test_what_goes_person_by_person_is_pushed() -> None:
    wanted = needs_of([[VariantPlan(PLAIN)]], at_best_hour=True)
    assert choose_way(wanted) == "push"
    for way in ("multicast", "narrowcast"):
        with pytest.raises(BadInput, match="can't send this"):
            check_way(way, wanted)


def test_a_narrowcast_can_have_variants_and_languages_but_no_winner_underway() -> None:
    assert check_way("narrowcast", needs(PLAIN, LINK)) == "narrowcast"
    in_two = needs(PLAIN, LINK, languages={"en": PLAIN})
    assert check_way("narrowcast", in_two) == "narrowcast"
    assert by_name(10_001, in_two)["narrowcast"].calls == 2 + 4  # uploads, and a request for each version
    with pytest.raises(BadInput, match="free replies first"):
        check_way("narrowcast", needs_of([[VariantPlan(PLAIN)]], replies_first=True))
    with pytest.raises(BadInput, match="winner"):
        check_way("narrowcast", needs_of([[VariantPlan(PLAIN)]], learns=True))
    assert check_way("multicast", needs(PLAIN, languages={"en": PLAIN})) == "multicast"


def test_an_unknown_way_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match="auto, push, multicast, narrowcast"):
        check_way("pigeon", Needs())
    with pytest.raises(BadInput):
        check_way("reply", Needs())  # comes before a push; not by itself


def test_an_automatic_winner_is_refused_where_none_can_be_learned(open_shop: OpenShop) -> None:
    shop = open_shop(1)
    steps = [StepPlan([VariantPlan(LINK, "A"), VariantPlan(LINK, "B")])]
    fields = {"steps": steps, "experiment": {"choice": "test_then_winner"}, "way": "auto"}
    assert shop.campaign(shop.plan(**fields)).way == "push"
    with pytest.raises(BadInput, match="leave the split fixed"):
        shop.plan(**fields, trigger="生日")
    steps = [StepPlan([VariantPlan(PLAIN, "A"), VariantPlan(PLAIN, "B")])]
    with pytest.raises(BadInput, match="no winner can be chosen meanwhile"):
        shop.plan(steps=steps, experiment={"choice": "thompson", "outcome": "orders"}, way="narrowcast")
    buttons = [StepPlan([VariantPlan(BUTTON, "A"), VariantPlan(BUTTON, "B")])]
    assert shop.campaign(shop.plan(**{**fields, "steps": buttons})).way == "multicast"  # buttons say who taps


def test_time_follows_lines_rates_and_cost_is_one_message_a_person() -> None:
    ways = by_name(1_000_000, needs(PLAIN))
    assert [ways[name].seconds for name in ("push", "multicast", "narrowcast", "reply")] == [500, 10, 100, None]
    assert [ways[name].calls for name in ("push", "multicast", "narrowcast")] == [1_000_000, 2_000, 101]
    assert [ways[name].cost for name in ("push", "multicast", "narrowcast", "reply")] == [1_000_000] * 3 + [0]
    assert ways["multicast"].is_possible
    assert not ways["reply"].is_possible
    assert by_name(5, needs_of([[VariantPlan(PLAIN)]], replies_first=True))["reply"].is_possible
    assert by_name(501, needs(PLAIN))["multicast"].calls == 2
    assert by_name(0, needs(PLAIN))["push"].seconds == 0


@pytest.mark.parametrize(
    ("content", "push", "multicast"),
    [
        (PLAIN, "none", "none"),
        (LINK, "by person", "counted"),
        (LIFF, "by person", "by person"),
        (BUTTON, "by person", "by person"),
    ],
)
def test_whether_taps_are_known_by_person_is_said(content: Any, push: str, multicast: str) -> None:
    ways = by_name(10, needs(content))
    assert (ways["push"].clicks, ways["multicast"].clicks, ways["narrowcast"].clicks) == (push, multicast, multicast)


def test_why_not_says_what_is_in_the_way() -> None:
    ways = by_name(10, needs(LINKED))
    assert ways["multicast"].why_not == ("one body goes to everyone, and the content has fields",)
    assert ways["push"].why_not == ()


@pytest.mark.parametrize(("content", "way"), [(PLAIN, "multicast"), (LINKED, "push")])
def test_a_campaign_planned_with_auto_has_the_way_that_was_chosen(open_shop: Any, content: Any, way: str) -> None:
    shop: Shop = open_shop(3)
    campaign_id = shop.plan(messages=content, way="auto")
    assert shop.campaign(campaign_id).way == way
    shop.tick()
    shop.send()
    assert shop.everyone_once([1, 2, 3])
