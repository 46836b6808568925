"""商品目錄: the brand's products with their labels, and labels proposed from their words for a person to decide."""

from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from sqlalchemy import or_, select
from sqlmodel import Session

from console.access.roles import Role, needs
from console.frame.paging import after_id
from console.frame.routes import add_routes, get, post
from console.frame.site import Site, site
from console.words.catalog import translate
from console.words.refusals import told
from segmentation.labelling import decide, waiting
from store.asked import LABELS, ask_for, request_for
from store.engine import reading, table_of, transaction
from store.errors import NotFound
from store.models import Product

PAGE_ROWS = 50
EXAMPLES = 5  # products of a proposed label, before it is opened
LONGEST = 100  # characters of a search

product = table_of(Product)


def list_products() -> str:
    words = request.args.get("q", "").replace("\x00", "").strip()[:LONGEST]
    with reading(site.engine) as session:
        rows = _products(session, words, after_id())
    more = rows[PAGE_ROWS - 1].id if len(rows) > PAGE_ROWS else None
    return render_template("console/catalogue/products.html", rows=rows[:PAGE_ROWS], words=words, more=more)


def list_proposals() -> Any:
    label = request.args.get("label") or None
    with reading(site.engine) as session:
        found, asked = waiting(session), request_for(session, LABELS)
        opened = [one for one in found if one.label == label]
    if label is not None and not opened:
        raise NotFound(f"the label {label!r} isn't proposed for any product")
    return render_template(
        "console/catalogue/labels.html",
        found=opened or found,
        is_open=bool(opened),
        examples=EXAMPLES,
        asked=asked,
    )


@needs(Role.MARKETER)
def decide_label() -> Any:
    """Of the products that are ticked; of all that it waits for where none could be."""
    label = request.form.get("label", "").replace("\x00", "")  # PostgreSQL keeps no NUL
    skus = request.form.getlist("sku")
    approve = request.form.get("press") == "approve"
    if "each" in request.form and not skus:
        flash(translate("請先勾選商品。", g.language), "error")
        return redirect(url_for("console.list_proposals", label=label), 303)
    try:
        who = g.user.email
        decided = decide(
            site.engine, label, skus or None, approve=approve, clock=site.clock, actor=who, only_waiting=True
        )
    except NotFound as error:
        flash(translate("無法執行：{why}", g.language, why=told(error, g.language)), "error")
    else:
        said = "標籤「{label}」已貼上 {n} 件商品。" if approve else "標籤「{label}」不再為 {n} 件商品提出。"
        if decided or not skus:
            flash(translate(said, g.language, label=label, n=len(decided)))
        if left := len(set(skus)) - len(decided) if skus else 0:
            flash(translate("{n} 件商品已有同事先決定，沒有更動。", g.language, n=left), "error")
    return redirect(url_for("console.list_proposals"), 303)


@needs(Role.MARKETER)
def propose_labels() -> Any:
    with transaction(site.engine) as session:
        is_new = ask_for(session, LABELS, actor=g.user.email, now=site.clock())
    flash(translate("已交給背景程式尋找。" if is_new else "已經在等著尋找了。", g.language))
    return redirect(url_for("console.list_proposals"), 303)


def _products(session: Session, words: str, after: int) -> list[Product]:
    """One more than a page of them, by id: all, or those whose name or SKU has `words` in it."""
    query = select(Product).where(product.c.id > after).order_by(product.c.id).limit(PAGE_ROWS + 1)
    if words:
        query = query.where(or_(product.c.name.contains(words, autoescape=True), product.c.sku == words))
    return list(session.scalars(query))


ROUTES = (
    get("/products", list_products),
    get("/products/labels", list_proposals),
    post("/products/labels", decide_label),
    post("/products/labels/propose", propose_labels),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET /console/products and /console/products/labels; POST to decide, and to look for labels."""
    add_routes(blueprint, ROUTES)
