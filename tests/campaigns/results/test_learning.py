"""What keywords learn from: per variant and segment, renewed, and complete."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, insert, select, update

from campaigns.results.learning import (
    LINE_TEACHES_FROM,
    TEACHES_AFTER,
    count_message_results,
    store_message_results,
    teaches_from,
)
from keywords.effects.results import messages_of, read_results
from store.engine import reading, table_of, transaction
from store.models import CampaignRun, Customer, Delivery, MessageResult, UnitStatistic, Variant
from tests.campaigns.results.conftest import DAY, TINY, Story


def renewed(story: Story, later: timedelta = timedelta()) -> list[Any]:
    story.catch_up()
    result = table_of(MessageResult)
    with transaction(story.engine) as session:
        store_message_results(session, count_message_results(session, now=story.at + DAY + later))
        return list(session.execute(select(result).order_by(result.c.variant_id, result.c.segment)).all())


def test_it_is_renewed_and_complete(story: Story) -> None:
    run = story.run()
    known, other = (story.person(run, segment="important_value") for _ in range(2))
    nobody = story.person(run)
    story.person(run, "unknown", segment="important_value")
    story.tap(run, known)
    story.tap(run, known)
    story.tap(run, other, kind="robot")
    first = renewed(story)
    assert [(r.segment, r.recipients, r.clicks) for r in first] == [("important_value", 2, 1), ("none", 1, 0)]
    assert {(r.theme, r.message_text, r.format, r.sent_at) for r in first} == {("冬季", "發熱衣", "text", story.at)}
    story.tap(run, nobody)
    second = renewed(story, later=DAY)
    assert [(r.recipients, r.clicks) for r in second] == [(2, 1), (1, 1)]
    assert [r.changed_at - story.at for r in second] == [DAY, 2 * DAY]  # what is as it was keeps its time


def test_the_variants_of_a_run_are_messages_of_their_own_in_one_campaign(story: Story) -> None:
    other = story.variant("B")
    run = story.run()
    plain = [story.person(run, segment="important_value") for _ in range(3)]
    story.person(run, variant_id=other, segment="important_value")
    story.tap(run, plain[0])
    assert [(r.variant_id, r.message_text, r.recipients, r.clicks) for r in renewed(story)] == [
        (story.variant_id, "發熱衣", 3, 1),
        (other, "羽絨外套B", 1, 0),
    ]
    with reading(story.engine) as session:
        results, texts = read_results(session)
        messages = messages_of(results, ZoneInfo("Asia/Taipei"))
    assert len(set(messages.message.tolist())) == 2
    assert len(set(messages.campaign.tolist())) == 1  # so that a term in one of them counts as an experiment
    assert sorted(texts[key] for key in messages.texts) == ["發熱衣", "羽絨外套B"]


def sent_to(story: Story, run: int, people: int, *segments: str) -> None:
    """So many deliveries of the run, to these segments in turns."""
    with transaction(story.engine) as session:
        first = (session.scalar(select(func.max(table_of(Customer).c.id))) or 0) + 1
        ids = range(first, first + people)
        session.execute(insert(table_of(Customer)), [{"id": i, "created_at": story.at, "attributes": {}} for i in ids])
        row = {"run_id": run, "variant_id": story.variant_id, "state": "accepted", "sent_at": story.at}
        rows = [{**row, "customer_id": i, "segment": segments[i % len(segments)]} for i in ids]
        session.execute(insert(table_of(Delivery)), rows)


def told_by_line(story: Story, run: int, clicked: int | None, *, after: timedelta = DAY, **more: Any) -> None:
    with transaction(story.engine) as session:
        named = {"unit": f"r{run}", "month": "2026-11", **more}
        statistic = UnitStatistic(channel_id=story.channel_id, run_id=run, variant_id=story.variant_id, **named)
        statistic.clicked, statistic.fetched_at = clicked, story.at + after
        session.add(statistic)


def test_what_line_counts_teaches_where_it_is_one_message_to_one_segment(story: Story) -> None:
    """A multicast: LINE's people who tapped over those accepted; null is missing, never 0."""
    enough = LINE_TEACHES_FROM
    cases: dict[str, tuple[int, tuple[str, ...], int | None]] = {
        "told": (enough, ("important_value",), 130),
        "hidden": (enough, ("important_value",), None),
        "to several segments": (enough, ("important_value", "ordinary_retain"), 130),
        "to few": (enough - 1, ("important_value",), 130),
    }
    runs = {}
    for place, (name, (people, segments, clicked)) in enumerate(cases.items()):
        runs[name] = story.run(at=story.at + place * TINY, way="multicast")
        sent_to(story, runs[name], people, *segments)
        told_by_line(story, runs[name], clicked, after=DAY + place * TINY)
    early = story.run(at=story.at + 9 * TINY, way="multicast")
    sent_to(story, early, enough, "important_value")
    told_by_line(story, early, 70, after=timedelta(hours=6))  # too soon: most taps come later
    rows = renewed(story, later=DAY)
    assert [(r.run_id, r.segment, r.recipients, r.clicks, r.counted_by) for r in rows] == [
        (runs["told"], "important_value", enough, 130, "line")
    ]
    unit = table_of(UnitStatistic)
    with transaction(story.engine) as session:  # LINE's figure grows; then it hides it
        session.execute(update(unit).where(unit.c.run_id == runs["told"]).values(clicked=150))
    assert [(r.run_id, r.clicks) for r in renewed(story, later=DAY)] == [(runs["told"], 150)]
    with transaction(story.engine) as session:
        session.execute(update(unit).where(unit.c.run_id == runs["told"]).values(clicked=None))
    assert renewed(story, later=DAY) == []


def test_a_narrowcasts_versions_are_added_up_where_line_tells_of_all(story: Story) -> None:
    with transaction(story.engine) as session:
        session.get_one(Variant, story.variant_id).languages = {"en": [{"type": "text", "text": "warm"}]}
    run = story.run(way="narrowcast")
    sent_to(story, run, LINE_TEACHES_FROM, "important_value")
    told_by_line(story, run, 90, unit=None)
    assert renewed(story) == []
    told_by_line(story, run, 40, unit=None, language="en")
    assert [(r.recipients, r.clicks, r.counted_by) for r in renewed(story)] == [(LINE_TEACHES_FROM, 130, "line")]


def test_two_workers_may_store_it_at_once(story: Story, in_threads: Callable[..., None]) -> None:
    run = story.run()
    story.person(run)
    story.catch_up()
    with reading(story.engine) as session:
        counted = count_message_results(session, now=story.at + DAY)

    def store() -> None:
        for _ in range(20):
            with transaction(story.engine) as session:
                store_message_results(session, counted)

    in_threads(store, store, store)
    with reading(story.engine) as session:
        assert len(session.execute(select(table_of(MessageResult))).all()) == 1


def test_a_run_teaches_only_once_its_taps_had_time_to_come(story: Story) -> None:
    runs = {
        "sending": story.run(state="sending"),
        "sent": story.run(at=story.at + TINY),
        "cancelled": story.run(at=story.at + 2 * TINY, state="cancelled", finished_at=story.at + DAY),
        "multicast": story.run(at=story.at + 3 * TINY, way="multicast"),
    }
    for run in runs.values():
        story.person(run)

    def teach(at: timedelta) -> set[str]:
        rows = renewed(story, later=at - DAY)
        return {name for name, run in runs.items() if run in {row.run_id for row in rows}}

    assert teach(timedelta(minutes=1)) == set()
    assert teach(TEACHES_AFTER) == set()
    assert teach(TEACHES_AFTER + TINY) == {"sent"}
    assert teach(DAY + TEACHES_AFTER) == {"sent", "cancelled"}
    with reading(story.engine) as session:
        said = {name: teaches_from(session.get_one(CampaignRun, run)) for name, run in runs.items()}
    assert said == {
        "sending": None,
        "sent": story.at + TINY + TEACHES_AFTER,
        "cancelled": story.at + DAY + TEACHES_AFTER,
        "multicast": None,
    }
