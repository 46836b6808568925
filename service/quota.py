"""The worker's job of quotas: ask LINE for each channel's figures and keep them."""

import structlog
from sqlalchemy import Engine

from bot.line import LineError
from campaigns.money.quota import note_quota
from service.channels import channel_ids
from service.doors import line_doors
from service.settings import Settings
from store.clock import Clock
from store.engine import transaction

log = structlog.get_logger()


def read_quotas(engine: Engine, settings: Settings, clock: Clock) -> dict[str, str]:
    """Ask LINE about every channel that has a token; returns channel -> why it could not be asked."""
    names = {channel_id: name for name, channel_id in channel_ids(engine, settings).items()}
    problems = {}
    for channel_id, door in line_doors(engine, settings).items():
        try:
            quota = door.quota()
        except LineError as error:
            problems[names[channel_id]] = str(error)
            log.warning("quota_not_read", channel_id=channel_id, problem=str(error))
            continue
        with transaction(engine) as session:
            note_quota(session, channel_id, quota, now=clock())
    return problems
