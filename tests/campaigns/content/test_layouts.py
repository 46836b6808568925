"""Common Flex layouts from simple fields, and LINE's own word on a content."""

from typing import Any

import pytest

from campaigns.content.asking import Version, ask_line
from campaigns.content.layouts import LAYOUTS, build_layout
from campaigns.content.message import InvalidMessage, links_in
from simulator.checks import check_messages as line_check
from store.errors import BadInput, ExpectedError
from tests.campaigns.content.messages import ADDRESS

URL = "https://shop.example/a"
PICTURE, PICTURES = {"image": ADDRESS}, {"images": [ADDRESS] * 2}
FIELDS: dict[str, dict[str, Any]] = {
    "announcement": {
        "alt": "公告",
        "title": "{{ name or '您' }}的好消息",
        "body": "特賣",
        "link": URL,
        "image": ADDRESS,
    },
    "product": {
        "alt": "商品",
        "name": "羽絨外套",
        "price": "NT$1,990",
        "was": "NT$2,990",
        "link": URL,
        "image": ADDRESS,
    },
    "products": {
        "alt": "商品",
        "names": ["甲", "乙"],
        "prices": ["1", "2"],
        "links": [URL] * 2,
        "images": [ADDRESS] * 2,
    },
    "coupon": {"alt": "券", "title": "生日禮", "offer": "9 折", "until": "12/31 前", "link": URL, "code": "BDAY"},
    "reminder": {"alt": "提醒", "title": "預約", "when": "明天 10:00", "where": "忠孝店", "link": URL},
    "receipt": {"alt": "收據", "title": "謝謝", "items": ["茶"], "amounts": ["60"], "total": "60", "link": URL},
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_makes_a_message_that_line_takes(name: str) -> None:
    message = build_layout(name, FIELDS[name])
    assert line_check([message]) == []
    assert links_in([message]) == [URL]


def test_a_wrong_field_is_told_with_those_there_are() -> None:
    with pytest.raises(BadInput, match="no layout"):
        build_layout("poem", {})
    with pytest.raises(BadInput, match="fields of coupon"):
        build_layout("coupon", {**FIELDS["coupon"], "offr": "x"})
    with pytest.raises(BadInput, match="as many"):
        build_layout("products", {**FIELDS["products"], "prices": ["1"]})
    with pytest.raises(InvalidMessage, match="uri"):
        build_layout("coupon", {**FIELDS["coupon"], "link": "javascript:1"})


class Line:
    """Says no to messages that hold a word."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def validate(self, messages: list[dict[str, Any]]) -> None:
        self.asked.append(messages)
        if "壞" in str(messages):
            raise ExpectedError("LINE refused validate")


def test_every_version_is_asked_about_filled_in_and_linked() -> None:
    line = Line()
    good = [{"type": "text", "text": "您好 {{ name or '您' }} https://a.example/x"}]
    bad = [{"type": "text", "text": "壞"}]
    verdicts = ask_line([Version(1, "A", None, good), Version(1, "A", "en", bad)], line)
    assert [(v.language, v.problem) for v in verdicts] == [(None, None), ("en", "LINE refused validate")]
    texts = [messages[0]["text"] for messages in line.asked]
    assert texts[0].startswith("您好 王小明 https://brand.example/r/")
    assert texts[1].startswith("您好 您 https://brand.example/r/")
