"""The parts of the editor that renew themselves while somebody writes: who that is, and how it looks on LINE."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from flask import Blueprint, g, render_template, request
from sqlalchemy import select
from sqlmodel import Session

from campaigns.audience.preview import Preview, preview
from campaigns.audience.target import Audience
from campaigns.content.counting import utf16_length
from campaigns.content.languages import version_for
from campaigns.content.message import compile_content, words_of
from campaigns.planning.recurrence import next_firing
from campaigns.sending.recipients import fields_of
from campaigns.settings import read_settings
from console.access.roles import Role, needs
from console.campaigns.draft_forms import READERS
from console.campaigns.draft_steps import content_of, place_of
from console.campaigns.draft_store import channel_of, find_draft
from console.campaigns.draft_values import NAMES
from console.campaigns.draft_what import lengths_of
from console.campaigns.draft_when import filled_when, when_of
from console.campaigns.draft_wrong import WrongStep, content_told
from console.campaigns.line_preview import chat
from console.campaigns.message_parts import messages_of
from console.frame.routes import add_routes, post
from console.frame.site import Site, site
from console.words.catalog import translate
from console.words.refusals import told
from keywords.copy.score import Score, score
from keywords.effects.current import current_learning
from keywords.effects.prediction import Situation
from keywords.text.brand import brand_tokenizer
from store.engine import reading, table_of
from store.errors import ExpectedError
from store.models import Customer, LineAccount

PREVIEWED = 10
EXAMPLE = {"name": "王小美", "display_name": "小美", "city": "臺北", "member_id": "A0001"}

customer, account = table_of(Customer), table_of(LineAccount)


@needs(Role.MARKETER)
def show_people(draft_id: int) -> Any:
    """How many the chosen targets mean, and ten of them."""
    any_of, none_of = request.form.getlist("any_of"), request.form.getlist("none_of")
    if not any_of:
        return render_template("console/campaigns/_people.html", found=None)
    try:
        found = _previewed(site, any_of, none_of, request.form.get("channel", ""))
    except WrongStep as wrong:
        return render_template("console/campaigns/_people.html", found=None, why=wrong.told(g.language))
    except ExpectedError as error:
        return render_template("console/campaigns/_people.html", found=None, why=told(error, g.language))
    return render_template("console/campaigns/_people.html", found=found)


@needs(Role.MARKETER)
def show_chat(draft_id: int) -> Any:
    """The content as one of ten recipients would see it, its words counted and scored."""
    with reading(site.engine) as session:
        values = deepcopy(find_draft(session, draft_id, "what").values)
    READERS["what"](values, request.form)
    # Whom the audience means takes up to a second: asked for once, then the form brings the ten along.
    shown = request.form.getlist("shown", type=int)[:PREVIEWED] or _first_of_audience(site, values)
    variants = content_of(values, place_of(request.form))["variants"]
    with reading(site.engine) as session:
        people = [*_people(session, shown), *_examples(variants)]
        chosen = min(max(request.form.get("as", 0, type=int), 0), max(len(people) - 1, 0))
        person = people[chosen] if people else Shown(None, "", EXAMPLE)
        contents = [_content(one, person) for one in variants]
        scores = _scores(session, site, contents, values)
    return render_template(
        "console/campaigns/_chat.html",
        chats=[
            (name, _version(variant, person), _chat(content, person), scored)
            for name, variant, content, scored in zip(NAMES, variants, contents, scores, strict=False)
        ],
        people=people,
        versions=[[_version(one, person) for one in variants] for person in people],
        has_languages=any(one.get("languages") for one in variants),
        chosen=chosen,
        lengths=lengths_of(variants),
    )


def _previewed(site: Site, any_of: Sequence[str], none_of: Sequence[str], channel: str) -> Preview:
    """Whom these targets mean over that channel. Raises WrongStep, UnknownTarget and RuleError."""
    with reading(site.engine) as session:
        channel_id = channel_of(session, channel)
    return preview(
        site.engine,
        Audience(tuple(any_of), tuple(none_of)),
        snapshot_folder=site.snapshot_folder,
        channel_id=channel_id,
        zone=site.zone,
        clock=site.clock,
    )


@dataclass(frozen=True)
class Shown:
    """One of the ten in whose name the content is shown, with the fields that it may name and the languages that they
    read, the most trusted first. `customer_id` None: an example of a language's readers, not one of the ten."""

    customer_id: int | None
    name: str
    fields: dict[str, Any]
    languages: tuple[str | None, ...] = ()


def _first_of_audience(site: Site, values: Mapping[str, Any]) -> list[int]:
    """The ids of ten who would be sent the draft now, or of others whom it is for where nobody would; nobody while no
    target is chosen, or one is gone."""
    if not values["any_of"]:
        return []
    try:
        found = _previewed(site, values["any_of"], values["none_of"], values.get("channel", ""))
    except (ExpectedError, WrongStep):  # the step "who" says so, with its reason
        return []
    recipients = [one for one in found.first if one.reason is None]
    return [one.customer_id for one in recipients or found.first]


def _people(session: Session, customer_ids: Sequence[int]) -> list[Shown]:
    """Those customers, by id, with their name on LINE where they have one."""
    columns = (
        customer.c.id,
        customer.c.name,
        account.c.display_name,
        customer.c.gender,
        customer.c.city,
        customer.c.language,
        customer.c.member_id,
        customer.c.attributes,
        account.c.profile_language,
    )
    rows = session.execute(
        select(*columns)
        .outerjoin(account, account.c.customer_id == customer.c.id)
        .where(customer.c.id.in_(customer_ids))
        .order_by(customer.c.id, account.c.id)
    ).all()
    first = {row.id: row for row in reversed(rows)}  # of several accounts the oldest
    return [
        Shown(
            row.id,
            row.name or row.display_name or row.member_id or "–",
            fields_of(row),
            (row.language, row.profile_language),
        )
        for row in sorted(first.values(), key=lambda row: row.id)
    ]


def _examples(variants: list[dict[str, Any]]) -> list[Shown]:
    """A reader of each language that a version is written in: perhaps none of the ten is one."""
    languages = dict.fromkeys(one["language"] for variant in variants for one in variant.get("languages", []))
    words = "讀 {reads} 的人（範例）"
    return [
        Shown(None, translate(words, g.language, reads=one), {**EXAMPLE, "language": one}, (one,))
        for one in languages
        if one
    ]


def _version(variant: Mapping[str, Any], person: Shown) -> str | None:
    """The language of the variant's version that the person gets; None: the plain one."""
    return version_for([one["language"] for one in variant.get("languages", []) if one["language"]], *person.languages)


def _content(variant: Mapping[str, Any], person: Shown) -> Mapping[str, Any]:
    """What the person gets of a variant: their language's version, or the plain one."""
    language = _version(variant, person)
    return next((one for one in variant.get("languages", []) if one["language"] == language), variant)


def _chat(content: Mapping[str, Any], person: Shown) -> dict[str, Any]:
    """What to show of a content in the person's name: its messages drawn, or why they can't be sent."""
    try:
        filled = orjson.loads(compile_content(messages_of(content))(person.fields, lambda url: url))
    except ExpectedError as error:
        return {"why": content_told(error, g.language), "drawn": None, "units": None}
    texts = [message["text"] for message in filled if message.get("type") in ("text", "textV2")]
    return {"why": None, "drawn": chat(filled), "units": [utf16_length(text) for text in texts]}


def _scores(
    session: Session, site: Site, contents: Sequence[Mapping[str, Any]], values: Mapping[str, Any]
) -> list[Score | None]:
    """What each content's words may expect at the draft's planned time; None without words, and for all before
    anything was learned."""
    learning = current_learning(session)
    if learning is None:
        return [None] * len(contents)
    situation = Situation.at(_planned(session, site, values), site.zone, theme=values["theme"] or None)
    tokenizer = brand_tokenizer(session)
    texts = [_words(content) for content in contents]
    return [score(text, learning, tokenizer, situation) if text.strip() else None for text in texts]


def _words(content: Mapping[str, Any]) -> str:
    try:
        return words_of(messages_of(content))
    except ExpectedError:  # the chat beside tells it
        return ""


def _planned(session: Session, site: Site, values: Mapping[str, Any]) -> datetime | None:
    """When the draft first goes, as far as it says: on an event at any time, and in an hour while no time is set."""
    now = site.clock()
    kind = filled_when(values["when"])["kind"]
    if kind == "trigger":
        return None
    try:
        at, recurs = when_of(values, zone=site.zone, now=now)
        workdays = read_settings(session).calendar()
        return next_firing(recurs, workdays=workdays, zone=site.zone, after=now) if recurs else at
    except (ExpectedError, WrongStep):  # the step "when" says so, with its reason
        return now + timedelta(hours=1)


ROUTES = (
    post("/campaigns/drafts/<int:draft_id>/people", show_people),
    post("/campaigns/drafts/<int:draft_id>/preview", show_chat),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """POST /console/campaigns/drafts/<id>/people and …/preview."""
    add_routes(blueprint, ROUTES)
