"""A saved rule stays as long as a campaign that isn't over asks for it."""

import json
from typing import Any

import pytest
from sqlalchemy import Engine, delete, update

from campaigns.planning.rule_users import forget_rule, needs_rule
from console.words.refusals import told
from segmentation.rules.saved import RuleInUse, load_rules, save_rule
from store.engine import reading, table_of, transaction
from store.errors import NotFound
from store.models import Campaign, CampaignDraft, CampaignStep, ConsoleUser, CustomerView
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


@pytest.mark.parametrize(
    "values",
    [
        {"any_of": ["rule:a"]},
        {"any_of": ["all"], "none_of": [WRITTEN]},
        {"steps": [{"condition": "rule: a"}]},
        {"first": {"condition": "rule:a"}},
        {"goal": WRITTEN.removeprefix("rule:")},
    ],
    ids=["audience", "left out", "step", "first step", "goal"],
)
def test_a_rule_that_a_draft_needs_is_kept_while_that_is_open(
    engine: Engine, clock: StillClock, values: dict[str, Any]
) -> None:
    with transaction(engine) as session:
        save_rule(session, "a", ADULT, clock(), actor="me")
        at: dict[str, Any] = {"created_at": clock(), "updated_at": clock(), "updated_by": "test"}
        session.add(CampaignDraft(name="秋天", values=values, **at))
    with pytest.raises(RuleInUse, match=r"needed by the draft 秋天$") as caught, transaction(engine) as session:
        forget_rule(session, "a")
    assert told(caught.value, "zh") == "規則「a」還有活動的草稿在用：秋天"
    with transaction(engine) as session:
        session.execute(update(table_of(CampaignDraft)).values(done_at=clock()))
        forget_rule(session, "a")


def test_words_of_a_draft_that_look_like_a_rule_keep_none(engine: Engine, clock: StillClock) -> None:
    said = {"messages": [{"kind": "text", "text": "rule:a"}, {"kind": "flex", "json": json.dumps(ASKED)}]}
    values = {"any_of": ["all"], "variants": [said], "steps": [{"condition": "clicked", "variants": [said]}]}
    with transaction(engine) as session:
        save_rule(session, "a", ADULT, clock(), actor="me")
        at: dict[str, Any] = {"created_at": clock(), "updated_at": clock(), "updated_by": "test"}
        session.add(CampaignDraft(name="rule:a", values=values | {"theme": "rule:a"}, **at))
    with transaction(engine) as session:
        forget_rule(session, "a")
    with reading(engine) as session:
        assert load_rules(session) == {}


def test_a_rule_that_a_view_needs_is_kept_while_there_is_the_view(engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        save_rule(session, "a", ADULT, clock(), actor="me")
        ann = ConsoleUser(email="ann@example.com", name="Ann", role="reader", created_at=clock())
        session.add(ann)
        session.flush()
        view = CustomerView(user_id=ann.id or 0, name="我的", rule=ASKED, created_at=clock(), updated_at=clock())
        session.add(view)
        session.flush()
        number = view.id
    needed = rf"needed by view {number} \(ann@example.com\)$"
    with pytest.raises(RuleInUse, match=needed) as caught, transaction(engine) as session:
        forget_rule(session, "a")
    assert told(caught.value, "zh") == f"規則「a」還有顧客的檢視在用：{number} (ann@example.com)"
    with transaction(engine) as session:
        session.execute(delete(table_of(CustomerView)))
        forget_rule(session, "a")


@pytest.mark.parametrize(
    "value",
    [
        *("rule:b", "tag:a", "a", "rule:{a", "{a", '{"a":' * 100_000, '{"did": "buy", "is": true}', None, 5),
        *({"type": "tag", "name": "a"}, {"type": "rule", "name": "b"}, {"did": "buy", "is": True}),
        *({"type": "attribute", "name": "x", "is": is_it} for is_it in ("rule:a", "rule:{x", WRITTEN)),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_asks_for_another_is_no_hindrance(value: Any) -> None:
    assert not needs_rule(value, "a")


def test_a_rule_that_there_is_not_is_told(engine: Engine) -> None:
    with pytest.raises(NotFound), transaction(engine) as session:
        forget_rule(session, "a")
