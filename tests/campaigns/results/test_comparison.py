"""A rule that picks the wrong people: seen when it is so, and hardly ever when it isn't."""

from decimal import Decimal

import numpy as np
import pytest
from sqlalchemy import select

from campaigns.results import exploration
from campaigns.results.comparison import Comparison, compare
from campaigns.results.exploration import explore, explored
from campaigns.results.lift import Arm
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import Campaign, CustomerList, CustomerListMember
from tests.campaigns.conftest import ZONE
from tests.campaigns.results.conftest import DAY, Story
from tests.factories import make_customer

SIZES = (19_000, 1_000, 5_000, 5_000)  # sent and held out of the rule's people; sent and held out of the others
HUALIEN = (0.06, 0.05, 0.05, 0.02)  # who had looked at the region buys anyway; the push adds 1 point there, 3 elsewhere
RIGHT_RULE = (0.06, 0.03, 0.03, 0.02)
NO_MATTER = (0.06, 0.05, 0.03, 0.02)  # the same gain on both sides, from other levels


def drawn(rates: tuple[float, ...], rng: np.random.Generator) -> Comparison:
    arms = [Arm(people, int(rng.binomial(people, rate))) for people, rate in zip(SIZES, rates, strict=True)]
    found = compare((arms[0], arms[1]), (arms[2], arms[3]))
    assert found is not None
    return found


def warned(rates: tuple[float, ...], times: int) -> float:
    rng = np.random.default_rng(4)
    return sum(drawn(rates, rng).is_warning for _ in range(times)) / times


def test_the_hualien_case_is_seen() -> None:
    assert warned(HUALIEN, 1_000) > 0.7
    found = drawn(HUALIEN, np.random.default_rng(0))
    assert found.outside.difference > found.inside.difference
    # Only gains show it: of those sent to, the rule's people buy more, and that is why it looked right.
    assert HUALIEN[0] > HUALIEN[2]


def test_where_both_gain_alike_it_warns_at_most_once_in_twenty() -> None:
    assert warned(NO_MATTER, 3_000) < 0.065


def test_a_rule_that_picks_the_right_people_is_left_in_peace() -> None:
    assert warned(RIGHT_RULE, 1_000) < 0.01


def test_without_a_holdout_on_both_sides_nothing_is_said() -> None:
    assert compare((Arm(10, 1), Arm()), (Arm(10, 1), Arm(10, 1))) is None


def fill(story: Story, run_id: int, sent: tuple[int, int], held_out: tuple[int, int]) -> None:
    """People of a run, and how many of them buy."""
    for state, (people, buyers) in (("accepted", sent), ("held_out", held_out)):
        for number in range(people):
            who = story.person(run_id, state)
            if number < buyers:
                story.order(who, story.at + DAY)


def test_a_campaign_is_explored_among_those_whom_it_leaves_out(story: Story) -> None:
    engine, member = story.engine, table_of(CustomerListMember)
    with transaction(engine) as session:
        everyone = [make_customer(session).id or 0 for _ in range(60)]
        rule = CustomerList(name="看過花蓮", origin={}, created_at=story.at)
        session.add(rule)
        session.flush()
        session.add_all(CustomerListMember(list_id=rule.id or 0, customer_id=who) for who in everyone[:20])
        campaign = session.get_one(Campaign, story.campaign_id)
        campaign.audience = {"any_of": ["list:看過花蓮"], "none_of": []}
        campaign.utm, campaign.priority, campaign.keeps_quiet_hours = {"source": "line"}, 3, False
        session.add(campaign)
    given = {"holdout_percent": Decimal(50), "at": None, "zone": ZONE, "actor": "test", "clock": story.clock}
    explorer = explore(engine, story.campaign_id, percent=100, **given)  # type: ignore[arg-type]
    with reading(engine) as session:
        made = session.get_one(Campaign, explorer)
        drawn_ids = set(session.scalars(select(member.c.customer_id).where(member.c.list_id != rule.id)))
        assert explored(session, story.campaign_id) is None  # nothing has been sent yet
    assert drawn_ids == set(everyone[20:])
    assert (made.state, made.holdout_percent, made.theme, made.way) == ("draft", Decimal(50), "冬季", "push")
    assert (made.utm, made.priority, made.keeps_quiet_hours) == ({"source": "line"}, 3, False)
    with pytest.raises(BadInput, match="explored already"):
        explore(engine, story.campaign_id, percent=5, **given)  # type: ignore[arg-type]
    fill(story, story.run(), sent=(40, 8), held_out=(20, 4))
    fill(story, story.run(campaign_id=explorer), sent=(40, 20), held_out=(40, 4))
    story.catch_up()
    with reading(engine) as session:
        found = explored(session, story.campaign_id)
    assert found is not None
    assert found.inside.difference == pytest.approx(0.0)
    assert found.outside.difference == pytest.approx(0.4)
    assert found.is_warning


def test_outside_a_rule_are_those_who_do_not_fit_it(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exploration, "SLICE", 3)
    member = table_of(CustomerListMember)
    with transaction(story.engine) as session:
        cities = ["花蓮", "台北"] * 5
        people = [make_customer(session, city=city).id or 0 for city in cities]
        rule = 'rule:{"type": "attribute", "name": "city", "is": "花蓮"}'
        session.get_one(Campaign, story.campaign_id).audience = {"any_of": [rule], "none_of": []}
    given = {"holdout_percent": Decimal(50), "at": None, "zone": ZONE, "actor": "test", "clock": story.clock}
    explore(story.engine, story.campaign_id, percent=100, **given)  # type: ignore[arg-type]
    with reading(story.engine) as session:
        drawn_ids = set(session.scalars(select(member.c.customer_id)))
    assert drawn_ids == set(people[1::2])


@pytest.mark.parametrize(("percent", "problem"), [(0.0, "above 0"), (5.0, "nobody is outside")])
def test_what_cannot_be_explored_says_why(story: Story, percent: float, problem: str) -> None:
    with transaction(story.engine) as session:
        make_customer(session)
    given = {"holdout_percent": Decimal(50), "at": None, "zone": ZONE, "actor": "test", "clock": story.clock}
    with pytest.raises(BadInput, match=problem):
        explore(story.engine, story.campaign_id, percent=percent, **given)  # type: ignore[arg-type]
