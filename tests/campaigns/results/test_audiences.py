"""From a result to a list, and from the list to the next campaign."""

import pytest
from sqlalchemy import select

from campaigns.audience.asked import ask_audience
from campaigns.audience.target import Audience
from campaigns.results import audiences
from campaigns.results.audiences import list_of_result
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
    made = list_of_result(story.engine, story.campaign_id, who=who, name="下一波", actor="test", clock=story.clock)
    customer, audit = table_of(Customer), table_of(AuditEntry)
    condition = ask_audience(story.engine, Audience(("list:下一波",)), zone=ZONE, clock=story.clock).condition()
    with reading(story.engine) as session:
        on_it = set(session.scalars(select(customer.c.id).where(condition)))
        (entry,) = session.execute(select(audit.c.action, audit.c.detail)).all()
        assert session.scalars(select(CustomerList)).one().origin["who"] == who
    assert on_it == {people[name] for name in names}
    assert made == len(names)
    assert (entry.action, entry.detail["people"]) == ("make list", len(names))


def test_of_one_run_alone(story: Story, people: dict[str, int]) -> None:
    given = {"who": "not_clicked", "actor": "test", "clock": story.clock}
    with reading(story.engine) as session:
        newest = runs_of(session, story.campaign_id)[0].id
    # In the second run nobody tapped, whatever they did in the first.
    assert list_of_result(story.engine, story.campaign_id, name="二", run_id=newest, **given) == 2  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="already"):
        list_of_result(story.engine, story.campaign_id, name="二", **given)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        list_of_result(story.engine, story.campaign_id, name="三", run_id=99, **given)  # type: ignore[arg-type]


def test_what_is_no_question_is_refused(story: Story) -> None:
    given = {"name": "x", "actor": "test", "clock": story.clock}
    with pytest.raises(BadInput, match="none of sent, clicked"):
        list_of_result(story.engine, story.campaign_id, who="everyone", **given)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="no run yet"):
        list_of_result(story.engine, story.campaign_id, who="sent", **given)  # type: ignore[arg-type]
