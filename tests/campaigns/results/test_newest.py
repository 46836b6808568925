"""Of campaigns with many runs the newest are added up, of those with few all; the runs of one come in pages."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from campaigns.results.newest import fair_share, newest_runs, page_of_runs
from store.engine import transaction
from store.errors import NotFound
from store.models import Campaign
from tests.conftest import StillClock
from tests.factories import make_campaign, make_channel, make_run


@pytest.mark.parametrize(
    ("counts", "most", "each"),
    [
        ([], 5, None),
        ([1, 2, 2], 5, None),
        ([1, 3, 2], 5, 2),
        ([1, 9, 9], 9, 4),
        ([7, 7, 7], 2, 1),
        ([43_000], 500, 500),
    ],
)
def test_what_a_page_adds_up_is_shared_fairly(counts: list[int], most: int, each: int | None) -> None:
    assert fair_share(dict(enumerate(counts)), most) == each


def test_the_newest_runs_of_each_campaign_are_found(engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        channel = make_channel(session)
        often, once, never = (make_campaign(session, channel).id or 0 for _ in range(3))
        runs = []
        for number in range(4):
            at = clock() - timedelta(days=number)  # the first is the newest
            fired = {"scheduled_for": at, "fired_at": at}
            runs.append(make_run(session, session.get_one(Campaign, often), **fired).id or 0)
        single = make_run(session, session.get_one(Campaign, once)).id or 0
        assert newest_runs(session, [often, once, never], 3) == ({often: runs[:2], once: [single], never: []}, 2)
        everything, each = newest_runs(session, [often, once, never], 5)
        assert (sorted(everything[often]), everything[once], each) == (sorted(runs), [single], None)
        assert newest_runs(session, [never], 5) == ({never: []}, None)


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
        assert walked == [[runs[2], runs[1]], [runs[3], runs[0]], [runs[4]]]
        for wrong in (other, 2**70, 0):
            with pytest.raises(NotFound, match="has no run"):
                page_of_runs(session, campaign.id or 0, before=wrong, limit=2)
