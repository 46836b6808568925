"""From a result to a list, and from the list to the next campaign."""

from typing import Any

import pytest
from sqlalchemy import select

from campaigns.audience.asked import ask_audience
from campaigns.audience.lists import free_name
from campaigns.audience.target import Audience
from campaigns.results import audiences
from campaigns.results.audiences import Asked, list_of_result
from campaigns.results.runs import runs_of
from store.engine import reading, table_of
from store.errors import BadInput, NotFound
from store.models import AuditEntry, Customer, CustomerList
from tests.campaigns.conftest import ZONE
from tests.campaigns.results.conftest import DAY, Story


@pytest.fixture
def people(story: Story) -> dict[str, int]:
    """Two runs with everything that people do in them."""
    first, second = story.run(), story.run(story.at + DAY)
    who = {name: story.person(first) for name in ("tapped", "bought", "quiet", "left")}
    who["held"] = story.person(first, "held_out")
    who["failed"] = story.person(first, "failed")
    who["skipped"] = story.person(first, "skipped", reason="refused")
    story.person(second, who=who["quiet"], sent_at=story.at + DAY)
    story.person(second, who=who["bought"], sent_at=story.at + DAY)
    story.tap(first, who["tapped"])
    story.tap(first, who["bought"])
    story.order(who["bought"], story.at + DAY)
    story.leave(who["left"], story.at + DAY)
    story.catch_up()
    return who


@pytest.mark.parametrize(
    ("who", "names"),
    [
        ("sent", {"tapped", "bought", "quiet", "left"}),
        ("clicked", {"tapped", "bought"}),
        ("not_clicked", {"quiet", "left"}),
        ("bought", {"bought"}),
        ("not_bought", {"tapped", "quiet", "left"}),
        ("clicked_not_bought", {"tapped"}),
        ("blocked", {"left"}),
        ("held_out", {"held"}),
        ("failed", {"failed"}),
        ("unknown", set()),
        ("skipped", {"skipped"}),
    ],
)
def test_those_asked_for_are_on_the_list_and_can_be_sent_to(
    story: Story, people: dict[str, int], who: str, names: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audiences, "SLICE", 3)  # several slices
    made = list_of_result(story.engine, story.campaign_id, Asked(who), name="下一波", actor="test", clock=story.clock)
    customer, audit = table_of(Customer), table_of(AuditEntry)
    condition = ask_audience(story.engine, Audience(("list:下一波",)), zone=ZONE, clock=story.clock).condition()
    with reading(story.engine) as session:
        on_it = set(session.scalars(select(customer.c.id).where(condition)))
        (entry,) = session.execute(select(audit.c.action, audit.c.detail)).all()
        assert session.scalars(select(CustomerList)).one().origin["who"] == who
    assert on_it == {people[name] for name in names}
    assert made == len(names)
    assert (entry.action, entry.detail["people"]) == ("make list", len(names))


def made(story: Story, name: str, *asked: Any, **more: Any) -> int:
    """How many are on a new list."""
    given = Asked(*asked, **more)
    return list_of_result(story.engine, story.campaign_id, given, name=name, actor="test", clock=story.clock)


def test_of_one_run_alone(story: Story, people: dict[str, int]) -> None:
    with reading(story.engine) as session:
        newest = runs_of(session, story.campaign_id)[0].id
    # In the second run nobody tapped, whatever they did in the first.
    assert made(story, "二", "not_clicked", run_id=newest) == 2
    with pytest.raises(BadInput, match="already"):
        made(story, "二", "not_clicked")
    with pytest.raises(NotFound):
        made(story, "三", "not_clicked", run_id=99)


def test_of_one_variant_or_segment(story: Story) -> None:
    other = story.variant("B")
    run_id = story.run()
    tapped, _quiet = (story.person(run_id, segment="important_value", variant_id=other) for _ in range(2))
    nowhere = story.person(run_id, segment=None)
    story.person(run_id, "held_out", segment="important_value", variant_id=None)
    story.tap(run_id, tapped)
    story.tap(run_id, nowhere)
    story.catch_up()
    assert made(story, "B", "sent", variant_id=other) == 2
    assert made(story, "B 點的", "clicked", variant_id=other) == 1
    assert made(story, "重要", "not_clicked", segment="important_value") == 1
    assert made(story, "無", "clicked", segment="none") == 1
    assert made(story, "都不是", "clicked", variant_id=other, segment="none") == 0
    with reading(story.engine) as session:
        origins = {one.name: one.origin for one in session.scalars(select(CustomerList))}
    assert (origins["B"]["variant_id"], origins["重要"]["segment"]) == (other, "important_value")
    assert "segment" not in origins["B"]


def test_a_name_that_is_taken_gets_a_number(story: Story, people: dict[str, int]) -> None:
    for name in ("名單", "名單 2", "長" * 100):
        made(story, name, "sent")
    with reading(story.engine) as session:
        found = [free_name(session, f" {name}\n") for name in ("新", "名單", "長" * 120)]
    assert found == ["新", "名單 3", "長" * 98 + " 2"]


def test_what_is_no_question_is_refused(story: Story) -> None:
    with pytest.raises(BadInput, match="none of sent, clicked"):
        made(story, "x", "everyone")
    with pytest.raises(BadInput, match="ordinary_win_back, none"):
        made(story, "x", "sent", segment="nobody")
    with pytest.raises(BadInput, match="no run yet"):
        made(story, "x", "sent")
    story.run()
    with pytest.raises(NotFound, match="no variant 99"):
        made(story, "x", "sent", variant_id=99)
