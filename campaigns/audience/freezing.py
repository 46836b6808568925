"""Freezing: a run's whole audience becomes delivery rows, with retry keys, before any call to LINE.

Set-based and in slices of customers, each its own short transaction under the run's row lock: any number of workers
may freeze one run together, and a crash goes on where the last slice was committed (`CampaignRun.frozen_up_to`).
"""

from datetime import datetime
from typing import Any

from sqlalchemy import String, and_, case, cast, false, func, insert, literal, null, select, true
from sqlmodel import Session

from campaigns.audience.target import Audience, condition_of
from campaigns.content.languages import version_column
from campaigns.content.parts import ONE_BODY
from campaigns.planning.schedule import audience_is_frozen
from store.engine import insert_for, is_sqlite, table_of
from store.models import Campaign, CampaignRun, Customer, CustomerSegment, Delivery, LineAccount, SendBatch
from store.types import BigId

BATCH_SIZE = 500  # recipients: LINE's limit of one multicast ("Send multicast message")
SLICE = 4_000  # customers looked at in one transaction, about 70 ms: SQLite's webhook waits that long
BUCKETS = 10_000  # the stable hash has hundredths of a percent
VARIANT_SALT = 1_000_003  # apart from the salts of holdouts, which are campaigns' ids
_PRIME = 2_147_483_647  # 2**31 - 1: products of two residues stay inside 64 bits in both databases


def bucket_of(customer_id: Any, salt: int) -> Any:
    """A stable hash of a customer into 0..9,999, the same for ints, NumPy arrays and SQL columns.

    Two multiplications around a square modulo 2**31-1: in plain SQL, so that a million people are told apart without
    leaving the database. The same person and salt always give the same bucket; other salts are independent of it.
    """
    mixed = (customer_id % _PRIME * 48_271 + (salt * 69_621 + 12_345) % _PRIME) % _PRIME
    mixed = (mixed * mixed % _PRIME + mixed * 16_807 + salt) % _PRIME
    return mixed * 39_373 % _PRIME % BUCKETS


def variant_place(run: CampaignRun, customer_id: Any) -> Any:
    """SQL for the place, from 0, in `run.variants` of the one that a customer gets: by a stable hash, so that the same
    person has the same variant in every run of the step, independent of who is held out."""
    weights = [variant["weight"] for variant in run.variants]
    ends = [round(sum(weights[: n + 1]) / sum(weights) * BUCKETS) for n in range(len(weights) - 1)]
    if not ends:
        return literal(0)
    bucket = bucket_of(customer_id, VARIANT_SALT + run.campaign_id * 97 + run.step_number)
    return case(*((bucket < end, place) for place, end in enumerate(ends)), else_=len(ends))


def freeze_slice(session: Session, run_id: int, *, now: datetime, size: int = SLICE) -> bool:
    """Freeze the next slice of a planned run, `size` customers looked at; False when nothing was left to do.

    With the last slice the run becomes ready to send. Raises UnknownTarget when the target has gone meanwhile.
    """
    run = session.get(CampaignRun, run_id, with_for_update=True)
    if run is None or run.state != "planned":
        return False
    customer = table_of(Customer)
    low = run.frozen_up_to
    high = session.scalar(
        select(func.max(customer.c.id)).where(
            customer.c.id.in_(select(customer.c.id).where(customer.c.id > low).order_by(customer.c.id).limit(size))
        )
    )
    if high is None:
        audience_is_frozen(session, run, now=now)
        return False
    campaign = session.get_one(Campaign, run.campaign_id)
    session.execute(_insert_deliveries(session, run, campaign, low, high))
    session.execute(_insert_batches(session, run))
    run.frozen_up_to = high
    session.add(run)
    return True


def planned_runs(session: Session) -> list[int]:
    """Ids of the runs whose audience is still to be frozen, oldest first."""
    run = table_of(CampaignRun)
    return list(session.scalars(select(run.c.id).where(run.c.state == "planned").order_by(run.c.id)))


def _insert_deliveries(session: Session, run: CampaignRun, campaign: Campaign, low: int, high: int) -> Any:
    customer, account, segment = table_of(Customer), table_of(LineAccount), table_of(CustomerSegment)
    # Of several accounts of one person the newest that has not blocked us. Looked up person by person, by index: joined
    # as a derived table, SQLite would scan all of it for every person.
    choice = account.alias()
    reachable = (
        select(choice.c.id)
        .where(choice.c.customer_id == customer.c.id, choice.c.channel_id == campaign.channel_id)
        .order_by(case((choice.c.is_following.is_(False), 1), else_=0), choice.c.id.desc())
        .limit(1)
        .correlate(customer)
        .scalar_subquery()
    )
    reason = case(
        (customer.c.marketing_refused_at.is_not(None), "refused"),
        (account.c.line_user_id.is_(None), "no_line_account"),
        (account.c.is_following.is_(False), "blocked"),
    )
    assert campaign.id is not None
    held_out = bucket_of(customer.c.id, campaign.id) < int(campaign.holdout_percent * BUCKETS / 100)
    person = (
        select(
            customer.c.id.label("customer_id"),
            account.c.line_user_id,
            segment.c.rfm8.label("segment"),
            reason.label("reason"),
            case((reason.is_not(None), "skipped"), (held_out, "held_out"), else_="chosen").label("state"),
            variant_place(run, customer.c.id).label("variant_place"),
            _language_place(run, customer, account).label("language_place"),
        )
        .select_from(customer)
        .outerjoin(account, account.c.id == reachable)
        .outerjoin(segment, segment.c.customer_id == customer.c.id)
        .where(customer.c.id > low, customer.c.id <= high, condition_of(session, Audience.from_json(campaign.audience)))
        .cte("person")
    )
    # One call of a multicast has one body: its batches hold one variant in one language each, with numbers in turns.
    languages = _languages(run)
    bodies = len(run.variants) * len(languages) if run.way in ONE_BODY else 1
    body = person.c.variant_place * len(languages) + person.c.language_place if bodies > 1 else literal(0)
    place = func.row_number().over(partition_by=[person.c.state, body], order_by=person.c.customer_id)
    first_batch = session.scalar(
        select(func.coalesce(func.max(table_of(SendBatch).c.batch_number), 0) + 1).where(
            table_of(SendBatch).c.run_id == run.id
        )
    )
    is_chosen = person.c.state == "chosen"
    variant_id = case({n: v["variant_id"] for n, v in enumerate(run.variants)}, value=person.c.variant_place)
    rows = select(
        literal(run.id),
        person.c.customer_id,
        person.c.line_user_id,
        case((is_chosen, variant_id)),
        person.c.segment,
        person.c.state,
        person.c.reason,
        case((is_chosen, literal(first_batch) + (place - 1) // BATCH_SIZE * bodies + body)),
        case((is_chosen, _new_key(session)), else_=null()) if run.way == "push" else cast(null(), String),
        false(),
    )
    names = ["run_id", "customer_id", "line_user_id", "variant_id", "segment", "state", "reason", "batch_number"]
    names += ["retry_key", "by_reply"]
    # SQLite can't tell ON CONFLICT from a join's ON without a WHERE. A conflict: someone frozen in an earlier slice was
    # merged into this customer meanwhile, and so is in the run already.
    statement = insert_for(session, Delivery).from_select(names, rows.where(true()), include_defaults=False)
    return statement.on_conflict_do_nothing()


def _languages(run: CampaignRun) -> list[str | None]:
    """The versions that a multicast's bodies come in: the plain one, and one for each language of any variant."""
    if run.way not in ONE_BODY:
        return [None]
    return [None, *sorted({language for variant in run.variants for language in variant["languages"]})]


def _language_place(run: CampaignRun, customer: Any, account: Any) -> Any:
    """SQL for the place in `_languages` of the version that a customer reads of their variant."""
    places = {language: place for place, language in enumerate(_languages(run))}
    by_variant = [
        (place, version_column(list(variant["languages"]), customer.c.language, account.c.profile_language))
        for place, variant in enumerate(run.variants)
        if variant["languages"]
    ]
    if len(places) == 1 or not by_variant:
        return literal(0)
    here = variant_place(run, customer.c.id)
    version = case(*((here == place, chosen) for place, chosen in by_variant))
    return case({language: place for language, place in places.items() if language}, value=version, else_=0)


def _insert_batches(session: Session, run: CampaignRun) -> Any:
    """Batches for the deliveries that have a number and no batch yet: those of the slice just frozen."""
    delivery, batch = table_of(Delivery), table_of(SendBatch)
    there = select(func.coalesce(func.max(batch.c.batch_number), 0)).where(batch.c.run_id == run.id).scalar_subquery()
    languages = _languages(run)
    body = (delivery.c.batch_number - there - 1) % (len(run.variants) * len(languages))
    language = case({n: name for n, name in enumerate(languages) if name}, value=body % len(languages))
    rows = (
        select(
            literal(run.id),
            delivery.c.batch_number,
            func.count(),
            func.min(delivery.c.variant_id) if run.way in ONE_BODY else cast(null(), BigId),
            language if len(languages) > 1 else cast(null(), String),
            literal(0),
            literal("due"),
            literal(0),
            _new_key(session) if run.way == "multicast" else cast(null(), String),
            literal(run.reply_until, batch.c.not_before.type),
        )
        .where(and_(delivery.c.run_id == run.id, delivery.c.batch_number > there))
        .group_by(delivery.c.batch_number)
    )
    return insert(batch).from_select(
        [
            "run_id",
            "batch_number",
            "recipient_count",
            "variant_id",
            "language",
            "wave",
            "state",
            "attempts",
            "retry_key",
            "not_before",
        ],
        rows,
        include_defaults=False,
    )


def _new_key(session: Session) -> Any:
    """SQL for a fresh random UUID (version 4) per row: LINE's retry key is one in hex form."""
    if not is_sqlite(session):
        return cast(func.gen_random_uuid(), String)

    def digits(count: int) -> Any:
        return func.lower(func.hex(func.randomblob(count)))

    return (
        digits(4)
        .op("||")("-")
        .op("||")(digits(2))
        .op("||")("-4")
        .op("||")(func.substr(digits(2), 2))
        .op("||")("-a")
        .op("||")(func.substr(digits(2), 2))
        .op("||")("-")
        .op("||")(digits(6))
    )
