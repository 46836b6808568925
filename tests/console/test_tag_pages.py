"""Tags on the console: what puts them on, who has them and why, and when they come off."""

import re
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote, unquote

from flask.testing import FlaskClient
from sqlalchemy import Engine, select

from console.segments.sizes import read_sizes
from console.tags.evidence import told
from console.tags.rule_words import Asked
from console.words.catalog import english
from console.words.names import DIMENSIONS, EVIDENCE, TAG_WORDS
from segmentation.rules.reading import read_rule
from segmentation.rules.saved import save_rule
from segmentation.rules.wording import sentence
from segmentation.tags.catalogue import create_tag
from segmentation.tags.hand import put_on, take_off
from segmentation.tags.measures import MEASURES
from store.engine import reading, table_of, transaction
from store.models import (
    CampaignDraft,
    SegmentRun,
    Tag,
    TagCheck,
)
from tests.conftest import StillClock
from tests.console.conftest import page
from tests.console.insights import FIRST, LAST, RULE, cells, compute, holders
from tests.console.insights import shop as shop
from tests.factories import make_campaign, make_channel, make_customer


def test_tags_are_listed_with_people_and_the_weeks_change(
    client: FlaskClient, engine: Engine, shop: dict[str, int]
) -> None:
    text = page(client, "/console/tags")
    count = len(holders(engine, "老客戶"))
    former = before(engine, "老客戶")
    assert count > former
    assert cells(text, "老客戶")[1:6] == ["模型判定", "固定", "規則", str(count), f"+{count - former}"]
    assert cells(text, "講座")[1:5] == ["事實", "固定", "手動", "2"]
    with transaction(engine) as session:
        session.execute(table_of(Tag).update().where(table_of(Tag).c.name == "大戶").values(problem="壞了 <b>"))
        session.execute(table_of(Tag).update().where(table_of(Tag).c.name == "講座").values(is_active=False))
    text = page(client, "/console/tags?lang=en")
    assert cells(text, "大戶")[-1] == "Can't be computed"
    assert cells(text, "講座")[-1] == "archived"
    assert "壞了 &lt;b&gt;" in page(client, f"/console/tags/{shop['大戶']}")


def before(engine: Engine, name: str) -> int:
    with reading(engine) as session:
        sizes = read_sizes(session, "tag")
        assert sizes.days == [FIRST, LAST]
        return sizes.on[FIRST][name].customers


def test_a_tag_says_what_puts_it_on_and_why_each_has_it(
    client: FlaskClient, engine: Engine, shop: dict[str, int]
) -> None:
    rich = page(client, f"/console/tags/{shop['大戶']}")
    assert "累計消費額 最高的 10%（≥ " in rich
    [cut] = re.findall(r"最高的 10%（≥ ([\d,.]+)）", rich)
    people = holders(engine, "大戶")
    assert f'customers/{people[0]}"' in rich
    assert 'target=tag:大戶"' in unquote(rich)
    assert f"<b>線</b> {cut}" in rich
    ruled = page(client, f"/console/tags/{shop['老客戶']}")
    asked = sentence(read_rule(RULE), "zh")
    assert f'class="sentence">{asked}<' in ruled
    assert f"<b>{sentence(read_rule(RULE['of'][0]), 'zh')}</b> 3" in ruled
    assert f"<b>{sentence(read_rule(RULE['of'][0]), 'zh')}</b> 4" in ruled
    hand = page(client, f"/console/tags/{shop['講座']}?lang=en")
    assert "<b>By</b> 小陳" in hand
    assert "<b>Note</b> 五月場" in hand
    assert "Put on by people" in hand
    group = page(client, f"/console/tags/{tag_ids(engine)['回頭客']}?lang=zh")
    assert "三張以上訂單" in group
    assert f"<b>當時</b> {LAST} 00:00" in rich
    by_day = rich[rich.index("每天的人數") :]
    assert [cells(by_day, str(day))[1] for day in (FIRST, LAST)] == [
        str(before(engine, "大戶")),
        str(len(people)),
    ]


def test_a_line_of_large_amounts_is_written_out(client: FlaskClient, engine: Engine, shop: dict[str, int]) -> None:
    with transaction(engine) as session:
        session.execute(table_of(Tag).update().where(table_of(Tag).c.name == "大戶").values(cut=1_234_567.0))
    assert "累計消費額 最高的 10%（≥ 1,234,567）" in page(client, f"/console/tags/{shop['大戶']}")


def test_a_field_for_a_tag_offers_those_of_people_that_hold_what_is_typed(
    client: FlaskClient, engine: Engine, clock: StillClock, shop: dict[str, int]
) -> None:
    names = ["VIP 講座", "vip", "金卡 vip", "100%", *(f"活動{number:02}" for number in range(30))]
    with transaction(engine) as session:
        for name in (*names, "舊 vip"):
            create_tag(session, name, now=clock())
        session.execute(table_of(Tag).update().where(table_of(Tag).c.name == "舊 vip").values(is_active=False))
        who = make_customer(session).id

    def offered(typed: str) -> list[str]:
        return re.findall(r'<option value="([^"]*)">', page(client, f"/console/tags/names?tag={quote(typed)}"))

    found = offered("vIp ")
    assert (set(found[:2]), found[2:]) == ({"VIP 講座", "vip"}, ["金卡 vip"])
    assert offered("講座") == ["講座", "VIP 講座"]
    assert offered("%") == ["100%"]
    assert offered("大戶") == [], "a computation puts it on"
    assert len(offered("")) == len(offered("活動")) == 20
    field = page(client, f"/console/customers/{who}")
    assert 'list="tag-names"' in field
    assert 'hx-get="/console/tags/names"' in field


def test_when_a_tag_falls_off_is_a_day_or_never_or_unknown(
    client: FlaskClient, engine: Engine, clock: StillClock, shop: dict[str, int]
) -> None:
    with transaction(engine) as session:
        fresh = {"type": "orders", "measure": "count", "at_least": 1, "window": {"last_days": 400}}
        both = {"type": "all", "of": [fresh, {"type": "tag", "name": "大戶"}]}
        for name, rule in (("近來", fresh), ("近來的大戶", both)):
            create_tag(session, name, source="rule", definition={"when": rule}, now=clock())
    compute(engine, clock, LAST)
    ids = tag_ids(engine)

    def ends(name: str) -> set[str]:
        text = page(client, f"/console/tags/{ids[name]}")
        rows = re.findall(r"<tr>(.*?)</tr>", text[text.index("何時取下") :].split("</table>")[0], re.DOTALL)
        return {re.findall(r'<td class="name">([^<]*)</td>$', row)[0] for row in rows if "<td" in row}

    assert ends("大戶") == {"無法預知"}, "the top 10 % of everybody"
    assert ends("老客戶") == {"不會自動取下"}, "orders in all history don't go away"
    assert ends("講座") == {"不會自動取下"}, "people decide"
    assert all(re.fullmatch(r"2\d{3}-\d\d-\d\d", day) for day in ends("近來"))
    assert ends("近來的大戶") == {"無法預知"}, "it hangs on one of which nobody knows"
    assert ends("贏回") == {"不會自動取下"}, "only an order ends it"
    who = holders(engine, "大戶")[0]
    assert "無法預知" in page(client, f"/console/customers/{who}")
    with transaction(engine) as session:
        session.execute(table_of(Tag).update().values(is_active=False))
    assert ends("近來") == {"不會自動取下"}, "nothing takes an archived tag off"
    with transaction(engine) as session:
        session.execute(table_of(Tag).update().values(is_active=True))
        newest = session.scalars(select(SegmentRun).order_by(table_of(SegmentRun).c.id.desc()).limit(1)).one()
        newest.settings = {**newest.settings, "look_back_days": 365}
    assert ends("贏回") == {"無法預知"}, "orders leave the window"


def tag_ids(engine: Engine) -> dict[str, int]:
    with reading(engine) as session:
        return {tag.name: tag.id or 0 for tag in session.scalars(select(Tag))}


def test_the_people_of_a_tag_are_paged_by_key(client: FlaskClient, engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        ids = [make_customer(session, member_id=f"P{n:03}").id or 0 for n in range(45)]
        create_tag(session, "全部", now=clock())
        put_on(session, "全部", ids, actor="me", now=clock(), today=date(2026, 11, 2))
    seen: list[str] = []
    address = "/console/tags/1"
    for _ in range(4):
        text = page(client, address)
        seen += re.findall(r">(P\d{3})<", text)
        following = re.findall(r'rel="next" href="([^"]+)"', text)
        if not following:
            break
        address = following[0]
    assert seen == [f"P{n:03}" for n in range(45)]


def test_how_often_a_predictive_tag_was_right_is_shown(
    client: FlaskClient, engine: Engine, clock: StillClock, shop: dict[str, int]
) -> None:
    address = f"/console/tags/{shop['會買']}"
    assert "還沒有一段期間走完" in page(client, address)
    days: dict[str, Any] = {"as_of": date(2026, 9, 1), "until": date(2026, 10, 1), "computed_at": clock()}
    none: dict[str, Any] = {"as_of": date(2026, 8, 1), "until": date(2026, 9, 1), "computed_at": clock()}
    with transaction(engine) as session:
        session.add(TagCheck(tag_id=shop["會買"], people=200, tagged=40, happened=50, hits=30, **days))
        session.add(TagCheck(tag_id=shop["會買"], people=200, tagged=0, happened=0, hits=0, **none))
    text = page(client, address)
    assert cells(text, "2026-09-01 –")[1:] == ["200", "40", "50", "30", "75.0%", "60.0%", "25.0%"]
    assert cells(text, "2026-08-01 –")[-3:] == ["–", "–", "0.0%"]
    assert "預測準確度" not in page(client, f"/console/tags/{shop['老客戶']}")


def test_a_saved_rule_that_was_changed_since_still_shows_its_evidence(
    client: FlaskClient, engine: Engine, clock: StillClock, shop: dict[str, int]
) -> None:
    other = {"type": "segment", "model": "nesl", "in": ["N"]}
    with transaction(engine) as session:
        tag = table_of(Tag)
        changed = tag.update().where(tag.c.name == "老客戶")
        session.execute(changed.values(definition={"when": {"type": "all", "of": [other]}}))
    text = page(client, f"/console/tags/{shop['老客戶']}")
    assert "新客" in text
    assert "規則後來改過" in text
    assert "<b>$.of[0]</b> 3" in text, "what was found is no answer to what is asked now"
    with transaction(engine) as session:
        session.execute(changed.values(definition={"rule": "不在了"}))
    text = page(client, f"/console/tags/{shop['老客戶']}")
    assert "不在了" in text
    assert "$.of[0]" in text, "what was found is told by its path where its condition is gone"


def test_a_tag_that_came_off_says_when_and_why(client: FlaskClient, engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        who = make_customer(session, member_id="x").id or 0
        create_tag(session, "講座", now=clock())
        put_on(session, "講座", [who], actor="me", now=clock(), today=date(2026, 11, 2))
        take_off(session, "講座", [who], actor="小林", now=clock() + timedelta(days=1), note="誤加")
    text = page(client, f"/console/customers/{who}")
    assert "已取下 2026-11-03 12:00" in text
    assert "誤加" in text


def test_a_preference_is_told_by_its_score_line_and_signals() -> None:
    evidence = {
        "as_of": "2026-11-03",
        "dimension": "label",
        "value": "染護",
        "score": 0.7,
        "share": 0.15,
        "on": 1.5,
        "off": 0.75,
        "off_by": "score",
        "ahead": "頭皮養護",
        "signals": [{"source": "order", "day": "2026-09-02", "order_id": 9, "sku": "S17", "weight": 0.5656}],
    }
    facts = {fact.name: fact.value for fact in told("preference", evidence, Asked(), "zh")}
    assert facts == {
        "分數": "0.7（取下門檻 0.75）",
        "佔比": "15%",
        "現在更在意": "頭皮養護",
        "2026-09-02": "買了 S17 +0.57",
        "當時": "2026-11-03 00:00",
    }
    facts = {fact.name: fact.value for fact in told("preference", {**evidence, "off_by": None}, Asked(), "en")}
    assert facts["Score"] == "0.7 (put on from 1.5)"
    assert told("hand", None, Asked(), "zh") == []


def test_the_sentences_of_tags_say_what_puts_them_on(client: FlaskClient, engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        dyed = {"dimension": "label", "value": "染護"}
        prefers = create_tag(session, "染護", source="preference", definition=dyed, now=clock()).id
        rich = create_tag(
            session, "大戶", source="measure", definition={"measure": "paid_total", "at_least": "500"}, now=clock()
        ).id
    text = page(client, f"/console/tags/{prefers}")
    assert "偏好 標籤（商品） 染護（分數到 1.5 且佔比到 20% 時貼上，分數低於 0.75 或佔比低於 10% 時取下" in text
    assert "累計消費額 ≥ 500" in page(client, f"/console/tags/{rich}")
    assert "halved every 90 days" in page(client, f"/console/tags/{prefers}?lang=en")


def test_every_word_of_tags_and_evidence_has_english() -> None:
    for words in (TAG_WORDS, DIMENSIONS, EVIDENCE):
        assert set(words.values()) <= set(english())
    assert {measure.chinese for measure in MEASURES.values()} <= set(english())
    assert set(MEASURES) <= set(EVIDENCE)


def test_a_tag_of_people_counts_at_once(client: FlaskClient, engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        number = create_tag(session, "講座", now=clock()).id
        people = [make_customer(session).id or 0 for _ in range(3)]

    def counted() -> str:
        return str(re.findall(r"<dt>人數</dt><dd>([^<]*)<", page(client, f"/console/tags/{number}"))[0])

    assert counted() == "0"
    with transaction(engine) as session:
        put_on(session, "講座", people, actor="me", now=clock(), today=clock().date())
    assert counted() == "3"
    with transaction(engine) as session:
        take_off(session, "講座", people[:1], actor="me", now=clock())
    assert counted() == "2"


def test_a_tag_says_what_uses_it(client: FlaskClient, engine: Engine, clock: StillClock) -> None:
    tagged = {"type": "tag", "name": "講座"}
    with transaction(engine) as session:
        number = create_tag(session, "講座", now=clock()).id
        other = create_tag(session, "講座 2", now=clock()).id
        asks = create_tag(session, "來過", source="rule", definition={"when": tagged}, now=clock()).id
        save_rule(session, "聽眾", tagged, clock(), actor="me")
        channel = make_channel(session)
        to_them = make_campaign(session, channel, name="五月", state="scheduled", audience={"any_of": ["tag:講座"]})
        on_tag = make_campaign(session, channel, name="歡迎", state="sending", trigger={"on": "tag", "name": "講座"})
        make_campaign(session, channel, name="過去", state="done", audience={"any_of": ["tag:講座"]})
        values = {"any_of": ["tag:講座"], "theme": "tag:講座 2"}
        given: dict[str, Any] = {"created_at": clock(), "updated_at": clock(), "updated_by": "me"}
        session.add(CampaignDraft(name="六月", values=values, campaign_id=None, **given))
        campaigns = [to_them.id, on_tag.id]
    text = page(client, f"/console/tags/{number}")
    listed = text[text.index("哪裡用到它") : text.index("誰有這個標籤")]
    assert re.findall(r'href="([^"]+)">([^<]+)</a>', unquote(listed)) == [
        ("/console/rules/edit?name=聽眾", "聽眾"),
        (f"/console/tags/{asks}", "來過"),
        (f"/console/campaigns/{campaigns[0]}", "五月"),
        (f"/console/campaigns/{campaigns[1]}", "歡迎"),
        ("/console/campaigns/drafts/1/who", "六月"),
    ]
    assert "What uses it" in page(client, f"/console/tags/{number}?lang=en")
    assert "What uses it" not in page(client, f"/console/tags/{other}?lang=en")
