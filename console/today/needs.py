"""What needs a person today: what stopped, failed, is stuck, or waits for somebody's word."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, func, or_, select
from sqlmodel import Session

from campaigns.results.leaving import leaving_since
from campaigns.sending.slowing import slowed_words
from segmentation.history import last_computed
from store.engine import table_of
from store.models import Campaign, CampaignDraft, CampaignRun, Channel, FileImport, Heartbeat, PredictionRun

SHOWN = 10  # of a kind
SILENT_FOR = timedelta(minutes=5)  # jobs beat every ten seconds, each beside the others: no long one silences them all
BLOCKS_OF = timedelta(days=7)
IMPORTS_OF = timedelta(days=7)  # a file that failed is not mended but handed in anew

campaign, draft, channel = table_of(Campaign), table_of(CampaignDraft), table_of(Channel)
run = table_of(CampaignRun)
prediction, beat, file_import = table_of(PredictionRun), table_of(Heartbeat), table_of(FileImport)


@dataclass(frozen=True)
class Need:
    """One thing that waits. `kind` is a key of NEED_WORDS; `what` names it, `why` is the reason as it was kept, `at`
    (aware UTC) the moment that matters."""

    kind: str
    what: str
    why: str | None = None
    id: int | None = None
    at: datetime | None = None


def needs_now(session: Session, now: datetime, email: str) -> list[Need]:
    """The most pressing first. Reads small tables and indexed states only."""
    found = _of_the_worker(session, now)
    found += [
        Need("channel", one.name, one.stopped_reason)
        for one in session.scalars(select(Channel).where(channel.c.stopped_reason.is_not(None)))
    ]
    troubled = or_(campaign.c.state == "failed", and_(campaign.c.state == "paused", campaign.c.problem.is_not(None)))
    newest = select(Campaign).where(troubled).order_by(campaign.c.id.desc()).limit(SHOWN)
    found += [Need(one.state, one.name, one.problem, one.id) for one in session.scalars(newest)]
    found += _slowed(session)
    found += _left(session, now - BLOCKS_OF, {need.id for need in found})
    missed = campaign.c.state.in_(("scheduled", "sending")), campaign.c.problem.is_not(None)
    goes_on = select(Campaign).where(*missed).order_by(campaign.c.id.desc()).limit(SHOWN)
    found += [Need("missed", one.name, one.problem, one.id) for one in session.scalars(goes_on)]
    failed = (file_import.c.state == "failed", file_import.c.finished_at >= now - IMPORTS_OF)
    files = select(FileImport).where(*failed).order_by(file_import.c.id.desc()).limit(SHOWN)
    found += [Need("import", one.file_name, one.problem, one.id) for one in session.scalars(files)]
    waiting = (draft.c.done_at.is_(None), draft.c.requested_by.is_not(None), draft.c.requested_by != email)
    asked = select(CampaignDraft).where(*waiting).order_by(draft.c.id).limit(SHOWN)
    found += [Need("approval", one.name, one.requested_by, one.id) for one in session.scalars(asked)]
    if last_computed(session, now).is_stuck:
        found.append(Need("stuck", "segments"))
    running = select(prediction.c.id).where(prediction.c.state == "running", prediction.c.lease_until < now).limit(1)
    if session.scalar(running) is not None:
        found.append(Need("stuck", "predictions"))
    return found


def _slowed(session: Session) -> list[Need]:
    """Runs being sent that go slower because people block the account after them."""
    at_work = (run.c.state.in_(("planned", "sending")), run.c.slow_step > 0)
    mine = select(campaign.c.id, campaign.c.name, func.max(run.c.slow_step).label("step"))
    mine = mine.join(run, run.c.campaign_id == campaign.c.id).where(*at_work).group_by(campaign.c.id, campaign.c.name)
    rows = session.execute(mine.order_by(campaign.c.id.desc()).limit(SHOWN))
    return [Need("slowed", one.name, slowed_words(one.step), one.id) for one in rows]


def _left(session: Session, since: datetime, told: set[int | None]) -> list[Need]:
    """Campaigns after which many block the account, but those of which it is told already."""
    found = (one for one in leaving_since(session, since) if one.campaign_id not in told)
    return [Need("blocked", one.name, one.words(BLOCKS_OF.days), one.campaign_id) for one in found][:SHOWN]


def _of_the_worker(session: Session, now: datetime) -> list[Need]:
    """Whether it has fallen silent, and each job that ended with a problem; nothing where none has ever run."""
    beats = session.execute(select(beat.c.job, beat.c.finished_at, beat.c.problem).order_by(beat.c.job)).all()
    newest = max((one.finished_at for one in beats), default=now)
    silent = [Need("worker", "worker", at=newest)] if newest < now - SILENT_FOR else []
    return silent + [Need("job", one.job, one.problem) for one in beats if one.problem is not None]
