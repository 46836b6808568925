"""A tag under another name: whatever names it follows, and who has it stays."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, select

from campaigns.planning.tag_names import NamesInUse, rename_tag, with_name
from segmentation.rules.saved import rule_named, save_rule
from segmentation.tags.catalogue import TagExists, create_group_tags, create_tag, tag_named
from segmentation.tags.definitions import InvalidTag
from segmentation.tags.hand import put_on
from store.engine import reading, transaction
from store.models import Campaign, CampaignDraft, CustomerTag, SegmentSizeOnDay, Tag
from store.models import Rule as RuleRow
from tests.conftest import StillClock
from tests.factories import make_campaign, make_channel, make_customer, make_run

OLD, NEW = "貴賓", "VIP 貴賓"
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
        assert with_name(asks(written), OLD, NEW) == asks(made)


@pytest.mark.parametrize("text", ["rule:{", "{", '{"type": "tag", "name": "貴賓"', '{"a":' * 100_000, "not clicked"])
def test_what_a_draft_holds_half_written_is_left_as_it_is(text: str) -> None:
    assert with_name({"goal": text}, OLD, NEW) == {"goal": text}


def test_only_what_means_a_tag_is_renamed() -> None:
    said = [f"tag:{OLD}", "rule:{x", f'rule:{{"type": "tag", "name": "{OLD}"}}']  # words of a message, or of a customer
    values = {"variants": [{"messages": [{"kind": "text", "text": text} for text in said]}], "theme": f"tag:{OLD}"}
    assert with_name(values, OLD, NEW) == values
    assert with_name({"type": "attribute", "name": "x", "in": said}, OLD, NEW)["in"] == said
    plain = {"type": "rule", "name": OLD, "of": [OLD, f"tag:{OLD}!", {"type": "attribute", "name": OLD, "is": OLD}]}
    assert with_name(plain, OLD, NEW) == plain
