"""When campaigns fire and what state they are in. The sole writer of a campaign's and a run's state, once made.

The schedule is a row (`Campaign.next_fire_at`); whoever ticks, however many there are, one run comes of it, by the
constraint on (campaign, step, scheduled time). A campaign with a trigger, or with later steps, waits in state scheduled
for its people. States of a campaign: draft, scheduled, sending, sent, paused, cancelled,
failed; of a run: planned (its audience is being frozen), sending, paused, sent, cancelled, failed.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import and_, bindparam, exists, func, or_, select, update
from sqlmodel import Session, col

from campaigns.planning.enrolments import (
    FIRST_STEP,
    ON_THE_WAY,
    SLICE,
    Due,
    enrol,
    give_back,
    still_waiting,
    take,
)
from campaigns.planning.feeds import Answer, newest_id
from campaigns.planning.recurrence import canonical, next_firing
from campaigns.planning.skipping import UNSENT, had_its_time, skip_batches
from campaigns.planning.triggers import read_trigger
from campaigns.settings import read_settings
from store.engine import insert_for, table_of
from store.errors import BadInput, ExpectedError, NotFound
from store.models import (
    Campaign,
    CampaignRun,
    Channel,
    Delivery,
    Enrolment,
    Narrowcast,
    SendBatch,
    TrackedLink,
    Variant,
)
from store.types import UTCDateTime

# A one-time message that comes more than a day late is no longer what the marketer meant; a recurring one has a next.
MISSED_ONCE = timedelta(hours=24)
MISSED_RECURRING = timedelta(hours=1)


class WrongState(ExpectedError):
    """The campaign is in a state in which this can't be done."""

    http_status = 409


def first_firing(
    session: Session, at: datetime | None, recurs: str | None, *, zone: ZoneInfo, now: datetime
) -> tuple[str | None, datetime | None]:
    """`recurs` as it is stored, and when a campaign fires first: `at`, or with `recurs` its first time from then on;
    None for neither. Raises BadInput for words that can't be read and for a time more than a day ago."""
    if recurs:
        workdays = read_settings(session).calendar()
        kept = canonical(recurs, workdays=workdays, zone=zone, now=now)
        start = max(at or now, now) - timedelta(microseconds=1)  # that very time counts
        return kept, next_firing(kept, workdays=workdays, zone=zone, after=start)
    if at and now - at > MISSED_ONCE:
        raise BadInput(f"{at.astimezone(zone):%Y-%m-%d %H:%M} is more than a day ago")
    return None, at


def schedule_draft(
    session: Session, campaign_id: int, *, at: datetime | None, recurs: str | None, zone: ZoneInfo, now: datetime
) -> Campaign:
    """Give a draft its time, as in `Plan`; one with a trigger listens from `at` on, or at once. Raises WrongState for
    anything but a draft, BadInput without a time, and for a trigger that is to recur."""
    campaign = campaign_by_id(session, campaign_id, for_update=True)
    if campaign.state != "draft":
        raise WrongState(f"campaign {campaign_id} is {campaign.state}, not a draft")
    if campaign.trigger is not None:
        if recurs:
            raise BadInput("a campaign either recurs or has a trigger")
        listen(session, campaign, at=at or now, now=now)
        return campaign
    campaign.recurs, campaign.next_fire_at = first_firing(session, at, recurs, zone=zone, now=now)
    if campaign.next_fire_at is None:
        raise BadInput("say when: a time, or how it recurs")
    campaign.state = "scheduled"
    session.add(campaign)
    return campaign


def listen(session: Session, campaign: Campaign, *, at: datetime, now: datetime) -> None:
    """Schedule a draft with a trigger: what happens from `at` on makes people enter."""
    campaign.state = "scheduled"
    _listen_from(session, campaign, at, now)


def _listen_from(session: Session, campaign: Campaign, since: datetime, now: datetime) -> None:
    """What happened before `since`, or is known already, lets nobody enter."""
    campaign.trigger_since, campaign.trigger_read_to = max(since, now), None
    campaign.trigger_after_id = newest_id(session, read_trigger(campaign.trigger or {}))
    session.add(campaign)


def has_read(session: Session, campaign_id: int, answer: Answer) -> int:
    """Let the people of a feed's answer enter, and note where to read on; returns how many entered. Nobody does while
    the campaign is at rest."""
    campaign = campaign_by_id(session, campaign_id, for_update=True)
    if campaign.state not in ("scheduled", "sending"):
        return 0
    entered = enrol(session, campaign_id, answer.entries)
    if answer.is_all:
        campaign.trigger_after_id, campaign.trigger_read_to = answer.after_id, answer.read_to
        session.add(campaign)
    return entered


def campaign_by_id(session: Session, campaign_id: int, *, for_update: bool = False) -> Campaign:
    """The campaign; with `for_update` locked until the transaction ends. Raises NotFound."""
    campaign = session.get(Campaign, campaign_id, with_for_update=for_update or None)
    if campaign is None:
        raise NotFound(f"there is no campaign {campaign_id}")
    return campaign


def fire_due(session: Session, *, zone: ZoneInfo, now: datetime) -> list[int]:
    """Make the run of every campaign whose time has come; returns the ids of the runs made by this call."""
    due = session.scalars(
        select(Campaign)
        .where(col(Campaign.next_fire_at) <= now, col(Campaign.state).in_(("scheduled", "sending")))
        .order_by(col(Campaign.next_fire_at), col(Campaign.id))
        .with_for_update(skip_locked=True)
    ).all()
    made = [_fire(session, campaign, zone=zone, now=now) for campaign in due]
    return [run_id for run_id in made if run_id is not None]


def _fire(session: Session, campaign: Campaign, *, zone: ZoneInfo, now: datetime) -> int | None:
    scheduled_for = campaign.next_fire_at
    assert scheduled_for is not None
    campaign.next_fire_at = _next_firing(session, campaign, zone=zone, now=now)
    late_by = now - scheduled_for
    if late_by > (MISSED_RECURRING if campaign.recurs else MISSED_ONCE):
        campaign.problem = f"the firing of {scheduled_for.astimezone(zone):%Y-%m-%d %H:%M} was missed"
        if not campaign.recurs:
            campaign.state = "failed"
        session.add(campaign)
        return None
    return _make_run(session, campaign, FIRST_STEP, scheduled_for, by_enrolment=False, zone=zone, now=now)


def fire_step(
    session: Session, due: Due, enrolment_ids: Collection[int], *, zone: ZoneInfo, now: datetime
) -> int | None:
    """Make a run of a step for these enrolments, which it takes; None when its campaign is at rest meanwhile or nobody
    of them waits any more. There is one run a minute, but more when there are more people than fit one."""
    campaign = campaign_by_id(session, due.campaign_id, for_update=True)
    if campaign.state not in ("scheduled", "sending") or not still_waiting(session, due, enrolment_ids):
        return None
    scheduled_for = now if len(enrolment_ids) >= SLICE else now.replace(second=0, microsecond=0)
    run_id = _make_run(session, campaign, due.step_number, scheduled_for, by_enrolment=True, zone=zone, now=now)
    if run_id is not None:
        take(session, due, enrolment_ids, run_id)
    return run_id


def _make_run(
    session: Session,
    campaign: Campaign,
    step_number: int,
    scheduled_for: datetime,
    *,
    by_enrolment: bool,
    zone: ZoneInfo,
    now: datetime,
) -> int | None:
    """The id of the run made; None when there is one for that time already."""
    link = table_of(TrackedLink)
    links = session.execute(select(link.c.url, link.c.id).where(link.c.campaign_id == campaign.id)).all()
    assert campaign.id is not None
    waits = campaign.reply_first_minutes
    reply_until = now + timedelta(minutes=waits) if waits else None
    send_from, send_until = _sending_hours(session, campaign, reply_until or now, zone)
    run_id: int | None = session.execute(
        insert_for(session, CampaignRun)
        .values(
            campaign_id=campaign.id,
            step_number=step_number,
            scheduled_for=scheduled_for,
            state="planned",
            variants=_frozen_variants(session, campaign.id, step_number),
            way=campaign.way,
            link_ids={row.url: row.id for row in links},
            by_enrolment=by_enrolment,
            reply_until=reply_until,
            fired_at=now,
            send_from=send_from,
            send_until=send_until,
            frozen_up_to=0,
        )
        .on_conflict_do_nothing(index_elements=["campaign_id", "step_number", "scheduled_for"])
        .returning(table_of(CampaignRun).c.id)
    ).scalar()
    if run_id is None:
        return None
    campaign.state, campaign.problem = "sending", None
    session.add(campaign)
    session.flush()
    if (reason := session.get_one(Channel, campaign.channel_id).stopped_reason) is not None:
        # It would wait unseen; paused, it says why, and `resume` opens the channel.
        pause(session, campaign.id, problem=reason)
    return run_id


def _next_firing(session: Session, campaign: Campaign, *, zone: ZoneInfo, now: datetime) -> datetime | None:
    """When a recurring campaign fires next; None for one that fires once. By the holidays as the brand has them now."""
    if campaign.recurs is None:
        return None
    return next_firing(campaign.recurs, workdays=read_settings(session).calendar(), zone=zone, after=now)


def _sending_hours(
    session: Session, campaign: Campaign, start: datetime, zone: ZoneInfo
) -> tuple[datetime | None, datetime | None]:
    """From when and until when (exclusive) a run that begins at `start` may send; None: no limit. In quiet hours it is
    put off to their end."""
    quiet = read_settings(session).quiet() if campaign.keeps_quiet_hours else None
    if quiet is None:
        return None, None
    put_off = quiet.end_of(start, zone)
    return put_off, quiet.next_start(put_off or start, zone)


def mind_quiet_hours(session: Session, *, zone: ZoneInfo, now: datetime) -> list[int]:
    """Put off to their end what the quiet hours have overtaken; returns the runs' ids. Once: who was put off before,
    and could not be sent to between the two, is skipped as `quiet_hours`."""
    campaign, run = table_of(Campaign), table_of(CampaignRun)
    overtaken = (run.c.state.in_(("planned", "sending")), run.c.send_until <= now)
    mine = select(campaign.c.id).where(campaign.c.id.in_(select(run.c.campaign_id).where(*overtaken)))
    locked = session.scalars(mine.order_by(campaign.c.id).with_for_update()).all()
    if not locked:
        return []
    of_these = select(CampaignRun).where(*overtaken, run.c.campaign_id.in_(locked)).order_by(run.c.id)
    found = session.scalars(of_these.with_for_update()).all()
    for one in found:
        assert one.id is not None
        its_campaign = session.get_one(Campaign, one.campaign_id)
        late = None if one.send_from is None or one.state == "planned" else had_its_time(one.send_from, one.way)
        if late is not None and skip_batches(session, one.id, "quiet_hours", late):
            continue  # the next tick goes on; nothing of it is sent meanwhile
        if one.send_from is not None and one.state == "planned" and now - one.send_from > MISSED_ONCE:
            one.state, its_campaign.problem = "cancelled", f"run {one.id}, put off by quiet hours, was missed"
        one.send_from, one.send_until = _sending_hours(session, its_campaign, now, zone)
        session.add(one)
    session.flush()
    return [one.id for one in found if one.id is not None]


def variants_of(session: Session, campaign_id: int) -> list[Variant]:
    """All variants of a campaign, by step and id."""
    mine = select(Variant).where(col(Variant.campaign_id) == campaign_id)
    return list(session.scalars(mine.order_by(col(Variant.step_number), col(Variant.id))))


def _frozen_variants(session: Session, campaign_id: int, step_number: int) -> list[dict[str, Any]]:
    """The step's variants as they are now, for CampaignRun.variants: later edits don't touch a run."""
    return [
        {
            "variant_id": variant.id,
            "name": variant.name,
            "weight": variant.weight,
            "messages": variant.messages,
            "languages": variant.languages,
        }
        for variant in variants_of(session, campaign_id)
        if variant.step_number == step_number
    ]


def audience_is_frozen(session: Session, run: CampaignRun, *, now: datetime) -> None:
    """A run whose whole audience stands in delivery rows may be sent. Called by campaigns/audience/freezing.py."""
    run.frozen_at = now
    if run.state == "planned":
        run.state = "sending"
    session.add(run)


def pause(session: Session, campaign_id: int, *, problem: str | None = None) -> Campaign:
    """Stop at once: no further call is begun, nothing further fires. Raises WrongState, NotFound."""
    campaign = campaign_by_id(session, campaign_id, for_update=True)
    if campaign.state == "paused":
        return campaign
    if campaign.state not in ("scheduled", "sending"):
        raise WrongState(f"campaign {campaign_id} is {campaign.state}; only a scheduled or sending one can be paused")
    campaign.resume_state, campaign.state, campaign.problem = campaign.state, "paused", problem
    _move_runs(session, campaign, ("planned", "sending"), "paused")
    session.add(campaign)
    return campaign


def resume(session: Session, campaign_id: int, *, zone: ZoneInfo, now: datetime) -> Campaign:
    """Go on where `pause` stopped. A firing that recurs, and what would have triggered, is not made up
    for when it fell into the pause; who was on the way goes on. What people who enter one by one should have got over a
    day ago, they don't get any more (`missed`).

    Raises WrongState, NotFound.
    """
    campaign = campaign_by_id(session, campaign_id, for_update=True)
    if campaign.state != "paused":
        raise WrongState(f"campaign {campaign_id} is {campaign.state}, not paused")
    campaign.state, campaign.resume_state, campaign.problem = campaign.resume_state or "scheduled", None, None
    if campaign.recurs and campaign.next_fire_at and campaign.next_fire_at <= now:
        campaign.next_fire_at = _next_firing(session, campaign, zone=zone, now=now)
    if campaign.trigger is not None:
        _listen_from(session, campaign, now, now)
    session.execute(update(Channel).where(col(Channel.id) == campaign.channel_id).values(stopped_reason=None))
    run = table_of(CampaignRun)
    paused = (run.c.campaign_id == campaign.id, run.c.state == "paused")
    _let_go_missed(session, paused, now)
    send_from, send_until = _sending_hours(session, campaign, now, zone)
    full_speed = {"slow_step": 0, "next_batch_at": None}  # a person says so; it is judged anew
    session.execute(update(run).where(*paused).values(send_from=send_from, send_until=send_until, **full_speed))
    session.execute(update(run).where(*paused, run.c.frozen_at.is_(None)).values(state="planned"))
    session.execute(update(run).where(*paused, run.c.frozen_at.is_not(None)).values(state="sending"))
    session.add(campaign)
    return campaign


def _let_go_missed(session: Session, paused: tuple[Any, ...], now: datetime) -> None:
    """Of the `paused` runs that people entered one by one (a few thousand each at most): what was to go out over a day
    ago is skipped, and who isn't frozen yet waits again, to go past the step."""
    run, batch, latest = table_of(CampaignRun), table_of(SendBatch), now - MISSED_ONCE
    of_people = (*paused, run.c.by_enrolment, run.c.fired_at < latest)
    for run_id, fired_at in session.execute(select(run.c.id, run.c.fired_at).where(*of_people)).all():
        give_back(session, run_id)
        is_missed = func.coalesce(batch.c.not_before, bindparam("fired_at", fired_at, UTCDateTime())) < latest
        at_rest = or_(batch.c.state != "claimed", batch.c.lease_until < now)
        while skip_batches(session, run_id, "missed", and_(batch.c.state.in_(UNSENT), at_rest, is_missed)):
            pass
        if session.get_one(CampaignRun, run_id).frozen_at is None:
            session.execute(update(run).where(run.c.id == run_id).values(frozen_at=now))


def cancel(session: Session, campaign_id: int) -> Campaign:
    """End it for good: no further call is begun; who was not sent to is skipped. Raises WrongState, NotFound."""
    campaign = campaign_by_id(session, campaign_id, for_update=True)
    if campaign.state == "cancelled":
        return campaign
    if campaign.state in ("sent", "failed"):
        raise WrongState(f"campaign {campaign_id} is already {campaign.state}")
    campaign.state, campaign.resume_state, campaign.next_fire_at = "cancelled", None, None
    _move_runs(session, campaign, ("planned", "sending", "paused"), "cancelled")
    session.add(campaign)
    return campaign


def _move_runs(session: Session, campaign: Campaign, states: tuple[str, ...], to: str) -> None:
    session.execute(
        update(CampaignRun)
        .where(col(CampaignRun.campaign_id) == campaign.id, col(CampaignRun.state).in_(states))
        .values(state=to)
    )


def settle(session: Session, *, now: datetime) -> tuple[list[int], bool]:
    """Close runs that have nothing left to do, and their campaigns; returns the runs' ids, and whether there is more to
    do: the people of a cancelled run are skipped a slice at a time, as the webhook waits for SQLite's writers."""
    cancelled, is_more = _skip_cancelled(session, now=now)
    closed = [*cancelled, *_close_sent(session, now=now)]
    _close_campaigns(session, closed)
    return closed, is_more


def _close_sent(session: Session, *, now: datetime) -> list[int]:
    run, batch = table_of(CampaignRun), table_of(SendBatch)
    unsent = exists().where(batch.c.run_id == run.c.id, batch.c.state.in_(UNSENT))
    over = (run.c.state == "sending", ~unsent)
    # The campaigns first, as whoever pauses or fires does: a state changes under its campaign's lock. Then only the
    # runs of those: one that is over since would bring a campaign that isn't locked, out of order.
    campaign = table_of(Campaign)
    locked = session.scalars(
        select(campaign.c.id)
        .where(campaign.c.id.in_(select(run.c.campaign_id).where(*over)))
        .order_by(campaign.c.id)
        .with_for_update()
    ).all()
    if not locked:
        return []
    of_these = run.c.campaign_id.in_(locked)
    return list(
        session.scalars(update(run).where(*over, of_these).values(state="sent", finished_at=now).returning(run.c.id))
    )


def _skip_cancelled(session: Session, *, now: datetime) -> tuple[list[int], bool]:
    """Skip the people of some more batches of a cancelled run; its id when it is closed, and whether to come again."""
    run, batch, delivery = table_of(CampaignRun), table_of(SendBatch), table_of(Delivery)
    being_sent = exists().where(batch.c.run_id == run.c.id, batch.c.state == "claimed", batch.c.lease_until > now)
    narrowcast = table_of(Narrowcast)  # what LINE has accepted, or may accept at this moment, can't be called back
    at_line = exists().where(
        narrowcast.c.run_id == run.c.id,
        narrowcast.c.state == "sending",
        or_(narrowcast.c.request_id.is_not(None), narrowcast.c.due_at > now),
    )
    run_id = session.scalar(
        select(run.c.id)
        .where(run.c.state == "cancelled", run.c.finished_at.is_(None), ~being_sent, ~at_line)
        .order_by(run.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if run_id is None:
        return [], False
    if skip_batches(session, run_id, "cancelled", batch.c.state.in_(UNSENT)):
        return [], True
    chosen = (delivery.c.run_id == run_id, delivery.c.state == "chosen", delivery.c.batch_number.is_(None))
    session.execute(update(delivery).where(*chosen).values(state="skipped", reason="cancelled"))
    session.execute(update(run).where(run.c.id == run_id).values(finished_at=now))
    return [run_id], True


def _close_campaigns(session: Session, run_ids: list[int]) -> None:
    """Campaigns whose runs are over wait for what is to come, or are sent; so are those of which the last person is
    through."""
    campaign, run, enrolment = table_of(Campaign), table_of(CampaignRun), table_of(Enrolment)
    running = exists().where(run.c.campaign_id == campaign.c.id, run.c.state.in_(("planned", "sending", "paused")))
    if run_ids:
        of_these = campaign.c.id.in_(select(run.c.campaign_id).where(run.c.id.in_(run_ids)))
        over = (of_these, campaign.c.state == "sending", ~running)
        session.execute(update(campaign).where(*over).values(state="scheduled"))
    on_the_way = exists().where(enrolment.c.campaign_id == campaign.c.id, enrolment.c.state.in_(ON_THE_WAY))
    nothing_to_come = (campaign.c.next_fire_at.is_(None), campaign.c.trigger.is_(None), ~running, ~on_the_way)
    idle = select(campaign.c.id).where(campaign.c.state == "scheduled", *nothing_to_come).order_by(campaign.c.id)
    if ids := session.scalars(idle.with_for_update()).all():
        session.execute(update(campaign).where(campaign.c.id.in_(ids)).values(state="sent"))


def pause_for(session: Session, run_id: int, problem: str) -> None:
    """Pause the campaign of a run because LINE will not take more of it, and say why. Twice is the same as once."""
    campaign_id = session.execute(
        select(table_of(CampaignRun).c.campaign_id).where(table_of(CampaignRun).c.id == run_id)
    ).scalar_one()
    campaign = campaign_by_id(session, campaign_id, for_update=True)
    if campaign.state in ("scheduled", "sending"):
        pause(session, campaign_id, problem=problem)


def fail_run(session: Session, run_id: int, problem: str) -> None:
    """A run that can't be made ready (its target has gone): it and its campaign fail, saying why."""
    # Campaign before run, as everywhere: two that lock the other way round could wait for each other.
    campaign = campaign_by_id(session, session.get_one(CampaignRun, run_id).campaign_id, for_update=True)
    run = session.get_one(CampaignRun, run_id, with_for_update=True, populate_existing=True)
    if run.state != "planned":
        return  # cancelled or paused meanwhile: `resume` comes here again
    run.state, campaign.state, campaign.problem, campaign.next_fire_at = "failed", "failed", problem, None
    session.add(run)
    session.add(campaign)


def stop_channel(session: Session, channel_id: int, problem: str) -> None:
    """LINE refuses the token: pause everything of the channel that is sending, and say why."""
    campaign = table_of(Campaign)
    sending = select(campaign.c.id).where(campaign.c.channel_id == channel_id, campaign.c.state == "sending")
    for campaign_id in session.scalars(sending.order_by(campaign.c.id)).all():
        if campaign_by_id(session, campaign_id, for_update=True).state == "sending":
            pause(session, campaign_id, problem=problem)
    # Last, as in `resume`: campaigns are locked before their channel.
    session.execute(update(Channel).where(col(Channel.id) == channel_id).values(stopped_reason=problem))
