"""Campaigns that go on by themselves: those that recur, that listen for an event, or that have several steps; and who
is on the way through each at which step. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import exists, func, literal_column, or_, select, union, union_all
from sqlmodel import Session

from campaigns.planning.conditions import condition_words
from campaigns.planning.triggers import Language
from store.engine import table_of
from store.models import Campaign, CampaignRun, CampaignStep, Enrolment

AT_WORK = ("scheduled", "sending", "paused")
ENDED = ("sent", "cancelled", "failed")
COUNTED_IN_ALL = 100_000  # people of one page are counted up to so many, each step up to an equal part of them:
COUNTED_AT_LEAST = 1_000  # a few hundredths of a second
MOVED_ON = timedelta(hours=1)  # after its run fired, at the latest, whoever it took goes on (enrolments.runs_to_leave)
STEPS_AT_ONCE = 100  # asked for in one statement; SQLite takes 500 parts
WAIT_UNITS = ((24 * 60, "天", "day"), (60, "小時", "hour"), (1, "分鐘", "minute"))  # in minutes

campaign, step, enrolment, run = (
    table_of(Campaign),
    table_of(CampaignStep),
    table_of(Enrolment),
    table_of(CampaignRun),
)


@dataclass(frozen=True)
class AtStep:
    """A step of an automation, and the people at it: `waiting` for it, and `sending`, to whom its message is on its
    way, each counted up to `most`. `due_at`: when the first who wait are due (aware UTC); None: nobody waits."""

    number: int
    wait_minutes: int
    condition: dict[str, Any] | None
    waiting: int
    sending: int
    due_at: datetime | None
    most: int = COUNTED_IN_ALL


@dataclass(frozen=True)
class Automation:
    """A campaign with its steps, by number."""

    campaign: Campaign
    steps: list[AtStep]

    @property
    def next_at(self) -> datetime | None:
        """When it sends next as far as is known (aware UTC, before quiet hours); None: at rest, or when something
        happens."""
        if self.campaign.state not in ("scheduled", "sending"):
            return None
        times = [self.campaign.next_fire_at, *(one.due_at for one in self.steps)]
        return min((at for at in times if at is not None), default=None)

    @property
    def people(self) -> int:
        """Who is on the way through it; at least so many where it `is_least`."""
        return sum(one.waiting + one.sending for one in self.steps)

    @property
    def is_least(self) -> bool:
        """Whether not all people were counted."""
        return any(max(one.waiting, one.sending) >= one.most for one in self.steps)


def automations(
    session: Session, *, states: Sequence[str], before: int | None, limit: int, now: datetime
) -> tuple[list[Automation], int | None]:
    """A page of the automations in one of `states`, the newest first, and the id to go on before; None: no more."""
    has_steps = exists().where(step.c.campaign_id == campaign.c.id, step.c.step_number > 1)
    goes_on = or_(campaign.c.recurs.is_not(None), campaign.c.trigger.is_not(None), has_steps)
    found = select(Campaign).where(campaign.c.state.in_(states), goes_on).order_by(campaign.c.id.desc())
    if before is not None:
        found = found.where(campaign.c.id < before)
    rows = list(session.scalars(found.limit(limit + 1)))
    shown = rows[:limit]
    steps = _steps(session, [one.id or 0 for one in shown], now)
    return [Automation(one, steps.get(one.id or 0, [])) for one in shown], shown[-1].id if len(rows) > limit else None


def _steps(session: Session, campaign_ids: Sequence[int], now: datetime) -> dict[int, list[AtStep]]:
    """Campaign id -> its steps, by number, with the people at them."""
    found = session.scalars(
        select(CampaignStep)
        .where(step.c.campaign_id.in_(campaign_ids))
        .order_by(step.c.campaign_id, step.c.step_number)
    ).all()
    keys = [(one.campaign_id, one.step_number) for one in found]
    most = max(COUNTED_IN_ALL // max(len(keys), 1), COUNTED_AT_LEAST)
    waiting, sending = _waiting(session, keys, most), _sending(session, campaign_ids, most, now)
    made: dict[int, list[AtStep]] = {}
    for one in found:
        key = (one.campaign_id, one.step_number)
        people, due_at = waiting.get(key, (0, None))
        at = AtStep(one.step_number, one.wait_minutes, one.condition, people, sending.get(key, 0), due_at, most)
        made.setdefault(one.campaign_id, []).append(at)
    return made


_Key = tuple[int, int]  # campaign, step


def _waiting(session: Session, keys: Sequence[_Key], most: int) -> dict[_Key, tuple[int, datetime | None]]:
    """Step -> people who wait for it, `most` at most, and when the first is due. Each step looks at the beginning of
    its part of the index: a million who wait are not counted."""
    found: dict[_Key, tuple[int, datetime | None]] = {}
    for start in range(0, len(keys), STEPS_AT_ONCE):
        parts = [_waiting_at(*key, most) for key in keys[start : start + STEPS_AT_ONCE]]
        found.update({(row[0], row[1]): (row[2], row[3]) for row in session.execute(union_all(*parts))})
    return found


def _waiting_at(campaign_id: int, number: int, most: int) -> Any:
    first = (
        select(enrolment.c.campaign_id, enrolment.c.step_number, enrolment.c.due_at)
        .where(enrolment.c.campaign_id == campaign_id, enrolment.c.step_number == number)
        # written out: SQLite uses the index of those who wait only where it can see that they do
        .where(enrolment.c.state == literal_column("'waiting'"))
        .order_by(enrolment.c.due_at)
        .limit(most)
        .subquery()
    )
    summed = select(first.c.campaign_id, first.c.step_number, func.count(), func.min(first.c.due_at))
    return summed.group_by(first.c.campaign_id, first.c.step_number)


def _sending(session: Session, campaign_ids: Sequence[int], most: int, now: datetime) -> dict[_Key, int]:
    """Step -> people whom a run has taken and who have not gone on yet, of all steps together so many as of all may be
    counted."""
    at_work = select(run.c.id).where(run.c.state.in_(("planned", "sending", "paused")))
    young = select(run.c.id).where(run.c.fired_at > now - MOVED_ON)
    taken = (
        select(run.c.campaign_id, enrolment.c.step_number)
        .select_from(run.join(enrolment, enrolment.c.run_id == run.c.id))
        .where(run.c.id.in_(union(at_work, young)), run.c.campaign_id.in_(campaign_ids))
        .where(enrolment.c.state == literal_column("'taken'"))
        .limit(COUNTED_IN_ALL)
        .subquery()
    )
    counted = select(taken.c.campaign_id, taken.c.step_number, func.count())
    rows = session.execute(counted.group_by(taken.c.campaign_id, taken.c.step_number))
    return {(row[0], row[1]): min(row[2], most) for row in rows}


def steps_in_words(session: Session, campaign_id: int, language: Language, *, starts: str | None) -> list[str]:
    """Each step of a campaign in words, by number; `starts` as in `step_words`, of the first."""
    mine = select(CampaignStep).where(step.c.campaign_id == campaign_id).order_by(step.c.step_number)
    return [
        step_words(session, one.wait_minutes, one.condition, language, starts=starts if one.step_number == 1 else None)
        for one in session.scalars(mine)
    ]


def step_words(
    session: Session, wait_minutes: int, condition: dict[str, Any] | None, language: Language, *, starts: str | None
) -> str:
    """When a step goes out, and to whom, in words: 3 天後，沒有點擊連結的人. It goes out so long after the step before
    or an event; `starts`: the words for when it does where it waits for neither."""
    when = starts or wait_words(wait_minutes, language)
    if condition is None:
        return when
    who = condition_words(session, condition, language)
    return f"{when}，{who}的人" if language == "zh" else f"{when}, for those: {who}"


def wait_words(minutes: int, language: Language) -> str:
    """A wait in the largest unit that holds it whole."""
    if minutes == 0:
        return "立刻" if language == "zh" else "at once"
    size, zh, en = next(unit for unit in WAIT_UNITS if minutes % unit[0] == 0)
    count = minutes // size
    return f"{count} {zh}後" if language == "zh" else f"after {count} {en}{'s' * (count > 1)}"
