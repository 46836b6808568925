"""A tag made, changed, archived and brought back by people; each is audited. Tags of groups and preferences are the
product's: they can only be archived."""

from dataclasses import replace
from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from sqlmodel import Session

from campaigns.planning.renaming import rename_tag
from console.access.roles import Role, needs
from console.frame.routes import add_routes, get, post
from console.frame.seen import FIELD, RENAMED, WAS, ChangedSince, check_seen, mark
from console.frame.site import Site, site
from console.rules.choices import rule_choices
from console.rules.form import place_of
from console.tags.form import (
    FORETELLS,
    KINDS,
    LINES,
    WRITTEN,
    TagForm,
    definition_of,
    form_of_tag,
    read_tag_form,
)
from console.words.catalog import translate
from console.words.refusals import told
from segmentation.rules.reading import RuleError
from segmentation.tags.catalogue import BY_BRAND, change_tag, create_tag, set_active
from segmentation.tags.definitions import COMPUTED
from segmentation.tags.measures import MEASURES
from store.asked import SEGMENTS, ask_for
from store.engine import reading, transaction
from store.errors import BadInput, ExpectedError, NotFound
from store.locks import DEFINITIONS, lock_until_end
from store.models import AuditEntry, Tag

NO_TAG: dict[str, Any] = {}


def shown(given: TagForm, tag_id: int | None, status: int = 200, **more: Any) -> Any:
    with reading(site.engine) as session:
        choices = rule_choices(session, g.language)
    return render_template(
        "console/tags/edit.html",
        form=given,
        tag_id=tag_id,
        sources=BY_BRAND,
        kinds=KINDS,
        lines=LINES,
        foretells=FORETELLS,
        written=WRITTEN,
        measures={one: measure.chinese for one, measure in MEASURES.items()},
        choices=choices,
        **{"seen": request.form.get(FIELD, ""), "was": request.form.get(WAS, given.name), **more},
    ), status


def refused(given: TagForm, tag_id: int | None, error: ExpectedError, **more: Any) -> Any:
    wrong = place_of(given.rows, error.path) if isinstance(error, RuleError) else ""
    why = translate("無法執行：{why}", g.language, why=told(error, g.language))
    return shown(given, tag_id, 422, why=why, wrong=wrong, **more)


def as_stored(one: Tag) -> list[Any]:
    """All of a tag that its form changes, as JSON values."""
    return [one.name, one.kind, dict(one.definition)]


def note(session: Session, action: str, one: Tag) -> None:
    session.add(AuditEntry(at=site.clock(), actor=g.user.email, action=action, detail={"tag_id": one.id}))


@needs(Role.MARKETER)
def new_tag() -> Any:
    source = request.args.get("source", BY_BRAND[0])
    return shown(TagForm(source if source in BY_BRAND else BY_BRAND[0]), None)


@needs(Role.MARKETER)
def make_tag() -> Any:
    source = request.form.get("source", "")
    if source not in BY_BRAND:
        raise BadInput(f"{source!r} is not a source of tags that people make")
    given = read_tag_form(request.form, source, request.form.get("name", "").strip())
    if request.form.get("press", "save") != "save":
        return shown(given, None)
    try:
        definition = definition_of(given, NO_TAG)
        with transaction(site.engine) as session:
            made = create_tag(
                session, given.name, source=source, definition=definition, kind=_kind(given), now=site.clock()
            )
            note(session, "create tag", made)
            _ask(session, source)
            tag_id = made.id
    except ExpectedError as error:
        return refused(given, None, error)
    flash(translate(_MADE[source], g.language, name=given.name))
    return redirect(url_for("console.show_tag", tag_id=tag_id), 303)


@needs(Role.MARKETER)
def edit_tag(tag_id: int) -> Any:
    with reading(site.engine) as session:
        one = _editable(session, tag_id)
        given, seen = form_of_tag(one.name, one.source, one.kind, one.definition), mark(as_stored(one))
    return shown(given, tag_id, seen=seen, was=given.name)


@needs(Role.MARKETER)
def save_tag(tag_id: int) -> Any:
    with reading(site.engine) as session:
        one = _editable(session, tag_id)
        name, source = one.name, one.source
    given = read_tag_form(request.form, source, request.form.get("name", name).strip())
    was = request.form.get(WAS, name)  # what it was called when the form was opened
    if request.form.get("press", "save") != "save":
        return shown(given, tag_id)
    try:
        with transaction(site.engine) as session:
            lock_until_end(session.connection(), DEFINITIONS)  # before it is looked at
            before = as_stored(one := _editable(session, tag_id))
            made = definition_of(given, one.definition)
            one = change_tag(session, one.name, made, now=site.clock(), kind=_kind(given))
            note(session, "change tag", one)
            _ask(session, source)
            keeps_name = given.name == was  # who left the name alone says nothing of it: a colleague may have
            if not keeps_name and given.name != one.name:
                rename_tag(session, one, given.name)
                note(session, "rename tag", one)
            after, called = as_stored(one), one.name
            opened_on, asked_for = ([was, *held[1:]] if keeps_name else held for held in (before, after))
            check_seen(request.form.get(FIELD, ""), opened_on, asked_for)
    except NotFound:
        raise
    except ChangedSince as error:
        newer = replace(given, name=before[0] if keeps_name else given.name)
        return refused(newer, tag_id, error, seen=mark(before), was=before[0])
    except ExpectedError as error:
        return refused(given, tag_id, error)
    if keeps_name and called != was:
        flash(translate(RENAMED, g.language, was=was, name=called))
    flash(translate(_SAVED[source], g.language, name=called))
    return redirect(url_for("console.show_tag", tag_id=tag_id), 303)


@needs(Role.MARKETER)
def switch_tag(tag_id: int) -> Any:
    is_active = request.form.get("press") == "on"
    with transaction(site.engine) as session:
        one = set_active(session, _found(session, tag_id).name, is_active=is_active)
        note(session, "bring tag back" if is_active else "archive tag", one)
        if is_active:
            _ask(session, one.source)
    said = "標籤已重新啟用。" if is_active else "標籤已封存：它留在原來的人身上，不再貼上或取下。"
    flash(translate(said, g.language))
    return redirect(url_for("console.show_tag", tag_id=tag_id), 303)


_MADE = {
    "hand": "標籤「{name}」已建立。可以在顧客頁貼上。",
    "rule": "標籤「{name}」已建立，背景程式會接著計算，算好就貼上。",
    "measure": "標籤「{name}」已建立，背景程式會接著計算，算好就貼上。",
}
_SAVED = {
    "hand": "標籤「{name}」已儲存。",
    "rule": "標籤「{name}」已儲存，背景程式會接著照新的條件計算。",
    "measure": "標籤「{name}」已儲存，背景程式會接著照新的條件計算。",
}


def _ask(session: Session, source: str) -> None:
    """Have everybody's tags judged anew, where a computation puts the tag on."""
    if source in COMPUTED:
        ask_for(session, SEGMENTS, actor=g.user.email, now=site.clock(), anew=True)


def _kind(given: TagForm) -> Any:
    """What a tag by hand states is said by people; of others it follows from the definition."""
    kind = given.fields.get("kind")
    return kind if given.source == "hand" and kind in KINDS else None


def _found(session: Session, tag_id: int) -> Tag:
    one = session.get(Tag, tag_id) if tag_id < 2**63 else None
    if one is None:
        raise NotFound(f"there is no tag {tag_id}")
    return one


def _editable(session: Session, tag_id: int) -> Tag:
    one = _found(session, tag_id)
    if one.source not in BY_BRAND:
        raise BadInput(f"the tag {one.name!r} is made by the product ({one.source}); it can only be archived")
    return one


ROUTES = (
    get("/tags/new", new_tag),
    post("/tags/new", make_tag),
    get("/tags/<int:tag_id>/edit", edit_tag),
    post("/tags/<int:tag_id>/edit", save_tag),
    post("/tags/<int:tag_id>/active", switch_tag),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """/console/tags/new, /console/tags/<id>/edit, and POST /console/tags/<id>/active."""
    add_routes(blueprint, ROUTES)
