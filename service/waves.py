"""The worker's job of experiments: decide which waves may go, and let them go. Repeatable, by any number of workers."""

import structlog
from sqlalchemy import Engine

from campaigns.experiments import waves
from store.clock import Clock
from store.engine import let_others_write, reading, transaction

log = structlog.get_logger()


def release_waves(engine: Engine, clock: Clock) -> int:
    """Decide and let go whatever may go now; returns the decisions made by this call."""
    with reading(engine) as session:
        found = [d for run_id in waves.waiting_runs(session) for d in waves.decide(session, run_id, now=clock())]
    made = 0
    for decision in found:
        with transaction(engine) as session:
            is_ours = waves.keep_decision(session, decision, now=clock())
        if is_ours:
            made += 1
            log.info("wave_decided", run_id=decision.run_id, wave=decision.wave, reason=decision.reason)
    with reading(engine) as session:
        runs = waves.runs_to_release(session)
    for run_id in runs:
        is_more = True
        while is_more:
            with transaction(engine) as session:
                is_more = waves.release_slice(session, run_id)
            let_others_write(engine)
    return made
