"""Sending a run by narrowcast: its people are uploaded to an audience at LINE, and one request goes to all of them.

A row (`Narrowcast`, one per variant and language) says how far it has come; a step takes it, calls LINE once, and
writes down what came of it. A step may be done twice, by two workers or after a crash: people are only ever added to
the audience, the same ones, and the request carries the stored retry key. Only people who were chosen when the
audience was frozen are uploaded. LINE tells counts, never people: when it says succeeded, the run's batches are
accepted, and the deliveries follow them as they do with a multicast. Nothing can be called back once LINE has accepted
it, nor anybody taken out of the audience: a refusal counts until the upload. Where the run rested since (paused, or
quiet hours), which may be days, an audience with somebody who refused meanwhile is made anew; so it is where LINE may
have been told of them by a step that nobody noted. Not at each refusal: a large audience takes minutes, and would never
be ready. Sources: "Managing Audience", "Send narrowcast message".
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import structlog
from sqlalchemy import Engine, func, select, update
from sqlmodel import Session

from campaigns.content.message import InvalidMessage, NotRenderable
from campaigns.content.versions import Versions
from campaigns.links.making import LinkMaker
from campaigns.planning import schedule
from campaigns.sending.calls import MOST_DOUBLINGS, TRIES_IN_HAND, UNKNOWN_LIMIT, Answer
from campaigns.sending.claims import KEY_LIFE
from campaigns.sending.narrowcast_claims import (
    ENDED,
    OVER,
    Taken,
    batches_of,
    is_anything_due,
    plan_narrowcasts,
    take_narrowcast,
)
from campaigns.sending.units import FIRST_LOOK, month_of
from campaigns.sending.ways import UPLOAD_SIZE
from campaigns.settings import read_settings
from store.clock import Clock
from store.engine import reading, table_of, transaction
from store.errors import ExpectedError
from store.models import (
    AuditEntry,
    CampaignRun,
    Customer,
    Delivery,
    Narrowcast,
    SendBatch,
    UnitStatistic,
)

log = structlog.get_logger()

PROGRESS_KEPT = timedelta(days=14)  # so long LINE tells what became of a narrowcast
RESTED = timedelta(minutes=10)  # a step that comes so much later than it was due: the run was not being sent
BETWEEN_UPLOADS = timedelta(seconds=1)  # 60 a minute and channel
FIRST_WAIT_SECONDS = 2.0
LONGEST_WAIT_SECONDS = 60.0
BAD_ID = ("INVALID_AUDIENCE_ID", "NO_VALID_AUDIENCE_IDS")  # one of the people is nobody to LINE
_GONE = ("AUDIENCE_GROUP_NOT_FOUND", "STATUS_EXPIRED")
_FULL = "AUDIENCE_GROUP_COUNT_MAX_OVER"


class AudienceState(Protocol):
    """What LINE has made of an audience; see bot/line/audiences.py."""

    @property
    def status(self) -> str: ...
    @property
    def uploads_under_way(self) -> int: ...
    @property
    def uploads_failed(self) -> int: ...


class Progress(Protocol):
    """How far a narrowcast is; see bot/line/audiences.py."""

    @property
    def phase(self) -> str: ...
    @property
    def target_count(self) -> int | None: ...
    @property
    def success_count(self) -> int | None: ...
    @property
    def failure_count(self) -> int | None: ...
    @property
    def problem(self) -> str | None: ...


class NarrowcastDoor(Protocol):
    """The door that a narrowcast needs. All but `narrowcast` raise an ExpectedError with LINE's `status`, None when
    LINE was not reached."""

    def find_audience(self, name: str) -> int | None: ...
    def create_audience(self, name: str) -> int: ...
    def add_to_audience(self, audience_id: int, line_user_ids: Sequence[str]) -> None: ...
    def audience_state(self, audience_id: int) -> AudienceState: ...
    def delete_audience(self, audience_id: int) -> None: ...
    def narrowcast(self, audience_id: int, messages: bytes, retry_key: str) -> Answer: ...
    def progress(self, request_id: str) -> Progress: ...


@dataclass(frozen=True)
class Ground:
    """What narrowcasts stand on. `doors`: channel id -> door; a step of a dead worker is taken over after `lease`."""

    engine: Engine
    doors: Mapping[int, NarrowcastDoor]
    links: LinkMaker
    lease: timedelta
    clock: Clock


def step_narrowcasts(ground: Ground) -> int:
    """Do the next step of every narrowcast whose step is due; returns how many steps were done."""
    with reading(ground.engine) as session:
        if not is_anything_due(session, ground.clock()):
            return 0  # without taking SQLite's write lock each second
    with transaction(ground.engine) as session:
        plan_narrowcasts(session, now=ground.clock())
    done = 0
    while True:
        with transaction(ground.engine) as session:
            taken = take_narrowcast(session, list(ground.doors), lease=ground.lease, now=ground.clock())
        if taken is None:
            return done
        _step(ground, taken)
        done += 1


def _step(ground: Ground, taken: Taken) -> None:
    row, door = taken.row, ground.doors[taken.channel_id]
    try:
        if row.state in OVER:
            _clean_up(ground, taken, door)
        elif row.request_id is not None:
            _follow(ground, taken, door)
        elif taken.run_state in ENDED:
            state = "cancelled" if taken.doubt_since is None else "unknown"
            _finish(ground, taken, state, "cancelled" if state == "cancelled" else "cancelled in doubt")
        elif _has_rested(ground, taken) and _has_refused(ground, row):
            _leave_out(ground, taken, door)
        else:
            _STEPS[row.state](ground, taken, door)
    except ExpectedError as error:
        _put_off(ground, taken, error)


def _has_rested(ground: Ground, taken: Taken) -> bool:
    """Whether the audience may be of days ago, and LINE has no request for it."""
    row = taken.row
    is_late = row.due_at is not None and ground.clock() - row.due_at > RESTED
    return is_late and row.audience_group_id is not None and taken.doubt_since is None


def _leave_out(ground: Ground, taken: Taken, door: NarrowcastDoor) -> None:
    """Somebody in the audience has refused: it goes, or it would be found by its name, and is made without them."""
    assert taken.row.audience_group_id is not None
    door.delete_audience(taken.row.audience_group_id)
    _start_again(ground, taken, "somebody in the audience has refused meanwhile")


def _make_audience(ground: Ground, taken: Taken, door: NarrowcastDoor) -> None:
    row = taken.row
    if not _is_anyone_chosen(ground, row):
        _finish(ground, taken, "succeeded", None, counts={"target": 0, "success": 0, "failure": 0})
        return
    # Its name is found again after a crash, so that none is made twice. The key makes it this database's own.
    version = f"{row.variant_id} {row.language}".strip()
    name = f"retarget run {row.run_id} variant {version} {row.retry_key[:8]}"
    audience_id = door.find_audience(name) or door.create_audience(name)
    _move_on(ground, taken, state="uploading", audience_group_id=audience_id)


def _upload(ground: Ground, taken: Taken, door: NarrowcastDoor) -> None:
    row, now = taken.row, ground.clock()
    assert row.audience_group_id is not None
    with transaction(ground.engine) as session:
        following = session.execute(_people(row).limit(row.upload_size)).all()
        refusing = [one.customer_id for one in following if one.refused_at is not None]
        is_free = all(customer_id > row.held_up_to for customer_id in refusing)
        if is_free and following:
            _skip_refusing(session, row, refusing)
            held = max(row.held_up_to, following[-1].customer_id)
            noted = session.execute(update(Narrowcast).where(*taken.mine).values(held_up_to=held))
            if not noted.rowcount:  # type: ignore[attr-defined]
                return  # another worker has it, or somebody has got a lower id: this step is none
    if not is_free:  # LINE may have been told of them already, by a step that counted for nothing
        _leave_out(ground, taken, door)
        return
    if not following:
        _note_uploaded(ground, taken)
        return
    people = [one for one in following if one.refused_at is None]
    try:
        if people:
            door.add_to_audience(row.audience_group_id, [one.line_user_id for one in people])
    except ExpectedError as error:
        if not any(words in str(error) for words in BAD_ID):
            raise
        if len(people) > 1:  # halved until the one is found; the others are uploaded
            _move_on(ground, taken, upload_size=(len(following) + 1) // 2)
            return
        (nobody,) = people
        this = (*_chosen(row), table_of(Delivery).c.customer_id == nobody.customer_id)
        with transaction(ground.engine) as session:
            _take_back_tally(session, row.run_id, nobody.customer_id)
            session.execute(update(Delivery).where(*this).values(state="failed", reason="LINE doesn't know this id"))
    _move_on(
        ground,
        taken,
        uploaded_up_to=following[-1].customer_id,
        upload_size=min(UPLOAD_SIZE, row.upload_size * 2),
        due_at=now + BETWEEN_UPLOADS,
    )


def _wait_until_ready(ground: Ground, taken: Taken, door: NarrowcastDoor) -> None:
    row = taken.row
    assert row.audience_group_id is not None
    if not _is_anyone_chosen(ground, row):  # everybody has refused meanwhile, or is nobody to LINE
        _finish(ground, taken, "succeeded", None, counts={"target": 0, "success": 0, "failure": 0})
        return
    state = door.audience_state(row.audience_group_id)
    if state.uploads_failed or state.status not in ("READY", "IN_PROGRESS"):
        _start_again(ground, taken, f"LINE's audience is {state.status}, {state.uploads_failed} uploads failed")
    elif state.status == "READY" and state.uploads_under_way == 0:
        _move_on(ground, taken, state="sending")
    else:
        _wait(ground, taken)


def _send(ground: Ground, taken: Taken, door: NarrowcastDoor) -> None:
    row, now = taken.row, ground.clock()
    assert row.audience_group_id is not None
    if taken.doubt_since is not None and taken.doubt_since <= now - KEY_LIFE:
        _finish(ground, taken, "unknown", "in doubt for longer than a retry key lives")
        return
    try:
        messages = _messages(ground, row)
    except NotRenderable as error:
        _finish(ground, taken, "failed", str(error))
        return
    except InvalidMessage as error:  # stored before a check became stricter
        _wait(ground, taken, problem=str(error), first_attempt_at=taken.doubt_since)
        with transaction(ground.engine) as session:
            schedule.pause_for(session, row.run_id, f"its content can't be sent: {error}")
        return
    answer = door.narrowcast(row.audience_group_id, messages, row.retry_key)
    if answer.outcome == "accepted" and answer.request_id is not None:
        _note_accepted(ground, taken, answer.request_id)
    elif answer.outcome == "refused":
        _finish(ground, taken, "failed", answer.problem)
    elif answer.outcome in ("in_doubt", "accepted"):  # accepted without an id: a repeat will name it
        _wait(ground, taken, problem=answer.problem)
    else:  # LINE doesn't have it: only an earlier doubt remains
        _wait(ground, taken, problem=answer.problem, first_attempt_at=taken.doubt_since)
        _stop_what_cannot_go_on(ground, taken, answer)


def _follow(ground: Ground, taken: Taken, door: NarrowcastDoor) -> None:
    row = taken.row
    assert row.request_id is not None
    try:
        progress = door.progress(row.request_id)
    except ExpectedError as error:
        since = row.first_attempt_at or ground.clock()
        if getattr(error, "status", None) == 404 and ground.clock() - since > PROGRESS_KEPT:
            _finish(ground, taken, "unknown", "LINE no longer tells what became of it")
            return
        raise
    counts = {
        "target": progress.target_count,
        "success": progress.success_count,
        "failure": progress.failure_count,
    }
    if progress.phase == "succeeded":
        _finish(ground, taken, "succeeded", None, counts=counts)
    elif progress.phase == "failed":
        _finish(ground, taken, "failed", progress.problem)
    else:
        _wait(ground, taken)


def _clean_up(ground: Ground, taken: Taken, door: NarrowcastDoor) -> None:
    with reading(ground.engine) as session:
        keeps = read_settings(session).keep_line_audiences
    kept = taken.row.audience_group_id
    if kept is not None and not keeps:
        door.delete_audience(kept)
        kept = None
    _move_on(ground, taken, audience_group_id=kept, due_at=None, problem=taken.row.problem)


# --- what is written down ------------------------------------------------------------------------------------------


def _chosen(row: Narrowcast) -> tuple[Any, ...]:
    """SQL on delivery: who is in a narrowcast, as chosen when the audience was frozen; nobody else."""
    delivery, batch = table_of(Delivery), table_of(SendBatch)
    numbers = select(batch.c.batch_number).where(*batches_of(row))
    return delivery.c.run_id == row.run_id, delivery.c.state == "chosen", delivery.c.batch_number.in_(numbers)


def _people(row: Narrowcast) -> Any:
    """Who is still to be uploaded, by customer id, and since when they have refused, if they do."""
    delivery, customer = table_of(Delivery), table_of(Customer)
    columns = (delivery.c.customer_id, delivery.c.line_user_id, customer.c.marketing_refused_at.label("refused_at"))
    people = select(*columns).join(customer, customer.c.id == delivery.c.customer_id)
    return people.where(*_chosen(row), delivery.c.customer_id > row.uploaded_up_to).order_by(delivery.c.customer_id)


def _skip_refusing(session: Session, row: Narrowcast, customer_ids: Sequence[int]) -> None:
    """Whoever has refused since the freeze and would be uploaded next is skipped."""
    delivery = table_of(Delivery)
    for customer_id in customer_ids:  # few: those of the minutes since the freeze
        _take_back_tally(session, row.run_id, customer_id)
        this = (delivery.c.run_id == row.run_id, delivery.c.customer_id == customer_id, delivery.c.state == "chosen")
        session.execute(update(delivery).where(*this).values(state="skipped", reason="refused"))


def _has_refused(ground: Ground, row: Narrowcast) -> bool:
    """Whether anybody who may have been uploaded has refused since."""
    delivery, customer = table_of(Delivery), table_of(Customer)
    uploaded = (*_chosen(row), delivery.c.customer_id <= row.held_up_to)
    refusing = select(delivery.c.customer_id).join(customer, customer.c.id == delivery.c.customer_id)
    refusing = refusing.where(*uploaded, customer.c.marketing_refused_at.is_not(None)).limit(1)
    with reading(ground.engine) as session:
        return session.execute(refusing).first() is not None


def _take_back_tally(session: Session, run_id: int, customer_id: int) -> None:
    """The sums of this person's batch no longer hold (see campaigns/results/tally.py)."""
    batch, delivery = table_of(SendBatch), table_of(Delivery)
    number = select(delivery.c.batch_number).where(delivery.c.run_id == run_id, delivery.c.customer_id == customer_id)
    this = (batch.c.run_id == run_id, batch.c.batch_number == number.scalar_subquery())
    session.execute(update(batch).where(*this).values(is_tallied=False))


def _is_anyone_chosen(ground: Ground, row: Narrowcast) -> bool:
    anyone = select(table_of(Delivery).c.customer_id).where(*_chosen(row)).limit(1)
    with reading(ground.engine) as session:
        return session.execute(anyone).first() is not None


def _messages(ground: Ground, row: Narrowcast) -> bytes:
    """The one body for everybody, with tracked links that name no person. Raises NotRenderable."""
    with reading(ground.engine) as session:
        run = session.get_one(CampaignRun, row.run_id)
    variant = next(variant for variant in run.variants if variant["variant_id"] == row.variant_id)
    return Versions(variant).in_language(row.language or None)({}, ground.links.tracker(run.link_ids, row.run_id, None))


def _move_on(ground: Ground, taken: Taken, **values: Any) -> None:
    """The step is done; the next may be done at once unless `due_at` says otherwise."""
    values = {"due_at": ground.clock(), "attempts": 0, "problem": None, **values}
    with transaction(ground.engine) as session:
        session.execute(update(table_of(Narrowcast)).where(*taken.mine).values(**values))


def _wait(ground: Ground, taken: Taken, **values: Any) -> None:
    """The same step again, later each time."""
    longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(taken.row.attempts, MOST_DOUBLINGS))
    due_at = ground.clock() + timedelta(seconds=longest * random.uniform(0.5, 1.0))
    with transaction(ground.engine) as session:
        table = table_of(Narrowcast)
        session.execute(update(table).where(*taken.mine).values(due_at=due_at, attempts=table.c.attempts + 1, **values))
        if "first_attempt_at" in values:
            batch, since = table_of(SendBatch), values["first_attempt_at"]
            mine = (*batches_of(taken.row), batch.c.state == "due")
            session.execute(update(batch).where(*mine).values(first_attempt_at=since))


def _start_again(ground: Ground, taken: Taken, problem: str) -> None:
    """The audience is not as it has to be, and nothing was sent yet: it is made anew."""
    begins = {"state": "planned", "audience_group_id": None, "uploaded_up_to": 0, "held_up_to": 0}
    _wait(ground, taken, **begins, first_attempt_at=None, problem=problem)


def _put_off(ground: Ground, taken: Taken, error: ExpectedError) -> None:
    """LINE did not do the step: again later, from the beginning when the audience has gone; what can't go on stops."""
    status = getattr(error, "status", None)
    log.warning("narrowcast_put_off", run_id=taken.row.run_id, state=taken.row.state, status=status)
    if taken.row.state in ("uploading", "uploaded") and any(words in str(error) for words in _GONE):
        _start_again(ground, taken, str(error))
        return
    _wait(ground, taken, problem=str(error))
    if taken.row.state in OVER or taken.row.request_id is not None:
        return
    with transaction(ground.engine) as session:
        if status in (401, 403):
            schedule.stop_channel(session, taken.channel_id, f"LINE refuses this channel's token or account ({error})")
        elif _FULL in str(error):
            schedule.pause_for(session, taken.row.run_id, "LINE holds 1,000 audiences of this channel: delete some")


def _stop_what_cannot_go_on(ground: Ground, taken: Taken, answer: Answer) -> None:
    with transaction(ground.engine) as session:
        if answer.outcome == "quota_exhausted":
            words = f"LINE's monthly quota has no room for a narrowcast to all of them ({answer.problem})"
            schedule.pause_for(session, taken.row.run_id, words)
        elif answer.outcome == "stopped":
            words = f"LINE refuses this channel's token or account ({answer.problem})"
            schedule.stop_channel(session, taken.channel_id, words)
        elif answer.outcome == "limited" and taken.row.attempts >= TRIES_IN_HAND - 1:
            schedule.pause_for(session, taken.row.run_id, f"{UNKNOWN_LIMIT} ({answer.problem})")


def _note_uploaded(ground: Ground, taken: Taken) -> None:
    """Everybody chosen stands in LINE's audience: people's ids were handed out, which the audit trail keeps."""
    now, row = ground.clock(), taken.row
    with transaction(ground.engine) as session:
        changed = session.execute(
            update(table_of(Narrowcast))
            .where(*taken.mine)
            .values(state="uploaded", due_at=now, attempts=0, problem=None)
        )
        if changed.rowcount:  # type: ignore[attr-defined]
            people = session.scalar(select(func.count()).where(*_chosen(row)))
            detail = {"run_id": row.run_id, "variant_id": row.variant_id, "language": row.language, "people": people}
            session.add(AuditEntry(at=now, actor="worker", action="upload audience to LINE", detail=detail))


def _note_accepted(ground: Ground, taken: Taken, request_id: str) -> None:
    """LINE has it and will send it: from now on only its progress is asked, and in time its figures."""
    now, row = ground.clock(), taken.row
    with transaction(ground.engine) as session:
        changed = session.execute(
            update(table_of(Narrowcast))
            .where(*taken.mine, table_of(Narrowcast).c.request_id.is_(None))
            .values(request_id=request_id, due_at=now, attempts=0, problem=None)
        )
        if changed.rowcount:  # type: ignore[attr-defined]
            session.add(
                UnitStatistic(
                    channel_id=taken.channel_id,
                    run_id=row.run_id,
                    variant_id=row.variant_id,
                    language=row.language,
                    month=month_of(now),
                    due_at=now + FIRST_LOOK,
                )
            )


def _finish(
    ground: Ground, taken: Taken, state: str, problem: str | None, *, counts: Mapping[str, int | None] | None = None
) -> None:
    """It is over. The run's batches become what LINE says of the whole, and the deliveries follow them; who of them it
    could not reach, LINE counts but does not tell."""
    now, row = ground.clock(), taken.row
    batch = table_of(SendBatch)
    is_accepted = state == "succeeded"
    with transaction(ground.engine) as session:
        changed = session.execute(
            update(table_of(Narrowcast))
            .where(*taken.mine)
            .values(state=state, due_at=now, attempts=0, problem=problem, counts=dict(counts or {}))
        )
        if not changed.rowcount or state == "cancelled":  # type: ignore[attr-defined]
            return  # another worker wrote it; or the run is closed by planning/schedule.py, nobody having got anything
        session.execute(
            update(batch)
            .where(*batches_of(row), batch.c.state == "due")
            .values(
                state="accepted" if is_accepted else state,
                sent_at=now if is_accepted else None,
                request_id=row.request_id,
                problem=problem,
                is_tallied=False,
            )
        )
    log.info("narrowcast_over", run_id=row.run_id, variant_id=row.variant_id, state=state)


_STEPS: dict[str, Callable[[Ground, Taken, NarrowcastDoor], None]] = {
    "planned": _make_audience,
    "uploading": _upload,
    "uploaded": _wait_until_ready,
    "sending": _send,
}
