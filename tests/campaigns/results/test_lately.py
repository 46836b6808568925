"""What went out of late: by every way, as soon as LINE accepted it for somebody."""

from datetime import timedelta

from campaigns.results.lately import SentLately, sent_lately
from store.engine import reading
from tests.campaigns.results.conftest import DAY, TINY, Story


def lately(story: Story, since: timedelta = timedelta()) -> list[SentLately]:
    with reading(story.engine) as session:
        return sent_lately(session, story.at + since)


def test_every_way_counts_while_it_is_still_being_sent_and_only_what_somebody_got(story: Story) -> None:
    other = story.variant("B")
    push = story.run(at=story.at - DAY)
    story.person(push, segment="important_value")
    multicast = story.run(at=story.at + TINY, state="sending", way="multicast")
    story.batch(multicast, 1, "accepted")
    story.person(multicast, "chosen", batch_number=1, segment="important_value")
    story.person(multicast, "chosen", batch_number=1, segment="ordinary_retain", variant_id=other)
    story.person(multicast, "chosen", batch_number=1)
    nobody = story.run(at=story.at + 2 * TINY)
    story.person(nobody, "failed", segment="important_value")
    story.run(at=story.at + 3 * TINY, state="planned")
    assert lately(story, -2 * DAY) == [
        SentLately("發熱衣", story.at + TINY, frozenset({"important_value", "none"})),
        SentLately("羽絨外套B", story.at + TINY, frozenset({"ordinary_retain"})),
        SentLately("發熱衣", story.at - DAY, frozenset({"important_value"})),
    ]
    assert [one.sent_at for one in lately(story)] == [story.at + TINY] * 2


def test_a_step_that_people_enter_one_by_one_counts_once(story: Story) -> None:
    for minute in range(3):
        run = story.run(at=story.at + timedelta(minutes=minute), by_enrolment=True)
        story.person(run, segment="important_value")
    assert [one.sent_at for one in lately(story)] == [story.at + timedelta(minutes=2)]
