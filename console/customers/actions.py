"""What may be done with one customer: tags by hand, a refusal noted, their data taken away or erased."""

import json
from datetime import date
from typing import Any

from flask import Blueprint, Response, flash, g, redirect, request, url_for

from console.access.roles import Role, needs
from console.frame.routes import add_routes, post
from console.frame.site import Site, site
from console.words.catalog import translate
from console.words.refusals import told
from segmentation.tags.hand import put_on, take_off
from store.clock import today
from store.engine import transaction
from store.erasure import erase_person
from store.errors import BadInput, ExpectedError
from store.persons import export_person, note_refusal

SURE = "ERASE"  # what must be typed before somebody is erased


# What is said where nothing was changed, by whether the tag was to come off.
_AS_IT_WAS = {
    True: "這位顧客沒有「{name}」這個標籤，沒有任何更動。",
    False: "這位顧客已經有「{name}」這個標籤，沒有任何更動；要改備註或取下的日子，請先取下再貼上。",
}


def _day(text: str | None) -> date | None:
    """The day of a field; None for an empty one. Raises BadInput."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise BadInput(f"{text!r} is not a day such as 2026-11-02") from error


def _back(customer_id: int, said: str, kind: str = "message", **values: object) -> Any:
    flash(translate(said, g.language, **values), kind)
    return redirect(url_for("console.show_customer", customer_id=customer_id), 303)


@needs(Role.MARKETER)
def tag_customer(customer_id: int) -> Any:
    name, takes_off = request.form.get("tag", "").strip(), request.form.get("press") == "off"
    why: dict[str, Any] = {"actor": g.user.email, "now": site.clock(), "note": request.form.get("note") or None}
    try:
        with transaction(site.engine) as session:
            if takes_off:
                is_changed = take_off(session, name, [customer_id], **why) > 0
            else:
                day, until = today(site.clock, site.zone), _day(request.form.get("until"))
                is_changed = put_on(session, name, [customer_id], until=until, today=day, **why) > 0
    except ExpectedError as error:
        return _back(customer_id, "無法執行：{why}", "error", why=told(error, g.language))
    if not is_changed:
        return _back(customer_id, _AS_IT_WAS[takes_off], name=name)
    return _back(customer_id, "標籤已取下。" if takes_off else "標籤已貼上。")


@needs(Role.MARKETER)
def refuse_for_customer(customer_id: int) -> Any:
    words = {"resume": "已記下：恢復行銷訊息。", "agree": "已記下：同意收行銷訊息。"}
    said = words.get(request.form.get("press", ""))
    with transaction(site.engine) as session:
        note_refusal(session, customer_id, said is None, actor=g.user.email, now=site.clock())
    return _back(customer_id, said or "已記下：不再發送行銷訊息。")


@needs(Role.MARKETER)
def export_customer(customer_id: int) -> Any:
    with transaction(site.engine) as session:
        found = export_person(session, customer_id, actor=g.user.email, now=site.clock())
    response = Response(json.dumps(found, ensure_ascii=False, indent=1, default=str), mimetype="application/json")
    response.headers["Content-Disposition"] = f'attachment; filename="customer-{customer_id}.json"'
    return response


@needs(Role.OWNER)
def erase_customer(customer_id: int) -> Any:
    if request.form.get("sure") != SURE:
        return _back(customer_id, "沒有刪除：請照樣輸入 {word}。", "error", word=SURE)
    with transaction(site.engine) as session:
        erase_person(session, customer_id, actor=g.user.email, now=site.clock())
    return _back(customer_id, "個人資料已刪除。")


ROUTES = (
    post("/customers/<int:customer_id>/tag", tag_customer),
    post("/customers/<int:customer_id>/refusal", refuse_for_customer),
    post("/customers/<int:customer_id>/export", export_customer),
    post("/customers/<int:customer_id>/erase", erase_customer),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """POST /console/customers/<id>/tag, …/refusal, …/export and …/erase."""
    add_routes(blueprint, ROUTES)
