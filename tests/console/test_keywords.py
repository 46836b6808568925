"""Keywords on the console: effects by theme and segment, copy judged and suggested, words of the brand, files."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from urllib.parse import urlencode
from zipfile import ZipFile
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, select

from console.access.roles import Role
from console.frame.formats import percent
from console.frame.site import Site
from console.pages import create_console
from keywords.copy.data import slot_words
from keywords.copy.score import score
from keywords.copy.settings import change_settings
from keywords.copy.writer import Writer
from keywords.effects.current import current_learning
from keywords.effects.prediction import Situation
from keywords.effects.stored import renew_learning
from keywords.report import TermRow
from keywords.sharing.chart import CHART_WIDTH, draw
from keywords.text.brand import brand_tokenizer, read_words
from keywords.text.tokenizer import shared_tokenizer
from store.engine import reading, table_of, transaction
from store.models import (
    AuditEntry,
    Campaign,
    CampaignRun,
    ConsoleLine,
    ConsoleUser,
    KeywordSuggestion,
    MessageResult,
)
from tests.conftest import StillClock
from tests.console.auditing import watch
from tests.console.conftest import TAIPEI, opened, page, send, sign_in
from tests.console.test_drafts import begin, step
from tests.factories import make_account, make_campaign, make_channel, make_customer, make_run

EVIL = "<script>alert(1)</script>"
AT = datetime(2026, 10, 1, tzinfo=UTC)


@pytest.fixture
def campaign_id(engine: Engine) -> int:
    """40 runs of two themes to two segments: 發熱衣 and 限時下殺 work. Returns the last campaign."""
    with transaction(engine) as session:
        channel = make_channel(session)
        for number in range(40):
            good, winter = number % 2 == 0, number % 4 < 2
            campaign = make_campaign(session, channel, theme="冬季服飾" if winter else "露營")
            moment = AT + timedelta(days=number)
            run = make_run(session, campaign, scheduled_for=moment, fired_at=moment)
            for segment in ("important_value", "ordinary_retain"):
                session.add(
                    MessageResult(
                        run_id=run.id or 0,
                        variant_id=run.variants[0]["variant_id"],
                        segment=segment,
                        theme=campaign.theme,
                        channel=channel.name,
                        message_text=("發熱衣" if winter else "帳篷") + (" 限時下殺" if good else " 新品上市"),
                        sent_at=moment,
                        recipients=2000,
                        clicks=300 if good else 60,
                        changed_at=moment,
                    )
                )
        return campaign.id or 0


@pytest.fixture
def learned(engine: Engine, campaign_id: int) -> None:
    renew_learning(engine, shared_tokenizer(), zone=ZoneInfo("Asia/Taipei"), clock=lambda: AT)


def test_no_page_fits_anything_before_the_worker_has_learned(client: FlaskClient, campaign_id: int) -> None:
    text = page(client, "/console/keywords")
    assert "data-chart" not in text
    assert "還沒有足夠的發送結果可以學習" in text


def test_the_page_draws_what_was_learned(client: FlaskClient, learned: None, campaign_id: int) -> None:
    text = page(client, "/console/keywords")
    assert "data-chart" in text
    assert "下殺" in text
    assert "2026-10-01 08:00" in text  # when it was computed, in the brand's time
    taught = page(client, f"/console/campaigns/{campaign_id}")
    assert "這次發送學到什麼" in taught
    assert "帳篷" in taught


def test_a_campaigns_page_says_when_its_run_will_teach(
    client: FlaskClient, engine: Engine, clock: StillClock, campaign_id: int
) -> None:
    with transaction(engine) as session:
        campaign = session.get_one(Campaign, campaign_id)
        made: dict[str, Any] = {"scheduled_for": clock(), "fired_at": clock(), "link_ids": {"https://a.example": 1}}
        run_id = make_run(session, campaign, state="sending", **made).id
    assert "這次發送結束 24 小時後" in page(client, f"/console/campaigns/{campaign_id}")
    with transaction(engine) as session:
        run = session.get_one(CampaignRun, run_id)
        run.state, run.finished_at = "sent", clock() - timedelta(hours=23)
    text = page(client, f"/console/campaigns/{campaign_id}")
    assert "開始的時間： 2026-11-02 13:00" in text
    with transaction(engine) as session:
        session.get_one(CampaignRun, run_id).finished_at = clock() - timedelta(hours=24)
    assert "才教哪些詞有效" not in page(client, f"/console/campaigns/{campaign_id}")


def test_a_theme_and_a_segment_are_learned_from_alone(client: FlaskClient, learned: None) -> None:
    whole = page(client, "/console/keywords")
    camping = page(client, "/console/keywords?" + urlencode({"theme": "露營"}))
    assert "只從這些訊息學習" in camping
    assert "只從這些訊息學習" not in whole
    assert "<dd>40</dd>" in whole
    assert "<dd>20</dd>" in camping
    assert "<dd>80,000</dd>" in page(client, "/console/keywords?segment=important_value")
    nothing = page(client, "/console/keywords?" + urlencode({"theme": EVIL}))
    assert "還沒有足夠的發送結果可以學習" in nothing
    assert EVIL not in nothing


@pytest.mark.parametrize("ending", [".html", ".csv", ".xlsx", ".json"])
def test_the_report_is_taken_away_and_noted(client: FlaskClient, engine: Engine, learned: None, ending: str) -> None:
    answer = send(client, "/console/keywords/export", ending=ending)
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"].endswith(f'{ending}"')
    if ending == ".xlsx":
        with ZipFile(BytesIO(answer.data)) as book:
            text = "".join(book.read(name).decode() for name in book.namelist() if name.endswith(".xml"))
    else:
        text = answer.get_data(as_text=True)
    assert all(word in text for word in ("限時", "冬季服飾", "露營"))
    with reading(engine) as session:
        noted = session.scalars(select(AuditEntry).order_by(table_of(AuditEntry).c.id.desc())).first()
    assert noted is not None
    assert (noted.action, noted.detail["format"]) == ("export keyword report", ending[1:])
    assert noted.detail["rows"] > 0


def test_only_known_files_are_made_and_only_for_analysts(
    client: FlaskClient, learned: None, client_of: Callable[[Role], FlaskClient]
) -> None:
    assert send(client, "/console/keywords/export", ending=".exe").status_code == 400
    assert send(client, "/console/keywords/export", ending=".csv", theme="nothing").status_code == 400
    reader = client_of(Role.READER)
    assert send(reader, "/console/keywords/export", ending=".csv").status_code == 403
    assert "keywords/export" not in page(reader, "/console/keywords")


def test_a_text_is_judged(client: FlaskClient, learned: None) -> None:
    asked = {"text": f"發熱衣 駱馬 {EVIL}", "segment": "important_value", "theme": "冬季", "at": "2026-12-01T20:00"}
    scored = page(client, "/console/keywords/write?" + urlencode(asked))
    assert "預測點擊率" in scored
    assert "沒用過的詞" in scored
    assert "<script>" not in scored
    assert "Score my copy" in page(client, "/console/keywords/write?lang=en&" + urlencode({**asked, "at": "soon"}))


def test_ideas_are_given_for_a_theme_and_all_that_is_shown_is_logged(
    client: FlaskClient, engine: Engine, learned: None
) -> None:
    asked = {"theme": "冬季服飾促銷", "mode": "explore", "offer": "全館79折\n滿千送百", "segment": "important_value"}
    text = page(client, "/console/keywords/ideas?" + urlencode(asked))
    assert "整句文案" in text
    with reading(engine) as session:
        shown = session.scalars(select(KeywordSuggestion)).all()
    assert {one.kind for one in shown} >= {"term", "line"}
    for one in shown:
        assert f'data-insert="{one.words}"' in text
        assert one.propensity is not None
        assert 0 < one.propensity <= 1
    lines = [one.words for one in shown if one.kind == "line"]
    assert len(lines) == 5
    assert all("全館79折" in line and "滿千送百" in line for line in lines)
    assert "用到的詞" in text
    with reading(engine) as session:
        sent = session.scalars(select(table_of(MessageResult).c.message_text)).all()
    safe = page(client, "/console/keywords/ideas?" + urlencode({**asked, "mode": "safe"}))  # what is explored is chance
    assert any(words[:20] in safe for words in sent)  # the past messages in their own words
    assert "寫主題" in page(client, "/console/keywords/ideas")


def test_what_may_not_be_written_is_told(client: FlaskClient, learned: None) -> None:
    refused = page(client, "/console/keywords/ideas?" + urlencode({"theme": "療效面膜"}))
    assert "含有禁用的「療效」" in refused
    assert "沒有「poem」這種形式" in page(
        client, "/console/keywords/ideas?" + urlencode({"theme": "冬季", "form": "poem"})
    )


def test_what_the_brands_own_templates_leave_is_filled_by_built_in_ones_marked_so(
    client: FlaskClient, engine: Engine, clock: StillClock
) -> None:
    asked = "/console/keywords/ideas?" + urlencode({"theme": "冬季服飾", "product": "羽絨外套", "form": "line"})
    assert "內建句型" not in page(client, asked)
    with transaction(engine) as session:
        change_settings(session, {"templates": ["line | 小編推｜{product}"]}, actor="test", now=clock())
    text = page(client, asked)
    assert text.count('data-insert="小編推｜羽絨外套"') == 1
    assert text.count('<span class="pill">內建句型</span>') == 4
    assert "這次都不能用" not in text
    with transaction(engine) as session:
        change_settings(session, {"templates": ["line | 免運！{product}"]}, actor="test", now=clock())
    text = page(client, asked)
    assert text.count('<span class="pill">內建句型</span>') == 5
    assert "品牌自己的句型這次都不能用" in text


def test_fewer_lines_than_asked_for_are_told(client: FlaskClient, engine: Engine, clock: StillClock) -> None:
    calls = slot_words()["call"]
    with transaction(engine) as session:
        change_settings(session, {"blocked": list(calls[1:])}, actor="test", now=clock())
    asked = {"theme": "量子力學", "product": "羽絨外套", "form": "line"}
    text = page(client, "/console/keywords/ideas?" + urlencode(asked))
    assert "只夠寫" not in text
    with transaction(engine) as session:
        blocked = [*calls[1:], "必", "推薦", "百搭"]
        change_settings(session, {"blocked": blocked}, actor="test", now=clock())
    assert "只夠寫 2 句" in page(client, "/console/keywords/ideas?" + urlencode(asked))


def test_a_model_that_does_not_write_is_told_and_the_built_lines_are_there(engine: Engine, clock: StillClock) -> None:
    app = Flask(__name__)
    app.secret_key = "a key of tests"
    writer = Writer("http://127.0.0.1:9/v1", "tiny", timeout_seconds=2.0)
    app.register_blueprint(create_console(Site(engine, TAIPEI, clock, writer=writer)))
    watch(app, engine)
    client = sign_in(app.test_client(), engine, clock)
    assert "也請模型寫" in page(client, "/console/keywords/write")
    text = page(client, "/console/keywords/ideas?" + urlencode({"theme": "冬季服飾", "writer": "1"}))
    assert "模型沒有寫" in text
    assert "整句文案" in text


def test_the_brands_words_are_added_removed_and_folded(client: FlaskClient, engine: Engine) -> None:
    def kept() -> tuple[set[str], bool]:
        with reading(engine) as session:
            found = read_words(session)
        return set(found.words), found.is_folded

    assert "還沒有登記任何詞" in page(client, "/console/keywords/words")
    send(client, "/console/keywords/words", press="add", words="極潤賦活露\n小蜜罐")
    send(client, "/console/keywords/words", press="fold", is_folded="on")
    assert kept() == ({"極潤賦活露", "小蜜罐"}, True)
    assert "極潤賦活露" in page(client, "/console/keywords/words")
    send(client, "/console/keywords/words", press="remove", word="小蜜罐")
    send(client, "/console/keywords/words", press="fold")
    assert kept() == ({"極潤賦活露"}, False)
    send(client, "/console/keywords/words", press="add", words="…")
    assert "無法執行" in page(client, "/console/keywords/words")
    assert kept() == ({"極潤賦活露"}, False)


def test_who_gets_the_report_when_is_chosen_on_a_page(client: FlaskClient, engine: Engine) -> None:
    text = page(client, "/console/settings/report")
    assert '<option value="never" selected>不寄</option>' in text
    assert 'name="folder"' not in text  # a place on the server: the operator's
    with transaction(engine) as session:
        for email in ("anna@example.com", "ben@example.com"):
            session.add(ConsoleUser(email=email, name=email[:3], role="marketer", created_at=AT))
        session.flush()
        channel = make_channel(session)
        anna = session.scalars(select(ConsoleUser).where(table_of(ConsoleUser).c.email == "anna@example.com")).one()
        account = make_account(session, channel, make_customer(session))
        ids: dict[str, Any] = {"user_id": anna.id or 0, "channel_id": channel.id or 0, "line_account_id": account.id}
        session.add(ConsoleLine(**ids, code="", after_event_id=0, asked_at=AT))
    text = page(client, "/console/settings/report")
    assert '<input type="checkbox" name="marketers" value="anna@example.com"> <span>ann anna@example.com</span>' in text
    assert (
        'value="ben@example.com" disabled> <span>ben ben@example.com <small>還沒有綁定自己的 LINE</small></span>'
        in text
    )
    address = "/console/settings/report"
    given = {"every": "week", "weekday": "1", **opened(client, address)}
    assert send(client, address, **given, marketers=["", "anna@example.com"]).status_code == 303
    text = page(client, address)
    assert '<option value="week" selected>每週</option>' in text
    assert 'value="anna@example.com" checked' in text
    assert send(client, address, every="week").status_code == 303  # a form without them leaves them
    assert 'value="anna@example.com" checked' in page(client, address)
    refused = send(client, address, marketers=["", "anna@example.com", "ben@example.com"])
    assert refused.status_code == 422
    text = refused.get_data(as_text=True)
    assert "ben@example.com 還沒有綁定自己的 LINE" in text
    assert 'value="ben@example.com" checked' in text  # as it was typed
    assert send(client, address, marketers=[""], **opened(client, address)).status_code == 303
    assert "checked" not in page(client, address)
    assert send(client, address, every="daily").status_code == 422


def _row(effect: float, low: float, high: float) -> TermRow:
    return TermRow("t", effect, low, high, 0.5, 1, 1, 1, 1)


def test_bars_keep_inside_the_drawing_and_say_whether_they_are_settled() -> None:
    zero, bars = draw([_row(1.0, 0.5, 1.5), _row(0.1, -0.4, 0.5), _row(-1.0, -1.5, -0.5)])
    assert [bar.kind for bar in bars] == ["up", "open", "down"]
    assert zero == CHART_WIDTH / 2
    assert [(bars[0].x_high, bars[2].x_low)] == [(CHART_WIDTH, 0)]
    assert draw([_row(0.0, 0.0, 0.0)])[0] == 0
    assert draw([])[1] == []


def test_each_version_of_a_draft_is_scored_for_its_planned_time(
    client: FlaskClient, engine: Engine, clock: StillClock, learned: None
) -> None:
    draft = begin(client)
    texts = ("發熱衣限時下殺", "帳篷新品上市")
    fields = {
        f"v{n}-m0-{name}": given for n, text in enumerate(texts) for name, given in (("kind", "text"), ("text", text))
    }
    assert step(client, draft, "what", press="variant", **fields).status_code == 303

    def expected(at: datetime) -> list[tuple[str, str]]:
        with reading(engine) as session:
            learning, tokenizer = current_learning(session), brand_tokenizer(session)
        found = [score(text, learning, tokenizer, Situation.at(at, TAIPEI)).prediction for text in texts]
        return [(percent(one.rate), f"{percent(one.low)}–{percent(one.high)}") for one in found if one is not None]

    def told() -> list[tuple[str, str]]:
        text = send(client, f"{draft}/preview", **fields).get_data(as_text=True)
        return re.findall(r'<p class="big">(\S+) <small>(\S+)</small>', text)

    soon = told()
    assert soon == expected(clock() + timedelta(hours=1))
    assert len(set(soon)) == 2
    step(client, draft, "when", kind="at", at="2026-12-29T08:00")
    assert told() == expected(datetime(2026, 12, 29, 8, tzinfo=TAIPEI)) != soon
