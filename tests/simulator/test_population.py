"""People: the same seed gives the same lives, and the hidden effects are really in what they do."""

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from simulator.people import SpendingClass
from simulator.population import Action, ActionKind, Population, read, truth
from simulator.words import OFFER_WORDS, WORD_EFFECTS, themes_in, words_in

NOON = datetime(2026, 11, 2, 4, 0, tzinfo=UTC)  # noon in Taipei
LINK = "https://shop.example/r/abc"


def population(count: int, seed: int = 7) -> Population:
    made = Population(seed, born=datetime(2026, 10, 1, tzinfo=UTC))
    made.invent(count)
    return made


def send(people: Population, words: str, at: datetime = NOON) -> list[Action]:
    message = [{"type": "text", "text": f"{words} {LINK}"}]
    return [action for who in people.people for action in people.react(who, message, at)]


def tapped(actions: list[Action]) -> set[str]:
    return {action.line_user_id for action in actions if action.kind is ActionKind.TAP}


def test_the_same_seed_repeats_whatever_the_order_of_the_people() -> None:
    one, two = population(300), population(300)
    message = [{"type": "text", "text": f"限時下殺 {LINK}"}]
    forwards = {who: one.react(who, message, NOON) for who in one.people}
    backwards = {who: two.react(who, message, NOON) for who in reversed(list(two.people))}
    assert forwards == backwards
    assert any(forwards.values())
    assert population(300, seed=8).people != one.people


def test_a_message_with_another_link_in_it_is_reacted_to_alike() -> None:
    def taps(link: str) -> set[str]:
        people = population(300)
        message = [{"type": "text", "text": f"免運 {link}"}]
        return tapped([action for who in people.people for action in people.react(who, message, NOON)])

    assert taps("https://a.example/r/1") == taps("https://b.example/r/22")


def test_between_five_and_ten_percent_tap_a_plain_line() -> None:
    people = population(4000)
    assert 0.04 < len(tapped(send(people, "秋天來了，一起看看"))) / 4000 < 0.10


def test_word_effects_show_in_the_odds_of_a_tap() -> None:
    def log_odds(words: str) -> float:
        share = len(tapped(send(population(6000), words))) / 6000
        return math.log(share / (1 - share))

    plain = log_odds("看看")
    # people differ, which pulls an effect seen over all of them towards 0 a little
    assert log_odds("看看 買一送一") - plain == pytest.approx(WORD_EFFECTS["買一送一"], abs=0.25)
    assert log_odds("看看 公告") - plain == pytest.approx(WORD_EFFECTS["公告"], abs=0.3)
    assert log_odds("看看 推薦") == plain  # an effect of nil, and the same draws


def test_tap_probability_adds_the_effects_on_the_log_odds_scale() -> None:
    people = population(1)
    person = next(iter(people.people.values()))

    def log_odds(words: str, **more: int) -> float:
        p = people.tap_probability(person, words, NOON, **more)
        return math.log(p / (1 - p))

    assert log_odds("會員獨享") - log_odds("") == pytest.approx(WORD_EFFECTS["會員獨享"])
    both = WORD_EFFECTS["會員獨享"] + WORD_EFFECTS["抽獎"]
    assert log_odds("會員獨享 抽獎 會員獨享") - log_odds("") == pytest.approx(both)
    assert log_odds("", fatigue=2) < log_odds("", fatigue=1) < log_odds("")
    offer = person.price_sensitivity * WORD_EFFECTS["免運"]
    assert log_odds("免運") - log_odds("") == pytest.approx(offer)


def test_big_spenders_tap_and_buy_more() -> None:
    def reactions(chosen: SpendingClass) -> Counter[ActionKind]:
        people = Population(3, born=NOON - timedelta(days=1))
        for number in range(3000):
            people.add(f"U{number:032x}", spending_class=chosen)
        return Counter(action.kind for action in send(people, "看看"))

    low, high = reactions(SpendingClass.LOW), reactions(SpendingClass.HIGH)
    assert high[ActionKind.TAP] > 1.3 * low[ActionKind.TAP]
    assert high[ActionKind.BUY] > 2 * low[ActionKind.BUY]


def test_many_messages_in_a_week_wear_people_out() -> None:
    people = population(3000)
    rates, leaving = [], []
    for day in range(7):
        actions = send(people, "看看", NOON + timedelta(hours=day * 20))
        rates.append(len(tapped(actions)))
        leaving.append(sum(action.kind is ActionKind.BLOCK for action in actions))
    assert sum(rates[5:]) < 0.5 * sum(rates[:2])
    assert sum(leaving[4:]) > sum(leaving[:3])


def test_quiet_people_hardly_tap_and_no_longer_buy() -> None:
    people = population(2000)
    later = NOON + timedelta(days=365 * 20)
    assert len(tapped(send(people, "看看", later))) < 20
    assert people.ordinary_life(later, later + timedelta(days=7)) == []


def test_without_a_link_there_is_nothing_to_tap() -> None:
    people = population(500)
    kinds = {a.kind for who in people.people for a in people.react(who, [{"type": "text", "text": "免運"}], NOON)}
    assert not kinds & {ActionKind.TAP, ActionKind.PREVIEW, ActionKind.BUY}
    assert people.react("U" + "f" * 32, [{"type": "text", "text": LINK}], NOON) == []


def test_actions_follow_their_message_in_order_and_taps_come_before_their_purchases() -> None:
    people = population(2000)
    for who in people.people:
        actions = people.react(who, [{"type": "text", "text": f"買一送一 {LINK}"}], NOON)
        assert actions == sorted(actions, key=lambda action: action.at)
        assert all(action.at > NOON for action in actions)
        kinds = [action.kind for action in actions]
        if ActionKind.BUY in kinds:
            assert kinds.index(ActionKind.TAP) < kinds.index(ActionKind.BUY)


def test_people_buy_of_their_own_accord_at_the_rate_they_have() -> None:
    people = population(1500)
    since, until = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 31, tzinfo=UTC)
    buys = [a for a in people.ordinary_life(since, until) if a.kind is ActionKind.BUY]
    expected = sum(person.daily_purchases for person in people.people.values()) * 30
    assert len(buys) == pytest.approx(expected, abs=4 * math.sqrt(expected))
    assert len({action.order_id for action in buys}) == len(buys)
    assert all(action.amount > 0 and action.amount == round(action.amount, 2) for action in buys)
    assert isinstance(buys[0].amount, Decimal)


def test_a_span_of_ordinary_life_is_its_parts_put_together() -> None:
    people = population(200)
    since, cut, until = (datetime(2026, 10, day, 3, 30, tzinfo=UTC) for day in (3, 12, 27))
    whole = people.ordinary_life(since, until)
    assert whole == people.ordinary_life(since, cut) + people.ordinary_life(cut, until)
    assert len(whole) > 20


def test_reading_finds_words_and_links_in_text_flex_and_templates() -> None:
    flex = {
        "type": "flex",
        "altText": "週年慶",
        "contents": {
            "type": "bubble",
            "body": {
                "type": "box",
                "layout": "vertical",
                "contents": [
                    {"type": "text", "text": "免運"},
                    {"type": "button", "action": {"type": "uri", "label": "去看看", "uri": "https://a.example/1"}},
                ],
            },
        },
    }
    text = {"type": "text", "text": "最後一天https://b.example/2，別錯過 https://a.example/1"}
    call = {"type": "template", "altText": "x", "template": {"actions": [{"type": "uri", "uri": "tel:0912"}]}}
    words, links = read([flex, text, call])
    assert links == ["https://a.example/1", "https://b.example/2"]
    assert words_in(words) == {"週年慶", "免運", "最後一天"}
    assert "example" not in words


def test_words_are_found_once_the_longest_first_and_not_inside_other_numbers() -> None:
    assert words_in("免運免運") == {"免運"}
    assert words_in("缺貨補貨通知") == {"缺貨補貨"}
    assert words_in("全館85折") == {"85折"}
    assert words_in("15折") == set()
    assert themes_in("羽絨外套與耳機") == {"冬季服飾", "3C", "音樂"}


def test_the_truth_has_about_forty_words_good_bad_and_nil() -> None:
    effects = truth()
    assert 35 <= len(effects) <= 50
    assert {word for word, effect in effects.items() if effect < -0.1}
    assert {word for word, effect in effects.items() if abs(effect) < 0.05}
    assert set(effects) >= OFFER_WORDS
