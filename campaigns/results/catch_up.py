"""The repeatable job behind live results: what was noted is worked out, what has settled is tallied, and a run that
makes too many people block the account is slowed or paused."""

from collections.abc import Callable

from sqlalchemy import Engine
from sqlmodel import Session

from campaigns.results.blocks import brake, runs_to_brake
from campaigns.results.responses import known_by_now, note_known, work_out_due
from campaigns.results.sums import keep_sums, sums_to_keep
from campaigns.results.tally import close_tally, keep_loose, loose_to_tally, runs_to_close, tally_batches
from store.clock import Clock
from store.engine import let_others_write, reading, transaction


def catch_up(engine: Engine, clock: Clock) -> None:
    """Bring the kept results up to this moment. Any number of workers may do so at once, and stop in the middle."""
    _until_done(engine, tally_batches)
    with reading(engine) as session:
        loose, known = loose_to_tally(session), known_by_now(session)
    if loose:
        with transaction(engine) as session:
            keep_loose(session, loose)
    if known:
        with transaction(engine) as session:
            note_known(session, known)
    _until_done(engine, work_out_due)
    with reading(engine) as session:
        above, over, sums = runs_to_brake(session), runs_to_close(session), sums_to_keep(session)
    for run_id, version, found in sums:
        with transaction(engine) as session:
            keep_sums(session, run_id, version, found)
    for braking in above:
        with transaction(engine) as session:
            brake(session, braking, now=clock())
    for run_id in over:
        with transaction(engine) as session:
            close_tally(session, run_id, now=clock())


def _until_done(engine: Engine, step: Callable[[Session], int]) -> None:
    done = 1
    while done:
        with transaction(engine) as session:
            done = step(session)
        if done:
            let_others_write(engine)
