"""Triggers: words and JSON read alike, told in both languages; wrong ones are named."""

from typing import Any

import pytest

from campaigns.planning.triggers import read_trigger, to_json, trigger_words
from store.errors import BadInput


@pytest.mark.parametrize(
    ("words", "stored", "chinese"),
    [
        ("nesl:E→S1", {"on": "segment", "model": "nesl", "from": ["E"], "to": ["S1"]}, "當顧客由主力客 E變為瞌睡客 S1"),
        ("nesl:->S1,S2", {"on": "segment", "model": "nesl", "to": ["S1", "S2"]}, "當顧客進入瞌睡客 S1、沉睡客 S2"),
        ("nesl:E>", {"on": "segment", "model": "nesl", "from": ["E"]}, "當顧客離開主力客 E"),
        ("tag:VIP 客", {"on": "tag", "name": "VIP 客"}, "當顧客被貼上標籤「VIP 客」"),
        ("click", {"on": "click"}, "當顧客點擊連結"),
        (
            "click:維他命 C, 魚油",
            {"on": "click", "topics": ["維他命 C", "魚油"]},
            "當顧客點擊主題 維他命 C、魚油的連結",
        ),
        ("click campaign 3, 4", {"on": "click", "campaigns": [3, 4]}, "當顧客點擊活動 3、4的連結"),
        ("生日", {"on": "birthday"}, "生日當天 10:00"),
        ("7 days before birthday at 9:30", {"on": "birthday", "days_before": 7, "at": "09:30"}, "生日前 7 天的 09:30"),
        ("優惠券到期前3天", {"on": "coupon_ends"}, "優惠券（coupon_until）到期前 3 天的 10:00"),
        ("cart left for 6 hours", {"on": "cart_left", "hours": 6}, "放入購物車後 6 小時沒有下單"),
        ("購買後 30 天", {"on": "purchase", "days": 30}, "購買後 30 天"),
    ],
)
def test_words_and_json_say_the_same(words: str, stored: dict[str, Any], chinese: str) -> None:
    trigger = read_trigger(words)
    assert trigger == read_trigger(stored) == read_trigger(to_json(trigger))
    assert trigger_words(trigger, "zh") == chinese
    assert trigger_words(trigger, "en").isascii() or stored["on"] in ("click", "tag")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("whenever", "is not a trigger; say nesl"),
        ("{", "this is not a trigger"),
        ({"on": "earthquake"}, "Invalid value 'earthquake'"),
        ({"on": "birthday", "at": "25:00"}, "at"),
        ({"on": "cart_left", "hours": 0}, "hours"),
        ({"on": "tag", "name": "a", "more": 1}, "more"),
        ("rf12:→a", "no model 'rf12'"),
        ("nesl:→S9", "no segment 'S9'"),
        ("nesl:→", "needs one to come from"),
        ("nesl:E→E", "is no move"),
    ],
)
def test_a_wrong_trigger_is_refused(given: Any, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        read_trigger(given)
