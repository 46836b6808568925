"""What campaigns brought, on the console's pages: all of them together, and learned targeting against the hand rule."""

from datetime import timedelta
from zoneinfo import ZoneInfo

from flask.testing import FlaskClient
from sqlalchemy import Engine

from campaigns.experiments.arms import is_in_rule_arm
from campaigns.money.gain import EVERYBODY, Cut, Gains
from campaigns.settings import change_settings
from store.engine import transaction
from store.models import CampaignRun, Delivery
from tests.conftest import StillClock
from tests.console.conftest import page, sign_in
from tests.factories import make_account, make_campaign, make_channel, make_customer, make_run

TAIPEI = ZoneInfo("Asia/Taipei")


def test_what_all_campaigns_bring_has_a_page_that_their_list_leads_to(
    client: FlaskClient, engine: Engine, clock: StillClock
) -> None:
    assert "要先設定全域對照組" in page(client, "/console/campaigns/together")
    assert "所有活動一起帶來的" not in page(client, "/console/campaigns")
    with transaction(engine) as session:
        channel = make_channel(session)
        for _ in range(30):
            make_account(session, channel, make_customer(session))
        change_settings(session, {"global_holdout_percent": 50}, actor="test", now=clock() - timedelta(days=2))
    assert 'href="/console/campaigns/together"' in page(client, "/console/campaigns")
    text = page(client, "/console/campaigns/together")
    assert text.count("<tr><td>") == 1
    clock.advance(days=100)
    sign_in(client, engine, clock)
    assert page(client, "/console/campaigns/together").count("<tr><td>") == 1
    assert page(client, "/console/campaigns/together?earlier=1").count("<tr><td>") in (2, 3)
    assert "進行中" in text
    assert "購買的人太少，還看不出來" in text
    assert "What all campaigns bring together" in page(client, "/console/campaigns/together?lang=en")


def test_a_campaigns_page_compares_learned_targeting_with_the_hand_rule(client: FlaskClient, engine: Engine) -> None:
    with transaction(engine) as session:
        campaign = make_campaign(session, make_channel(session))
        run = make_run(session, campaign, state="sent")
        people = [make_customer(session).id or 0 for _ in range(20)]
        session.add_all(Delivery(run_id=run.id or 0, customer_id=who, state="accepted") for who in people)
        campaign_id, run_id = campaign.id or 0, run.id or 0
    assert "依預期效益選人" not in page(client, f"/console/campaigns/{campaign_id}/results")
    with transaction(engine) as session:
        session.get_one(CampaignRun, run_id).arms = Cut(
            Gains({"none": 1.0}, {"none": 0.0}, False), run_id, EVERYBODY
        ).to_json()
    by_rule = sum(bool(is_in_rule_arm(who, campaign_id)) for who in people)
    text = page(client, f"/console/campaigns/{campaign_id}/results")
    assert f'<td>手選名單</td><td class="number">{by_rule}</td>' in text
    assert f'<td>預期效益</td><td class="number">{20 - by_rule}</td>' in text
    assert "Expected gain less hand rule" in page(client, f"/console/campaigns/{campaign_id}/results?lang=en")
