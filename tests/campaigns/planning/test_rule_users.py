"""A saved rule stays as long as a campaign that isn't over asks for it."""

import json
from typing import Any

import pytest
from sqlalchemy import Engine, update

from campaigns.planning.rule_users import forget_rule, needs_rule
from segmentation.rules.saved import RuleInUse, load_rules, save_rule
from store.engine import reading, table_of, transaction
from store.errors import NotFound
from store.models import Campaign, CampaignStep
from tests.conftest import StillClock
from tests.factories import make_campaign, make_channel

ADULT = {"type": "age", "at_least": 18}
ASKED = {"type": "all", "of": [{"type": "not", "of": {"type": "rule", "name": "a"}}, ADULT]}
WRITTEN = f"rule:{json.dumps(ASKED)}"


@pytest.mark.parametrize(
    "fields",
    [
        {"audience": {"any_of": ["all", "rule:a"], "none_of": []}},
        {"audience": {"any_of": ["all"], "none_of": [WRITTEN]}},
        {"goal": ASKED},
        {"condition": ASKED},
    ],
    ids=["audience", "left out", "goal", "step"],
)
def test_a_rule_that_a_campaign_needs_is_kept_until_that_is_over(
    engine: Engine, clock: StillClock, fields: dict[str, Any]
) -> None:
    with transaction(engine) as session:
        save_rule(session, "a", ADULT, clock(), actor="me")
        mine = {name: value for name, value in fields.items() if name != "condition"}
        campaign = make_campaign(session, make_channel(session), state="scheduled", **mine)
        if "condition" in fields:
            first = table_of(CampaignStep).c.campaign_id == campaign.id
            session.execute(update(CampaignStep).where(first).values(condition=fields["condition"]))
        number = campaign.id
    with pytest.raises(RuleInUse, match=f"needed by campaign {number}$"), transaction(engine) as session:
        forget_rule(session, "a")
    with transaction(engine) as session:
        session.execute(update(table_of(Campaign)).values(state="cancelled"))
        forget_rule(session, "a")
    with reading(engine) as session:
        assert load_rules(session) == {}


def test_what_asks_for_another_is_no_hindrance(engine: Engine, clock: StillClock) -> None:
    for value in ("rule:b", "tag:a", {"type": "tag", "name": "a"}, {"type": "rule", "name": "b"}, WRITTEN[5:], None):
        assert not needs_rule(value, "a"), value
    with pytest.raises(NotFound), transaction(engine) as session:
        forget_rule(session, "a")
