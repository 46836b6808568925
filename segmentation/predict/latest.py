"""The newest predictions that came to an end: whose numbers stand in the store."""

from sqlalchemy import Engine, select
from sqlmodel import Session

from store.engine import reading, table_of
from store.models import PredictionRun

DONE = ("finished", "off")

run_table = table_of(PredictionRun)


def latest_prediction_run(engine_or_session: Engine | Session) -> PredictionRun | None:
    """The newest run that came to an end, finished or off; None before the first."""
    if isinstance(engine_or_session, Engine):
        with reading(engine_or_session) as session:
            return latest_prediction_run(session)
    ended = select(PredictionRun).where(run_table.c.state.in_(DONE)).order_by(run_table.c.id.desc()).limit(1)
    return engine_or_session.scalars(ended).first()
