"""Behaviour events of the brand's site or till from a file.

Columns: `event_id`, `customer_id`, `kind` (product_view, page_view, add_to_cart, coupon_redeemed, search, …),
`occurred_at`; optional `sku`, `topic` and `text` (words that were searched for). Every other column, and the text, is
kept in the event's payload. An event is a fact: one that is stored stays as it is, whatever a later file says. A row
that repeats another exactly counts once; rows of one event that disagree are refused together. A customer not seen
before is made, with `customer_id` as the member id.
"""

from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
from sqlalchemy import JSON, Connection, Engine, cast, delete, exists, select

from store.changes import note_changes
from store.clock import Clock
from store.engine import table_of, transaction
from store.imports.checks import checked_file, fill_refusals, refuse_repeats
from store.imports.files import Layout, Progress, half_of
from store.imports.report import ImportReport
from store.imports.staging import CHUNK, TEXT, TIME, insert_new, stage, staged_table, staging_connection
from store.models import AuditEntry, BehaviourEvent, Customer
from store.searchable import make_searchable

LAYOUT = Layout(
    required=("event_id", "customer_id", "kind", "occurred_at"), optional=("sku", "topic", "text"), keeps_others=True
)
SOURCE = "brand"
KEY_PREFIX = "brand:"  # of BehaviourEvent.event_key: no id of the brand's can be one of LINE's
KIND_PATTERN = "[a-z_]{1,40}"
# LINE's event types that the pattern would take, and our own: whoever counts them counts what came from there.
# Source: Messaging API reference, "Webhook event objects".
RESERVED_KINDS = (
    *("message", "unsend", "follow", "unfollow", "join", "leave", "postback", "beacon", "things", "module"),
    *("activated", "deactivated", "membership", "delivery", "click"),
)
MAX_PAYLOAD = 20_000  # characters of one event's text and further columns

NO_KIND = "kind is empty"
ODD_KIND = "kind is not a name such as product_view: small letters and _, at most 40"
TAKEN_KIND = "kind is one that only LINE's own events and tapped links have"
NO_TIME = "occurred_at is empty"
ODD_TIME = "occurred_at is not a time such as 2026-01-31 18:30"
FAR_TIME = "occurred_at is outside 1900-2199"
LONG_PAYLOAD = "text and the other columns are too long together"

customer, event = table_of(Customer), table_of(BehaviourEvent)
staged = staged_table(
    "staged_event", event_key=TEXT, member_id=TEXT, kind=TEXT, occurred_at=TIME, sku=TEXT, topic=TEXT, payload=TEXT
)


def import_events(
    engine: Engine,
    path: Path,
    *,
    zone: ZoneInfo,
    clock: Clock,
    progress: Progress | None = None,
    refused_path: Path | None = None,
    actor: str = "command line",
) -> ImportReport:
    """Add the events of `path` (see the module), and write an audit entry.

    `zone` is the time zone of times that name none. `progress` gets (work done, work in all). All refused rows go
    to `refused_path` as CSV. Raises BadInput, with nothing written, when the file can't be used at all.
    """
    with checked_file(path, LAYOUT, zone, half_of(progress, 0)) as (duck, _columns, report):
        _check(duck)
        fill_refusals(duck, report, refused_path)
        _write(engine, duck, clock, report, half_of(progress, 1))
    with transaction(engine) as session:
        session.add(AuditEntry(at=clock(), actor=actor, action="import events", detail=report.counts()))
    return report


def _check(duck: duckdb.DuckDBPyConnection) -> None:
    """Table `ready`: one row per good event, in the order of the file."""
    duck.execute(
        f"""
        CREATE TABLE checked AS
        SELECT row, event_id, customer_id AS member_id, kind, utc_time(occurred_at, getvariable('zone')) AS moment,
               sku, topic,
               CASE WHEN text IS NULL THEN coalesce(extra, '{{}}')
                    ELSE json_merge_patch(coalesce(extra, '{{}}'), json_object('text', text))::VARCHAR END AS payload,
               coalesce(
                   id_problem(event_id, 'event_id'), id_problem(customer_id, 'customer_id'),
                   CASE WHEN kind IS NULL THEN $no_kind
                        WHEN NOT regexp_full_match(kind, '{KIND_PATTERN}') THEN $odd_kind
                        WHEN kind IN $reserved THEN $taken_kind
                        WHEN occurred_at IS NULL THEN $no_time
                        WHEN moment IS NULL THEN $odd_time
                        WHEN moment NOT BETWEEN '1900-01-01' AND '2199-12-31' THEN $far_time
                        WHEN sku IS NOT NULL THEN id_problem(sku, 'sku') END,
                   words_problem(topic, 'topic'),
                   CASE WHEN length(payload) > {MAX_PAYLOAD} THEN $long_payload END
               ) AS problem
        FROM raw""",  # noqa: S608
        {
            "reserved": list(RESERVED_KINDS),
            "no_kind": NO_KIND,
            "odd_kind": ODD_KIND,
            "taken_kind": TAKEN_KIND,
            "no_time": NO_TIME,
            "odd_time": ODD_TIME,
            "far_time": FAR_TIME,
            "long_payload": LONG_PAYLOAD,
        },
    )
    refuse_repeats(duck, key="event_id", called="event_id")


def _write(
    engine: Engine, duck: duckdb.DuckDBPyConnection, clock: Clock, report: ImportReport, progress: Progress | None
) -> None:
    """One short transaction per chunk."""
    duck.execute(f"""
        CREATE TABLE chunked AS
        SELECT '{KEY_PREFIX}' || event_id AS event_key, member_id, kind,
               strftime(moment, '%Y-%m-%d %H:%M:%S.%f') AS occurred_at, sku, topic, payload,
               (row_number() OVER (ORDER BY row) - 1) // {CHUNK} AS chunk
        FROM ready ORDER BY chunk""")  # noqa: S608
    [(total, chunks)] = duck.execute("SELECT count(*), coalesce(max(chunk) + 1, 0) FROM chunked").fetchall()
    with staging_connection(engine, staged) as connection:
        for chunk in range(chunks):
            rows: pa.Table = duck.sql(f"SELECT * EXCLUDE chunk FROM chunked WHERE chunk = {chunk}").to_arrow_table()  # noqa: S608
            with connection.begin():
                stage(connection, staged, rows)
                added = _write_chunk(connection, clock)
            report.added += added
            report.unchanged += rows.num_rows - added
            if progress:
                progress(min(total, (chunk + 1) * CHUNK), total)


def _write_chunk(connection: Connection, clock: Clock) -> int:
    """How many of the staged events were new and are stored now; their customers are noted."""
    connection.execute(delete(staged).where(exists().where(event.c.event_key == staged.c.event_key)))
    members = select(staged.c.member_id).distinct().subquery()
    unknown = select(members.c.member_id).where(~exists().where(customer.c.member_id == members.c.member_id))
    if insert_new(connection, customer, unknown, attributes={}, created_at=clock(), refusal_changed_ms=0):
        make_searchable(connection, select(customer.c.id).join(members, customer.c.member_id == members.c.member_id))
    is_sqlite = connection.dialect.name == "sqlite"
    payload = staged.c.payload if is_sqlite else cast(staged.c.payload, JSON)  # SQLite's JSON is text
    people = customer.c.member_id == staged.c.member_id
    fresh = (
        select(
            staged.c.event_key,
            staged.c.kind,
            customer.c.id.label("customer_id"),
            staged.c.sku,
            staged.c.topic,
            staged.c.occurred_at,
            payload.label("payload"),
        )
        .join(customer, people)
        .where(staged.c.event_key.is_not(None))
        .order_by(staged.c.occurred_at)
    )
    added = insert_new(connection, event, fresh, source=SOURCE, received_at=clock())
    note_changes(connection, select(customer.c.id).join(staged, people), clock())
    return added
