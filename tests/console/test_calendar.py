"""The calendar of campaigns, and the list with its filters."""

import re
from datetime import UTC, datetime, timedelta

from flask.testing import FlaskClient
from sqlalchemy import Engine

from campaigns.settings import change_settings
from console.campaigns import pages
from store.engine import transaction
from tests.conftest import StillClock
from tests.console.conftest import page
from tests.factories import make_campaign, make_channel, make_run

CALENDAR = "/console/campaigns/calendar"


def day_of(text: str, day: str) -> str:
    """What stands in the cell of a day."""
    return next(cell for cell in text.split('<li class="day')[1:] if f'datetime="{day}"' in cell)


def test_a_month_shows_what_ran_what_is_to_come_and_the_holidays(
    client: FlaskClient, engine: Engine, clock: StillClock
) -> None:
    assert "沒有發送，也沒有排程" in page(client, CALENDAR)
    yesterday = clock() - timedelta(days=1)
    with transaction(engine) as session:
        channel = make_channel(session)
        ran = make_campaign(session, channel, name="<b>跑過的</b>", state="sent")
        make_run(session, ran, fired_at=yesterday, scheduled_for=yesterday, state="sent")
        at = datetime(2026, 11, 27, 2, 0, tzinfo=UTC)
        make_campaign(session, channel, name="要發的", state="scheduled", next_fire_at=at)
        change_settings(session, {"holidays": ["2026-11-20"], "workdays": ["2026-11-21"]}, actor="t", now=clock())
    text = page(client, CALENDAR)
    assert "2026年11月" in text
    assert text.count('<li class="day') == 30
    assert "column-0" in day_of(text, "2026-11-01")  # a Sunday
    assert "&lt;b&gt;跑過的&lt;/b&gt;" in day_of(text, "2026-11-01")
    assert "已發送" in day_of(text, "2026-11-01")
    assert "10:00" in day_of(text, "2026-11-27")
    assert "要發的" in day_of(text, "2026-11-27")
    assert "品牌假日" in day_of(text, "2026-11-20")
    assert "補班日" in day_of(text, "2026-11-21")
    assert 'aria-current="date"' in day_of(text, "2026-11-02")
    english = page(client, f"{CALENDAR}?lang=en")
    assert "November 2026" in english
    assert "the brand&#39;s own holiday" in english


def test_months_before_and_after_are_a_tap_away_and_taiwans_holidays_named_in_both_languages(
    client: FlaskClient,
) -> None:
    text = page(client, f"{CALENDAR}?month=2026-10")
    assert "國慶日" in day_of(text, "2026-10-10")
    assert "National Day" in day_of(page(client, f"{CALENDAR}?month=2026-10&lang=en"), "2026-10-10")
    assert re.findall(r'rel="(?:prev|next)" href="[^"]*month=([\d-]+)"', text) == ["2026-09", "2026-11"]
    assert "回到本月" in text
    assert "回到本月" not in page(client, f"{CALENDAR}?month=2026-11&lang=zh")
    assert 'rel="prev"' not in page(client, f"{CALENDAR}?month=2010-01")
    assert 'rel="next"' not in page(client, f"{CALENDAR}?month=2099-12")
    for wrong in ("2026-13", "1999-01", "2009-12", "soon", ""):
        assert client.get(f"{CALENDAR}?month={wrong}").status_code == 404


def test_a_full_day_folds_what_is_too_much_for_its_cell(client: FlaskClient, engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        channel = make_channel(session)
        for n in range(8):
            at = clock() + timedelta(hours=1, minutes=n)
            make_campaign(session, channel, name=f"第{n}個", state="scheduled", next_fire_at=at)
    cell = day_of(page(client, CALENDAR), "2026-11-02")
    assert "還有 3 個" in cell
    assert cell.index("第4個") < cell.index("<details>") < cell.index("第5個")


def listed(client: FlaskClient, query: str) -> list[str]:
    return re.findall(r"/console/campaigns/\d+\">([^<]+)</a></td>", page(client, f"/console/campaigns?{query}"))


def test_the_list_is_filtered_by_state_channel_and_name_and_keeps_that_on_its_next_page(
    client: FlaskClient, engine: Engine
) -> None:
    with transaction(engine) as session:
        one, two = make_channel(session, name="官方"), make_channel(session, name="門市")
        make_campaign(session, one, name="Winter 100% off", state="sent")
        make_campaign(session, two, name="WINTER", state="paused")
        make_campaign(session, two, name="summer", state="sent")
        for n in range(pages.PAGE_ROWS + 1):
            make_campaign(session, one, name=f"many {n}", state="cancelled")
        two_id = two.id
    assert listed(client, "q=winter") == ["WINTER", "Winter 100% off"]
    assert listed(client, "q=100%25") == ["Winter 100% off"]  # a sign of LIKE is a sign of the name
    assert listed(client, "q=winter%00") == ["WINTER", "Winter 100% off"]
    assert listed(client, f"channel={two_id}") == ["summer", "WINTER"]
    assert listed(client, f"channel={two_id}&state=sent") == ["summer"]
    assert len(listed(client, "state=nonsense")) == pages.PAGE_ROWS
    assert len(listed(client, f"before={2**70}")) == pages.PAGE_ROWS
    assert "沒有符合的活動" in page(client, "/console/campaigns?q=autumn")
    text = page(client, "/console/campaigns?state=cancelled&q=MANY")
    following = re.search(r'rel="next" href="([^"]+)"', text)
    assert following is not None
    rest = page(client, following[1].replace("&amp;", "&"))
    assert re.findall(r">(many \d+)<", rest) == ["many 0"]
    assert '<option value="cancelled" selected>' in rest
