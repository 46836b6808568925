"""The sums of a run, read while a worker is at it."""

from campaigns.results.tally import forget_tally, tallies, tally_batches
from store.engine import reading, transaction
from tests.campaigns.conftest import after_statement
from tests.campaigns.results.conftest import Story


def test_a_batch_that_is_tallied_while_the_sums_are_read_counts_once(story: Story) -> None:
    run_id = story.run(state="sending")
    story.batch(run_id, 1, "done")
    for _ in range(2):
        story.person(run_id, batch_number=1)

    def tally() -> None:
        with transaction(story.engine) as session:
            assert tally_batches(session) == 1

    for number in range(1, 6):
        with transaction(story.engine) as session:
            forget_tally(session, run_id)
        with after_statement(story.engine, number, tally), reading(story.engine) as session:
            assert [one.people for one in tallies(session, [run_id])] == [2], f"after statement {number}"
