"""規則: saved rules in words; one being written, as rows or as JSON, told in words, counted, and asked of a person."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlmodel import Session

from campaigns.audience.preview import preview
from campaigns.audience.target import Audience
from campaigns.planning.renaming import rename_rule
from campaigns.planning.rule_users import forget_rule
from console.access.roles import Role, needs
from console.frame.routes import add_routes, get, post
from console.frame.seen import CHANGED_SINCE, FIELD, RENAMED, WAS, ChangedSince, check_seen, mark
from console.frame.site import Site, site
from console.rules.choices import rule_choices
from console.rules.cities import other_cities
from console.rules.form import Row, as_rows, filled, new_row, place_of, read_form, rule_of
from console.tags.rule_words import known, rule_words
from console.words.catalog import translate
from console.words.refusals import told
from segmentation.engine import open_duckdb
from segmentation.facts import SCHEMAS
from segmentation.reading import read_facts
from segmentation.rules.explain import Explained, why
from segmentation.rules.naming import campaign_names
from segmentation.rules.reading import Names, RuleError, read_rule
from segmentation.rules.references import References, expanded
from segmentation.rules.saved import (
    RuleExists,
    key_of_rule,
    list_rules,
    load_rules,
    name_of_rule,
    rule_named,
    save_rule,
)
from segmentation.rules.types import AllOf, AnyOf, NotOf, Rule, to_builtins
from segmentation.rules.wording import found_words, sentence
from store.clock import today
from store.engine import reading, table_of, transaction
from store.errors import BadInput, ExpectedError, NotFound
from store.locks import DEFINITIONS, lock_until_end
from store.models import AuditEntry, Channel, Customer, LineAccount, Tag

NEW = Row("all", rows=(new_row("segment"),))


def show_rules() -> Any:
    with reading(site.engine) as session:
        found = [(one, rule_words(session, one.rule, g.language)) for one in list_rules(session)]
    return render_template("console/rules/list.html", rows=found)


def form(name: str, group: Row, text: str | None, status: int = 200, **more: Any) -> Any:
    """The form, opened on the rule `was` (empty: none) as its mark `seen` says; both as they were sent unless given."""
    with reading(site.engine) as session:
        choices = rule_choices(session, g.language)
    page = "console/rules/edit.html"
    opened = {one: request.form.get(one, "") for one in (WAS, "id")} | {FIELD: request.form.get(FIELD) or mark(None)}
    return render_template(page, name=name, group=group, text=text, choices=choices, **{**opened, **more}), status


@needs(Role.MARKETER)
def edit_rule() -> Any:
    name = request.args.get("name", "")
    if not name:
        return form("", NEW, None)
    with reading(site.engine) as session:
        plain, rule_key = to_builtins(rule_named(session, name).rule), key_of_rule(session, name)
    found = as_rows(plain)
    text = json.dumps(plain, ensure_ascii=False, indent=2)
    opened: dict[str, Any] = {WAS: name, FIELD: mark(plain), "id": rule_key}
    if found and "json" not in request.args:
        return form(name, found, None, **opened)
    return form(name, NEW, text, **opened)


@needs(Role.MARKETER)
def save_rule_form() -> Any:
    """Renew the form as its button asks, or save the rule."""
    name, group, text = _given()
    press = request.form.get("press", "save")
    if press == "json":
        return form(name, NEW, json.dumps(rule_of(group), ensure_ascii=False, indent=2))
    if press == "rows":
        return form(name, *_back_to_rows(text))
    if press not in ("save", "copy"):
        return form(name, group, text)
    given = text if text is not None else json.dumps(rule_of(group))
    was = opened_as = request.form.get(WAS, "") if press == "save" else ""
    try:
        with transaction(site.engine) as session:
            lock_until_end(session.connection(), DEFINITIONS)  # before it is looked at
            was = _called_now(session, was)
            keeps_name = name == opened_as != ""  # says nothing of the name: a colleague may have
            if keeps_name:
                name = was
            before = _stored(session, was)
            if was not in (opened_as, name):
                raise ChangedSince(CHANGED_SINCE)
            is_renamed = was not in ("", name) and before is not None
            if is_renamed:
                rename_rule(session, was, name)
                _note(session, "rename rule", rule=was, name=name)
            before = _stored(session, name)
            saving = save_rule(session, name, given, site.clock(), actor=g.user.email)
            _check_place(name if is_renamed else was, name, before, to_builtins(saving.rule))
            _note(session, "save rule", rule=name)
    except ExpectedError as error:
        wrong = place_of(group, error.path) if isinstance(error, RuleError) else ""
        why = translate("無法執行：{why}", g.language, why=told(error, g.language))
        newer = {FIELD: mark(before), WAS: was} if isinstance(error, ChangedSince) else {}
        return form(name, group, text, 422, why=why, wrong=wrong, **newer)
    if is_renamed:
        flash(translate("規則「{was}」改名為「{name}」，用到它的地方都跟著改了。", g.language, was=was, name=name))
    elif keeps_name and was != opened_as:
        flash(translate(RENAMED, g.language, was=opened_as, name=name))
    said = "規則「{name}」已儲存，背景程式會接著照它重算標籤。" if saving.is_followed else "規則「{name}」已儲存。"
    flash(translate(said, g.language, name=name))
    return redirect(url_for("console.list_rules"), 303)


def _called_now(session: Session, was: str) -> str:
    """What the rule that the form was opened on is called by now; `was` where it is gone, or the form is of none."""
    return (name_of_rule(session, request.form.get("id", "")) or was) if was else was


def _stored(session: Session, name: str) -> dict[str, Any] | None:
    """The saved rule of that name as JSON values; None without one."""
    try:
        return to_builtins(rule_named(session, name).rule)
    except NotFound:
        return None


def _check_place(was: str, name: str, before: dict[str, Any] | None, wanted: dict[str, Any]) -> None:
    """Raises RuleExists, or ChangedSince, where saving `wanted` would write over what the form was not opened on: the
    rule `was` (empty: none), under the name that it has now, or gone since."""
    if was == name or (was and before is None):
        check_seen(request.form.get(FIELD, ""), before, wanted)
    elif before not in (None, wanted):
        raise RuleExists(f"there is a rule {name!r} already; change that one, or choose another name")


def _note(session: Session, action: str, **detail: str) -> None:
    session.add(AuditEntry(at=site.clock(), actor=g.user.email, action=action, detail=detail))


@needs(Role.MARKETER)
def delete_rule_form() -> Any:
    name = request.form.get("name", "")
    if request.form.get("sure") != "yes":
        flash(translate("沒有刪除：請先勾選確認。", g.language), "error")
        return redirect(url_for("console.list_rules"), 303)
    try:
        with transaction(site.engine) as session:
            forget_rule(session, name)
            _note(session, "delete rule", rule=name)
    except ExpectedError as error:
        flash(translate("無法執行：{why}", g.language, why=told(error, g.language)), "error")
    else:
        flash(translate("規則「{name}」已刪除。", g.language, name=name))
    return redirect(url_for("console.list_rules"), 303)


@needs(Role.MARKETER)
def say_rule() -> Any:
    """The rule in words, how many it means and ten of them, as far as its rows are filled in; and why a named person is
    in or not."""
    _, group, text = _given()
    page = "console/rules/_said.html"
    try:
        with reading(site.engine) as session:
            rule, is_whole = (_checked(session, text), True) if text is not None else _as_far(session, group)
            if rule is None:
                return render_template(page, is_whole=False)
            words, cities = rule_words(session, rule, g.language), other_cities(session, rule)
        found = preview(
            site.engine,
            Audience((f"rule:{json.dumps(to_builtins(rule))}",)),
            snapshot_folder=site.snapshot_folder,
            channel_id=_any_channel(site),
            zone=site.zone,
            clock=site.clock,
        )
        asked = request.form.get("who", "").strip()
        in_words = _why(site, rule, asked) if asked else None
    except ExpectedError as error:
        return render_template(page, why=told(error, g.language), is_whole=True)
    shown = {"words": words, "found": found, "cities": cities, "told": in_words, "asked": asked}
    return render_template(page, is_whole=is_whole, **shown)


def _given() -> tuple[str, Row, str | None]:
    """(name, rows, JSON text or None) of the form."""
    text = request.form.get("json")
    return request.form.get("name", "").strip(), NEW if text is not None else read_form(request.form), text


def _back_to_rows(text: str | None) -> tuple[Row, str | None]:
    """The rows that say what the JSON says, or the JSON again where they can't."""
    try:
        found = as_rows(to_builtins(read_rule(text or "")))
    except RuleError as error:
        flash(translate("還不能使用：{why}", g.language, why=told(error, g.language)), "error")
        return NEW, text
    if found is None:
        flash(translate("這條規則只能用 JSON 寫。", g.language), "error")
        return NEW, text
    return found, None


def _checked(session: Session, text: str) -> Rule:
    rules = load_rules(session)
    rule = read_rule(text, Names(rules=rules, tags=set(session.scalars(select(table_of(Tag).c.name)))))
    expanded(rule, References(rules))
    return rule


def _as_far(session: Session, group: Row) -> tuple[Rule | None, bool]:
    """The rule of the rows that are filled in (None: none is), and whether that is all of them. Raises RuleError for
    what was filled in wrongly."""
    try:
        return _checked(session, json.dumps(rule_of(group))), True
    except RuleError:
        rest = filled(group)
        if rest == group and group.rows:
            raise
    return (_checked(session, json.dumps(rule_of(rest))) if rest.rows else None), False


def _any_channel(site: Site) -> int:
    with reading(site.engine) as session:
        return session.scalar(select(table_of(Channel).c.id).limit(1)) or 0


def _why(site: Site, rule: Rule, who: str) -> list[tuple[int, bool, str, str]]:
    """(depth, whether it holds, what is asked, what was found) of every part of the rule, for one person."""
    with reading(site.engine) as session:
        customer_id = _customer_id(session, who)
        rules = References(load_rules(session))
    if customer_id is None:
        raise BadInput(translate("找不到「{who}」這個人。", g.language, who=who))
    day = today(site.clock, site.zone) + timedelta(days=1)
    needed = [name for name in SCHEMAS if name != "words"]
    with open_duckdb(site.zone) as connection:
        facts = read_facts(connection, site.engine, *needed, customer_ids=[customer_id])
        found = why(connection, facts, rule, customer_id, day, site.zone, rules)
    with reading(site.engine) as session:
        return _lines(found, 0, campaign_names(session, *_asked(found)))


def _asked(found: Explained) -> list[Rule]:
    return [found.asked, *(one for part in found.parts for one in _asked(part))]


def _customer_id(session: Session, who: str) -> int | None:
    """Whom `who` names: a member id, else a LINE user id, else our number of a customer, for most have no other."""
    customer, account = table_of(Customer), table_of(LineAccount)
    any_channel = account.c.channel_id.in_(select(table_of(Channel).c.id))  # named for its index
    ways = [
        select(customer.c.id).where(customer.c.member_id == who),
        select(account.c.customer_id).where(any_channel, account.c.line_user_id == who),
    ]
    if who.isdecimal() and int(who) < 2**63:
        ways.append(select(customer.c.id).where(customer.c.id == int(who)))
    return next((found for way in ways if (found := session.scalar(way.limit(1))) is not None), None)


def _lines(found: Explained, depth: int, campaigns: Mapping[int, str]) -> list[tuple[int, bool, str, str]]:
    names: dict[type, str] = {AllOf: "全部符合", AnyOf: "任一符合", NotOf: "不符合"}
    is_group = type(found.asked) in names
    language = known(g.language)
    asked = translate(names[type(found.asked)], language) if is_group else sentence(found.asked, language, campaigns)
    value = "" if is_group or found.parts else found_words(found.asked, found.found, language)
    inner = (line for part in found.parts for line in _lines(part, depth + 1, campaigns))
    return [(depth, found.holds, asked, value), *inner]


ROUTES = (
    get("/rules", show_rules, endpoint="list_rules"),
    get("/rules/edit", edit_rule),
    post("/rules/edit", save_rule_form),
    post("/rules/delete", delete_rule_form),
    post("/rules/said", say_rule),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET /console/rules and /console/rules/edit; POST to renew the form, save, delete, and ask why."""
    add_routes(blueprint, ROUTES)
