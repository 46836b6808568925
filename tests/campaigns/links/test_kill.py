"""The web server is killed (SIGKILL) under a thousand taps a second: every 302 that it gave has its row."""

from sqlalchemy import Engine, insert

from benchmarks.clicks import Place, kill_in_the_middle
from store.engine import table_of, transaction
from store.models import CampaignRun, Customer, TrackedLink
from tests.factories import LONG_AGO, make_campaign, make_channel

TAPS = 2_500


def test_no_tap_that_was_answered_is_lost(engine: Engine) -> None:
    with transaction(engine) as session:
        people = [{"id": n, "attributes": {}, "created_at": LONG_AGO} for n in range(1, TAPS + 1)]
        session.execute(insert(table_of(Customer)), people)
        campaign_id = make_campaign(session, make_channel(session)).id or 0
        link = TrackedLink(campaign_id=campaign_id, url="https://shop.example/a")
        run = CampaignRun(campaign_id=campaign_id, scheduled_for=LONG_AGO, way="push", fired_at=LONG_AGO)
        session.add_all([link, run])
        session.flush()
        url = engine.url.render_as_string(hide_password=False)
        place = Place(url, engine, link.id or 0, run.id or 0)
    answered, lost = kill_in_the_middle(place, TAPS, after_taps=700)
    assert 0 < answered < TAPS  # it died in the middle
    assert lost == 0
