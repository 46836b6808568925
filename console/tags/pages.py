"""標籤: every tag with what puts it on, how many have it, and when it was computed; and one tag with its sentence, its
people and why they have it, its sizes over time, and how often a predictive one was right."""

from typing import Any

from flask import Blueprint, g, render_template, request
from sqlalchemy import Row, select
from sqlmodel import Session

from campaigns.planning.tag_users import users_of_tag
from console.frame.charts import Chart, lines
from console.frame.paging import after_id
from console.frame.routes import add_routes, get
from console.frame.site import Site, site
from console.frame.spark import spark
from console.segments.sizes import Sizes, read_sizes
from console.tags.tag_words import Wording
from console.words.catalog import translate
from segmentation.predict.checks import TagQuality
from segmentation.tags.catalogue import BY_BRAND
from segmentation.tags.history import size_now
from segmentation.tags.sizes import TAG_MODEL
from store.engine import reading, table_of
from store.errors import NotFound
from store.models import Customer, CustomerTag, Tag, TagCheck

PAGE_ROWS = 50
PEOPLE_SHOWN = 20
CHECKS_SHOWN = 12
NAMES_OFFERED = 20

tag, held, customer, check = table_of(Tag), table_of(CustomerTag), table_of(Customer), table_of(TagCheck)


def list_tags() -> str:
    after = after_id()
    with reading(site.engine) as session:
        found = select(Tag).where(tag.c.id > after).order_by(tag.c.id).limit(PAGE_ROWS + 1)
        tags = list(session.scalars(found))
        sizes = read_sizes(session, TAG_MODEL, names=[one.name for one in tags[:PAGE_ROWS]])
        return render_template(
            "console/tags/list.html",
            rows=[(one, *_sizes(one.name, sizes)) for one in tags[:PAGE_ROWS]],
            counted_on=sizes.days[-1] if sizes.days else None,
            after=after,
            more=tags[PAGE_ROWS - 1].id if len(tags) > PAGE_ROWS else None,
        )


def show_tag(tag_id: int) -> str:
    after = after_id()
    with reading(site.engine) as session:
        one = session.get(Tag, tag_id) if tag_id < 2**63 else None
        if one is None:
            raise NotFound(f"there is no tag {tag_id}")
        sizes = read_sizes(session, TAG_MODEL, names=[one.name])
        wording = Wording(session, g.language)
        people = _people(session, tag_id, after)
        checks = _checks(session, tag_id)
        return render_template(
            "console/tags/one.html",
            tag=one,
            sentence=wording.sentence(one),
            people=[
                (row, wording.why(one, row.source, row.evidence), wording.end(one, row.source, row.falls_off_on))
                for row in people[:PEOPLE_SHOWN]
            ],
            after=after,
            more=people[PEOPLE_SHOWN - 1].customer_id if len(people) > PEOPLE_SHOWN else None,
            people_now=_people_now(session, one, sizes),
            users=users_of_tag(session, one.name),
            counts=_counts(one.name, sizes),
            checks=checks,
            right=_right(checks),
            may_edit=one.source in BY_BRAND,
        )


def name_tags() -> str:
    """Options of a field for a tag of people, for what is typed in it: those that begin with it before those that hold
    it, whatever the case. A brand may have thousands, too many for every customer's page."""
    typed = request.args.get("tag", "").strip()
    begins, holds = (test(typed, autoescape=True) for test in (tag.c.name.istartswith, tag.c.name.icontains))
    found = select(tag.c.name).where(tag.c.source == "hand", tag.c.is_active, holds)
    with reading(site.engine) as session:
        names = session.scalars(found.order_by(begins.desc(), tag.c.name).limit(NAMES_OFFERED)).all()
    return render_template("console/tags/_names.html", names=names)


def _sizes(name: str, sizes: Sizes) -> tuple[int | None, int | None, Any]:
    """(people on the newest day, change over a week, the line over time); None for what was not counted."""
    now, before = sizes.newest.get(name), sizes.a_week_before()
    if now is None:
        return None, None, spark([], [])
    change = now.customers - before[name].customers if before and name in before else None
    return now.customers, change, spark(sizes.days, sizes.over_time(name))


def _people_now(session: Session, one: Tag, sizes: Sizes) -> int | None:
    """Counted, through the index, where people put it on at any time; else as it was computed last."""
    if one.source == "hand":
        return size_now(session, one.name)
    return sizes.newest[one.name].customers if one.name in sizes.newest else None


def _counts(name: str, sizes: Sizes) -> Chart:
    """People on the days on which the tag was counted."""
    days = [day for day in sizes.days if name in sizes.on[day]]
    step, people = (translate(words, g.language) for words in ("資料截至", "人數"))
    counted = [sizes.on[day][name].customers for day in days]
    return lines([str(day) for day in days], {people: counted}, step=step, value=people)


def _people(session: Session, tag_id: int, after: int) -> list[Row[Any]]:
    """One row more than is shown of those who have the tag, by customer id after `after`: in the order of the index."""
    found = (
        select(held, customer.c.member_id, customer.c.name)
        .join(customer, customer.c.id == held.c.customer_id)
        .where(held.c.tag_id == tag_id, held.c.until.is_(None), held.c.customer_id > after)
        .order_by(held.c.customer_id)
    )
    return list(session.execute(found.limit(PEOPLE_SHOWN + 1)))


def _checks(session: Session, tag_id: int) -> list[TagQuality]:
    newest = select(TagCheck).where(check.c.tag_id == tag_id).order_by(check.c.as_of.desc()).limit(CHECKS_SHOWN)
    return [TagQuality(one) for one in session.scalars(newest)]


def _right(checks: list[TagQuality]) -> Chart:
    """Precision and recall over the checks, the oldest first."""
    steps = [str(one.check.until) for one in reversed(checks)]
    parts = {
        translate("精確率", g.language): [one.precision for one in reversed(checks)],
        translate("召回率", g.language): [one.recall for one in reversed(checks)],
    }
    step, value = (translate(words, g.language) for words in ("期間結束", "比例"))
    return lines(steps, parts, step=step, value=value, format="percent")


ROUTES = (
    get("/tags", list_tags),
    get("/tags/names", name_tags),
    get("/tags/<int:tag_id>", show_tag),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET /console/tags, /console/tags/names and /console/tags/<id>."""
    add_routes(blueprint, ROUTES)
