"""The runs of a campaign come in pages."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from campaigns.results.newest import count_of_runs, page_of_runs
from store.engine import transaction
from store.errors import NotFound
from tests.conftest import StillClock
from tests.factories import make_campaign, make_channel, make_run


def test_runs_of_a_campaign_come_in_pages_the_newest_first(engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        campaign = make_campaign(session, make_channel(session))
        other = make_run(session, make_campaign(session, make_channel(session))).id or 0
        moments = [clock() - timedelta(days=day) for day in (3, 1, 1, 2, 9)]  # two fired at the same moment
        runs = [
            make_run(session, campaign, step_number=number, scheduled_for=at, fired_at=at).id or 0
            for number, at in enumerate(moments, 1)
        ]
        walked, before = [], None
        while True:
            page, before = page_of_runs(session, campaign.id or 0, before=before, limit=2)
            walked.append([one.id for one in page])
            if before is None:
                break
        assert count_of_runs(session, campaign.id or 0) == 5
        assert walked == [[runs[2], runs[1]], [runs[3], runs[0]], [runs[4]]]
        for wrong in (other, 2**70, 0):
            with pytest.raises(NotFound, match="has no run"):
                page_of_runs(session, campaign.id or 0, before=wrong, limit=2)
