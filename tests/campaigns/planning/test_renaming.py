"""A tag or a rule under another name: whatever names it follows, and who has a tag stays."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlmodel import col

from campaigns.planning.renaming import NamesInUse, Renaming, rename_rule, rename_tag, with_name
from campaigns.planning.rule_users import forget_rule
from segmentation.rules.saved import RuleExists, RuleInUse, load_rules, rule_named, save_rule
from segmentation.tags.catalogue import TagExists, create_group_tags, create_tag, tag_named
from segmentation.tags.definitions import InvalidTag
from segmentation.tags.hand import put_on
from store.engine import reading, transaction
from store.errors import BadInput, NotFound
from store.models import (
    AdUpload,
    Campaign,
    CampaignDraft,
    CampaignStep,
    Channel,
    ConsoleUser,
    CustomerTag,
    CustomerView,
    SegmentSizeOnDay,
    Tag,
)
from store.models import Rule as RuleRow
from tests.conftest import StillClock
from tests.factories import make_campaign, make_channel, make_customer, make_run

OLD, NEW = "貴賓", "VIP 貴賓"
OF_TAG = Renaming("tag", OLD, NEW)
TAGGED = {"type": "tag", "name": OLD}
DAY = date(2026, 11, 1)


@pytest.fixture
def named(engine: Engine, clock: StillClock) -> None:
    """Everything that can name a tag does."""
    with transaction(engine) as session:
        create_tag(session, OLD, now=clock())
        create_tag(session, "別的", now=clock())
        customer = make_customer(session, member_id="A1")
        put_on(session, OLD, [customer.id or 0], actor="test", now=clock(), today=DAY)
        save_rule(
            session, "貴賓們", {"type": "all", "of": [TAGGED, {"type": "not", "of": TAGGED}]}, clock(), actor="me"
        )
        create_tag(session, "跟著", source="rule", definition={"when": TAGGED}, now=clock())
        make_campaign(
            session,
            make_channel(session),
            name=OLD,
            audience={
                "any_of": [f"tag:{OLD}", f'rule:{{"type": "tag", "name": "{OLD}"}}', f"list:{OLD}"],
                "none_of": [],
            },
            trigger={"on": "tag", "name": OLD},
            goal=TAGGED,
        )
        values = {"who": {"any_of": [f"tag:{OLD}"]}, "when": {"tag": OLD}}
        at: dict[str, Any] = {"created_at": clock(), "updated_at": clock(), "updated_by": "test"}
        session.add(CampaignDraft(name=OLD, values=values, **at))
        session.add(SegmentSizeOnDay(as_of=DAY, model="tag", segment=OLD, customers=1, value=Decimal(0)))


def texts_of(engine: Engine) -> list[Any]:
    with reading(engine) as session:
        kept = [*session.scalars(select(RuleRow)), *session.scalars(select(Tag))]
        campaign, draft = session.scalars(select(Campaign)).one(), session.scalars(select(CampaignDraft)).one()
        return [
            *(one.definition for one in kept),
            *(campaign.audience, campaign.trigger, campaign.goal, draft.values),
            session.scalars(select(SegmentSizeOnDay)).one().segment,
        ]


def test_a_new_name_is_known_wherever_the_old_one_was(engine: Engine, named: None) -> None:
    with transaction(engine) as session:
        before = session.scalars(select(CustomerTag)).one()
        was = (before.tag_id, before.since, before.until)
        rename_tag(session, tag_named(session, OLD), NEW)
    told = str(texts_of(engine))
    assert f"'{OLD}'" not in told
    assert f"tag:{OLD}" not in told
    assert f'"{OLD}"' not in told
    assert f"list:{OLD}" in told, "a list of that name is something else"
    assert told.count(NEW) == 10
    with transaction(engine) as session:
        after = session.scalars(select(CustomerTag)).one()
        assert (after.tag_id, after.since, after.until) == was
        assert session.scalars(select(Campaign)).one().name == OLD
        rule_named(session, "貴賓們")
        create_tag(session, "再一個", source="rule", definition={"rule": "貴賓們"}, now=after.since)


def test_a_name_that_is_taken_or_impossible_changes_nothing(engine: Engine, clock: StillClock, named: None) -> None:
    with transaction(engine) as session:
        create_group_tags(session, clock())
    before = texts_of(engine)
    for name, error in (("別的", TagExists), ("a;b", InvalidTag), ("", InvalidTag), ("a\x00", InvalidTag)):
        with pytest.raises(error), transaction(engine) as session:
            rename_tag(session, tag_named(session, OLD), name)
    with pytest.raises(InvalidTag), transaction(engine) as session:
        rename_tag(session, tag_named(session, "冠軍"), NEW)
    with transaction(engine) as session:
        rename_tag(session, tag_named(session, OLD), OLD)
    assert texts_of(engine) == before


def test_no_tag_is_renamed_while_a_run_gathers_its_people(engine: Engine, named: None) -> None:
    with transaction(engine) as session:
        make_run(session, session.scalars(select(Campaign)).one(), state="planned", frozen_at=None)
    with pytest.raises(NamesInUse), transaction(engine) as session:
        rename_tag(session, tag_named(session, OLD), NEW)


@pytest.mark.parametrize("mark", ["", "rule:", "rule: "])
def test_a_condition_that_a_draft_keeps_as_text_knows_the_new_name(mark: str) -> None:
    conditions = ({"type": "not", "of": {"type": "tag", "name": name}} for name in (OLD, NEW))
    written, made = (mark + json.dumps(condition, ensure_ascii=False) for condition in conditions)
    for asks in (
        lambda text: {"goal": text},
        lambda text: {"steps": [{"condition": text}], "first": {"condition": text}},
        lambda text: {"any_of": ["all"], "none_of": [text]},
    ):
        assert with_name(asks(written), OF_TAG) == asks(made)


@pytest.mark.parametrize("text", ["rule:{", "{", '{"type": "tag", "name": "貴賓"', '{"a":' * 100_000, "not clicked"])
def test_what_a_draft_holds_half_written_is_left_as_it_is(text: str) -> None:
    assert with_name({"goal": text}, OF_TAG) == {"goal": text}


def test_only_what_means_a_tag_is_renamed() -> None:
    said = [f"tag:{OLD}", "rule:{x", f'rule:{{"type": "tag", "name": "{OLD}"}}']  # words of a message, or of a customer
    values = {"variants": [{"messages": [{"kind": "text", "text": text} for text in said]}], "theme": f"tag:{OLD}"}
    assert with_name(values, OF_TAG) == values
    assert with_name({"type": "attribute", "name": "x", "in": said}, OF_TAG)["in"] == said
    plain = {"type": "rule", "name": OLD, "of": [OLD, f"tag:{OLD}!", {"type": "attribute", "name": OLD, "is": OLD}]}
    assert with_name(plain, OF_TAG) == plain


RULED = {"type": "rule", "name": OLD}
OF_RULE = Renaming("rule", OLD, NEW)


@pytest.fixture
def ruled(engine: Engine, clock: StillClock) -> None:
    """Everything that can name a rule does."""
    written = f"rule:{json.dumps({'type': 'not', 'of': RULED})}"
    at: dict[str, Any] = {"created_at": clock(), "updated_at": clock()}
    with transaction(engine) as session:
        save_rule(session, OLD, {"type": "age", "at_least": 18}, clock(), actor="me")
        save_rule(session, "別的", {"type": "all", "of": [RULED, {"type": "not", "of": RULED}]}, clock(), actor="me")
        create_tag(session, OLD, now=clock())
        create_tag(session, "跟著", source="rule", definition={"rule": OLD, "until": RULED}, now=clock())
        create_tag(session, "直到", source="rule", definition={"when": RULED, "until_rule": OLD}, now=clock())
        channel = make_channel(session)
        audience = {"any_of": [f"rule:{OLD}", written, f"tag:{OLD}"], "none_of": [f"rule:{OLD}"]}
        campaign = make_campaign(session, channel, name=OLD, audience=audience, goal=RULED)
        of_campaign = select(CampaignStep).where(col(CampaignStep.campaign_id) == campaign.id)
        session.scalars(of_campaign).one().condition = RULED
        values = {"any_of": [f"rule:{OLD}"], "steps": [{"condition": f"rule: {OLD}"}], "goal": json.dumps(RULED)}
        session.add(CampaignDraft(name=OLD, values=values, updated_by="test", **at))
        user = ConsoleUser(email="ann@example.com", name="Ann", role="marketer", created_at=clock())
        session.add(user)
        session.flush()
        session.add(CustomerView(user_id=user.id or 0, name=OLD, rule=RULED, **at))
        given: dict[str, Any] = {"channel_id": channel.id, "asked_at": clock(), "asked_by": "test"}
        session.add(AdUpload(name=OLD, target=f"rule:{OLD}", **given))


def test_a_new_name_of_a_rule_is_known_wherever_the_old_one_was(engine: Engine, ruled: None) -> None:
    with transaction(engine) as session:
        rename_rule(session, OLD, NEW)
    with reading(engine) as session:
        assert load_rules(session).keys() == {NEW, "別的"}
        campaign, step = session.scalars(select(Campaign)).one(), session.scalars(select(CampaignStep)).one()
        draft, view = session.scalars(select(CampaignDraft)).one(), session.scalars(select(CustomerView)).one()
        upload, names = session.scalars(select(AdUpload)).one(), [one.name for one in (campaign, draft, view)]
        kept = [rule_named(session, "別的").rule, *(one.definition for one in session.scalars(select(Tag)))]
        told = str([*kept, campaign.audience, campaign.goal, step.condition, draft.values, view.rule, upload.target])
    assert names == [OLD, OLD, OLD]
    assert upload.name == OLD
    assert told.count(NEW) == 16
    assert told.replace(NEW, "").count(OLD) == 1, "the tag of that name is something else"
    with pytest.raises(RuleInUse), transaction(engine) as session:
        forget_rule(session, NEW)


def test_a_rule_keeps_its_name_where_the_new_one_is_taken_or_impossible(engine: Engine, ruled: None) -> None:
    for name, error in (("別的", RuleExists), ("{x", BadInput), ("", BadInput), ("a\x00", BadInput)):
        with pytest.raises(error), transaction(engine) as session:
            rename_rule(session, OLD, name)
    with pytest.raises(NotFound), transaction(engine) as session:
        rename_rule(session, "沒有", NEW)
    with transaction(engine) as session:
        rename_rule(session, OLD, OLD)
        assert load_rules(session).keys() == {OLD, "別的"}


def test_an_ad_audience_knows_the_new_name_of_a_tag(engine: Engine, clock: StillClock, named: None) -> None:
    with transaction(engine) as session:
        given: dict[str, Any] = {"channel_id": session.scalars(select(Channel)).one().id, "asked_by": "test"}
        session.add(AdUpload(name="廣告", target=f"tag:{OLD}", asked_at=clock(), **given))
        session.flush()
        rename_tag(session, tag_named(session, OLD), NEW)
        assert session.scalars(select(AdUpload)).one().target == f"tag:{NEW}"


def test_only_what_means_a_rule_is_renamed() -> None:
    said = [f"rule:{OLD}", f"rule:{json.dumps(RULED)}"]
    assert with_name({"variants": [{"text": text} for text in said]}, OF_RULE) == {
        "variants": [{"text": text} for text in said]
    }
    plain = {"type": "tag", "name": OLD, "of": [OLD, {"type": "attribute", "name": OLD, "is": f"rule:{OLD}"}]}
    assert with_name(plain, OF_RULE) == plain
    assert with_name({"any_of": [f"tag:{OLD}", f"rule:{OLD}!"]}, OF_RULE) == {"any_of": [f"tag:{OLD}", f"rule:{OLD}!"]}
