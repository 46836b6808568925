"""Customers from a file.

Columns: `customer_id` (kept as the member id, exactly as written); optional `line_user_id`, `name`, `gender`,
`birthday`, `city`, `language`, `tags` ("a;b": put on, never taken off), `refuses_marketing` (yes or no: a yes is
obeyed at once, a no takes no refusal back, since the file may be older), `agrees_marketing` (yes or no: a yes is
recorded consent, of whoever doesn't refuse; a no takes it back). Every other column becomes an attribute.
An empty cell leaves what is stored. A row that repeats another exactly counts once; rows of one customer that
disagree are refused together.

`line_user_id` binds a LINE account of one channel: it is made if need be (whether it follows is then unknown), and
a customer whom the webhook made for it becomes this member. It is refused when it is another member's, or when the
member already has a different account on the channel.
"""

import json
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
from sqlalchemy import Connection, Engine, Row, bindparam, insert, select, update

from store.changes import note_changes
from store.clock import Clock, today
from store.engine import table_of, transaction
from store.errors import BadInput
from store.imports.checks import checked_file, fill_refusals, refuse_repeats
from store.imports.files import Layout, Progress, add_refused, half_of
from store.imports.merging import merge_customers
from store.imports.report import ImportReport
from store.imports.staging import CHUNK, insert_rows
from store.models import AuditEntry, ConsentChange, Customer, CustomerTag, Enrolment, LineAccount, Tag
from store.searchable import make_searchable

PLAIN = ("name", "gender", "city", "language")
YES_OR_NO = ("refuses_marketing", "agrees_marketing")
OPTIONAL = ("line_user_id", "birthday", "tags", *YES_OR_NO, *PLAIN)
LAYOUT = Layout(required=("customer_id",), optional=OPTIONAL, keeps_others=True)
OTHER_ACCOUNT = "this customer already has another LINE account on the channel"
UNSEEN_TAG = "a tag holds a full-width space or a sign that can't be seen"
MAX_ATTRIBUTES = 20_000  # characters of one customer's attributes
NAMES_AT_ONCE = 1_000  # parameters of one statement: databases have a limit
ERROR_IN_EXTRA = r"""regexp_matches(extra, '": ?"#(N/A|REF!|VALUE!|NAME\?|DIV/0!|NULL!|NUM!)"')"""

customer, account = table_of(Customer), table_of(LineAccount)
tag, customer_tag = table_of(Tag), table_of(CustomerTag)
consent_change, enrolment = table_of(ConsentChange), table_of(Enrolment)


@dataclass
class Given:
    """One good row, and what the database knows of it."""

    row: int
    member_id: str
    line_user_id: str | None
    values: dict[str, Any]
    tags: list[str]
    extra: dict[str, Any]
    refuses: bool
    agrees: bool | None  # None: the file doesn't say
    customer_id: int | None = None
    holder_id: int | None = None  # a customer without member id who has the account
    has_account: bool = False
    stored: dict[str, Any] = field(default_factory=dict)


def import_customers(
    engine: Engine,
    path: Path,
    *,
    channel_id: int | None,
    zone: ZoneInfo,
    clock: Clock,
    progress: Progress | None = None,
    refused_path: Path | None = None,
    actor: str = "command line",
) -> ImportReport:
    """Add and update the customers of `path` (see the module), and write an audit entry.

    `channel_id` is the channel of `line_user_id`. `progress` gets (work done, work in all). All refused rows go to
    `refused_path` as CSV. Raises BadInput, with nothing written, when the file can't be used at all.
    """
    with checked_file(path, LAYOUT, zone, half_of(progress, 0)) as (duck, columns, report):
        if "line_user_id" in columns and channel_id is None:
            raise BadInput(f"{path.name} has a column 'line_user_id': say which channel it belongs to")
        _check(duck, today(clock, zone))
        _write(engine, duck, channel_id, clock, actor, report, half_of(progress, 1))
        fill_refusals(duck, report, refused_path)
    with transaction(engine) as session:
        session.add(AuditEntry(at=clock(), actor=actor, action="import customers", detail=report.counts()))
    return report


def _check(duck: duckdb.DuckDBPyConnection, last_birthday: date) -> None:
    """Table `ready`: one row per good customer, in the order of the file."""
    lengths = ", ".join(f"words_problem({name}, '{name}')" for name in PLAIN)
    unclear = " ".join(
        f"WHEN raw.{name} IS NOT NULL AND yes_or_no(raw.{name}) IS NULL THEN '{name} is neither yes nor no'"
        for name in YES_OR_NO
    )
    duck.execute(f"""
        CREATE TABLE checked AS
        SELECT row, customer_id AS member_id, line_user_id, {", ".join(PLAIN)}, day(birthday) AS birthday,
               words(tags) AS tags, extra, yes_or_no(refuses_marketing) AS refuses,
               yes_or_no(agrees_marketing) AS agrees,
               coalesce(
                   id_problem(customer_id, 'customer_id'),
                   CASE WHEN line_user_id IS NOT NULL THEN id_problem(line_user_id, 'line_user_id') END,
                   {lengths},
                   CASE WHEN raw.birthday IS NOT NULL AND (day(raw.birthday) IS NULL
                             OR day(raw.birthday) NOT BETWEEN '1900-01-01' AND '{last_birthday}')
                        THEN 'birthday is not a day such as 1990-01-31, from 1900 up to today'
                        WHEN list_max(list_transform(words(raw.tags), lambda w: length(w))) > 100
                        THEN 'a tag is longer than 100 characters'
                        WHEN len(list_filter(words(raw.tags), lambda w: is_sheet_error(w))) > 0
                        THEN 'a tag is an error of Excel, such as #N/A'
                        {unclear}
                        WHEN yes_or_no(raw.refuses_marketing) AND yes_or_no(raw.agrees_marketing)
                        THEN 'nobody both refuses marketing and agrees to it'
                        WHEN length(extra) > {MAX_ATTRIBUTES} THEN 'the other columns are too long together'
                        WHEN {ERROR_IN_EXTRA} THEN 'another column holds an error of Excel, such as #N/A' END
               ) AS problem
        FROM raw""")  # noqa: S608
    duck.execute("""
        UPDATE checked SET problem = 'several customers of this file have this line_user_id'
        WHERE problem IS NULL AND line_user_id IN (
            SELECT line_user_id FROM checked WHERE problem IS NULL GROUP BY line_user_id
            HAVING count(DISTINCT member_id) > 1)""")
    refuse_repeats(duck, key="member_id", called="customer_id")


def _write(
    engine: Engine,
    duck: duckdb.DuckDBPyConnection,
    channel_id: int | None,
    clock: Clock,
    actor: str,
    report: ImportReport,
    progress: Progress | None,
) -> None:
    """One short transaction per chunk."""
    names = ("row", "member_id", "line_user_id", "tags", "extra", "refuses", "agrees", "birthday", *PLAIN)
    cursor = duck.cursor()  # rows are refused over the other one meanwhile
    cursor.execute(f"SELECT count(*) OVER (), {', '.join(names)} FROM ready ORDER BY row")  # noqa: S608
    done = 0
    while rows := cursor.fetchmany(CHUNK):
        given = [_given(*row[1:]) for row in rows]
        with engine.begin() as connection:
            refused = _write_chunk(connection, given, channel_id, clock(), actor, report)
        add_refused(duck, refused)
        done += len(rows)
        if progress:
            progress(done, rows[0][0])


def _given(
    row: int,
    member_id: str,
    line_user_id: str | None,
    tags: list[str] | None,
    extra: str | None,
    refuses: bool | None,
    agrees: bool | None,
    *values: Any,
) -> Given:
    named = zip(("birthday", *PLAIN), values, strict=True)
    filled = {name: value for name, value in named if value is not None}
    attributes = json.loads(extra) if extra else {}
    return Given(row, member_id, line_user_id, filled, tags or [], attributes, bool(refuses), agrees)


def _write_chunk(
    connection: Connection, given: list[Given], channel_id: int | None, now: datetime, actor: str, report: ImportReport
) -> list[tuple[int, str]]:
    """Write one chunk, count it in `report`, and return the (row number, reason) of those refused."""
    refused = _look_up(connection, given, channel_id)
    refused |= _unseen_tags(connection, given) | _computed_tags(connection, given)
    good = [one for one in given if one.row not in refused]
    doubles = {g.holder_id: g for g in good if g.holder_id and g.customer_id and g.holder_id != g.customer_id}
    merge_customers(connection, {holder_id: one.customer_id for holder_id, one in doubles.items() if one.customer_id})
    _refresh(connection, list(doubles.values()))
    changed = {one.member_id for one in good if one.holder_id}
    new = [one for one in good if one.customer_id is None]
    _insert(connection, new, now)
    changed |= _update(connection, [one for one in good if one.stored])
    changed |= _bind_accounts(connection, good, channel_id)
    changed |= _put_tags(connection, good, now, actor, report)
    changed |= _obey_refusals(connection, good, now, actor)
    changed |= _record_agreements(connection, good, now, actor)
    renewed = changed | {one.member_id for one in new}
    theirs = [g.customer_id for g in good if g.customer_id and g.member_id in renewed]
    make_searchable(connection, theirs)
    note_changes(connection, theirs, now)
    changed -= {one.member_id for one in new}
    report.added += len(new)
    report.changed += len(changed)
    report.unchanged += len(good) - len(new) - len(changed)
    return list(refused.items())


# --- who is who ------------------------------------------------------------------------------------------------


def _look_up(connection: Connection, given: list[Given], channel_id: int | None) -> dict[int, str]:
    """Fill what the database knows into `given`; the rows whose account can't be bound, with the reason."""
    members = connection.execute(select(customer).where(customer.c.member_id.in_([g.member_id for g in given])))
    by_member = {row["member_id"]: dict(row) for row in members.mappings()}
    for one in given:
        one.stored = by_member.get(one.member_id, {})
        one.customer_id = one.stored.get("id")
    wanted = {one.line_user_id: one for one in given if one.line_user_id}
    if not wanted:
        return {}
    refused: dict[int, str] = {}
    here = account.c.channel_id == channel_id
    ids = {one.customer_id: one for one in wanted.values() if one.customer_id}
    own = select(account.c.customer_id, account.c.line_user_id).where(here, account.c.customer_id.in_(ids))
    for customer_id, line_user_id in connection.execute(own):
        if ids[customer_id].line_user_id != line_user_id:
            refused[ids[customer_id].row] = OTHER_ACCOUNT
    holders = (
        select(account.c.line_user_id, customer)
        .join(customer, customer.c.id == account.c.customer_id)
        .where(here, account.c.line_user_id.in_(wanted))
    )
    for row in connection.execute(holders).mappings():
        one = wanted[row["line_user_id"]]
        one.has_account = True
        if row["member_id"] not in (None, one.member_id):
            refused[one.row] = "line_user_id belongs to another customer"
        elif row["id"] != one.customer_id:
            one.holder_id = row["id"]
            if one.customer_id is None:  # nobody else is this member: the webhook's customer becomes it
                one.stored = dict(row)
                one.customer_id = row["id"]
    return refused | _overlaps(connection, [one for one in given if one.holder_id and one.row not in refused])


def _unseen_tags(connection: Connection, given: list[Given]) -> dict[int, str]:
    """Rows with a new tag that looks like another, as nobody could make one otherwise."""
    names = {name for one in given for name in one.tags if not name.isprintable()}
    names -= _tags_called(connection, names).keys()
    return {one.row: UNSEEN_TAG for one in given if names.intersection(one.tags)}


def _computed_tags(connection: Connection, given: list[Given]) -> dict[int, str]:
    """Rows with a tag that a computation puts on and takes off: it would undo the import at its next turn."""
    found = _tags_called(connection, {name for one in given for name in one.tags})
    by = {name: row.source for name, row in found.items() if row.source != "hand"}
    return {
        one.row: f"the tag {name!r} is put on by a computation ({by[name]}) and can't be imported"
        for one in given
        for name in one.tags
        if name in by
    }


def _tags_called(connection: Connection, names: set[str]) -> dict[str, Row[Any]]:
    """name -> (id, name, source, is_active) of the tags of these names that there are."""
    listed, found = sorted(names), {}
    for start in range(0, len(listed), NAMES_AT_ONCE):
        some = tag.c.name.in_(listed[start : start + NAMES_AT_ONCE])
        rows = connection.execute(select(tag.c.id, tag.c.name, tag.c.source, tag.c.is_active).where(some))
        found.update({row.name: row for row in rows})
    return found


def _overlaps(connection: Connection, given: list[Given]) -> dict[int, str]:
    """Rows whose two customers can't become one because both have an account on some other channel."""
    by_pair = {one.holder_id: one for one in given if one.holder_id != one.customer_id}
    theirs, mine = account.alias("theirs"), account.alias("mine")
    pairs = (
        select(theirs.c.customer_id, mine.c.customer_id)
        .join(mine, mine.c.channel_id == theirs.c.channel_id)
        .where(theirs.c.customer_id.in_(by_pair), mine.c.customer_id.in_([g.customer_id for g in by_pair.values()]))
    )
    return {
        by_pair[holder_id].row: OTHER_ACCOUNT
        for holder_id, customer_id in connection.execute(pairs)
        if by_pair[holder_id].customer_id == customer_id
    }


def _refresh(connection: Connection, merged: list[Given]) -> None:
    rows = connection.execute(select(customer).where(customer.c.id.in_([one.customer_id for one in merged])))
    stored = {row["id"]: dict(row) for row in rows.mappings()}
    for one in merged:
        one.stored = stored[one.customer_id]


def _insert(connection: Connection, new: list[Given], now: datetime) -> None:
    if not new:
        return
    empty = dict.fromkeys(("birthday", *PLAIN))
    rows = [
        {
            "member_id": g.member_id,
            "attributes": g.extra,
            "created_at": now,
            "refusal_changed_ms": 0,
            **empty,
            **g.values,
        }
        for g in new
    ]
    connection.execute(insert(customer), rows)
    ids = select(customer.c.member_id, customer.c.id).where(customer.c.member_id.in_([g.member_id for g in new]))
    by_member = {row.member_id: row.id for row in connection.execute(ids)}
    for one in new:
        one.customer_id = by_member[one.member_id]


def _update(connection: Connection, known: list[Given]) -> set[str]:
    """Bring stored customers up to their rows; the member ids of those that changed."""
    names = ("member_id", "birthday", *PLAIN, "attributes")
    changed = []
    for one in known:
        fresh = {**one.stored, **one.values, "member_id": one.member_id}
        fresh["attributes"] = {**one.stored["attributes"], **one.extra}
        if any(fresh[name] != one.stored[name] for name in names):
            changed.append(fresh)
    if changed:
        statement = update(customer).where(customer.c.id == bindparam("key"))
        connection.execute(
            statement.values({name: bindparam(f"new_{name}", type_=customer.c[name].type) for name in names}),
            [{"key": row["id"], **{f"new_{name}": row[name] for name in names}} for row in changed],
        )
    return {row["member_id"] for row in changed}


def _bind_accounts(connection: Connection, good: list[Given], channel_id: int | None) -> set[str]:
    """Make the LINE accounts that don't exist yet; the member ids of their customers."""
    missing = [one for one in good if one.line_user_id and not one.has_account]
    if missing:
        shared = {"channel_id": channel_id, "follow_changed_ms": 0, "profile_tries": 0}
        rows = [{**shared, "line_user_id": one.line_user_id, "customer_id": one.customer_id} for one in missing]
        connection.execute(insert(account), rows)
    return {one.member_id for one in missing}


def _put_tags(connection: Connection, good: list[Given], now: datetime, actor: str, report: ImportReport) -> set[str]:
    """Put on the tags that are not on, but no archived one, which `report` tells; the member ids of those who got one.
    Whoever else puts the same on meanwhile (by hand, by a tap) wins or waits."""
    names = {name for one in good for name in one.tags}
    if not names:
        return set()
    known = _tags_called(connection, names)
    if unknown := [{"name": name, "created_at": now} for name in sorted(names - known.keys())]:
        insert_rows(connection, tag, unknown)
        known = _tags_called(connection, names)
    tag_ids = {name: row.id for name, row in known.items() if row.is_active}
    report.archived_tags = sorted({*report.archived_tags, *(known.keys() - tag_ids.keys())})
    on = select(customer_tag.c.tag_id, customer_tag.c.customer_id).where(
        customer_tag.c.until.is_(None), customer_tag.c.customer_id.in_([one.customer_id for one in good if one.tags])
    )
    current = {tuple(row) for row in connection.execute(on)}
    wanted = [(one, tag_ids[name]) for one in good for name in one.tags if name in tag_ids]
    missing = [(one, tag_id) for one, tag_id in wanted if (tag_id, one.customer_id) not in current]
    if missing:
        put_on = {"since": now, "strength": 1.0, "source": "import", "evidence": {"by": actor}}
        rows = [{"tag_id": t, "customer_id": one.customer_id, **put_on} for one, t in missing]
        insert_rows(connection, customer_tag, rows)
    return {one.member_id for one, _ in missing}


def _obey_refusals(connection: Connection, good: list[Given], now: datetime, actor: str) -> set[str]:
    """Let those who refuse get no more marketing, and leave the campaigns that they are on the way through, as if they
    had said so in chat; the member ids of those who were not known to refuse."""
    asked = {one.customer_id: one.member_id for one in good if one.refuses}
    willing = select(customer.c.id).where(customer.c.id.in_(asked), customer.c.marketing_refused_at.is_(None))
    ids = sorted(connection.execute(willing).scalars()) if asked else []
    if ids:
        refused = {"marketing_refused_at": now, "marketing_agreed_at": None}
        connection.execute(update(customer).where(customer.c.id.in_(ids)).values(**refused))
        change = {"at": now, "refuses": True, "actor": actor}
        connection.execute(insert(consent_change), [{"customer_id": one, **change} for one in ids])
        on_the_way = (enrolment.c.customer_id.in_(ids), enrolment.c.state.in_(("waiting", "taken")))
        connection.execute(update(enrolment).where(*on_the_way).values(state="left", reason="refused"))
    return {asked[one] for one in ids}


def _record_agreements(connection: Connection, good: list[Given], now: datetime, actor: str) -> set[str]:
    """Record who agrees to marketing, but for those who refuse: the file may be older; and take back the agreement of
    who doesn't, which is no refusal. The member ids of those for whom that is new."""
    agrees = {one.customer_id: one.agrees for one in good if one.agrees is not None}
    if not agrees:
        return set()
    stored = select(customer.c.id, customer.c.member_id, customer.c.marketing_agreed_at)
    stored = stored.where(customer.c.id.in_(agrees), customer.c.marketing_refused_at.is_(None))
    rows = connection.execute(stored.order_by(customer.c.id)).all()
    fresh = [row for row in rows if agrees[row.id] != (row.marketing_agreed_at is not None)]
    for says, at in ((True, now), (False, None)):
        ids = [row.id for row in fresh if agrees[row.id] is says]
        if ids:
            connection.execute(update(customer).where(customer.c.id.in_(ids)).values(marketing_agreed_at=at))
        if ids and says:
            change = {"at": now, "refuses": False, "actor": actor}
            connection.execute(insert(consent_change), [{"customer_id": one, **change} for one in ids])
    return {row.member_id for row in fresh}
