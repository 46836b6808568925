"""品牌用詞: words that are kept whole wherever the brand's texts are cut, and whether variants count as one."""

from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for

from console.access.roles import Role, needs
from console.frame.routes import add_routes, get, post
from console.frame.site import Site, site
from console.words.catalog import translate
from console.words.refusals import told
from keywords.text.brand import add_words, fold_words, read_words, remove_words
from store.engine import reading, transaction
from store.errors import BadInput


def show_words() -> str:
    with reading(site.engine) as session:
        chosen = read_words(session)
    return render_template("console/keywords/words.html", listed=sorted(chosen.words), is_folded=chosen.is_folded)


@needs(Role.MARKETER)
def change_words() -> Any:
    press, by = request.form.get("press", ""), {"actor": g.user.email, "now": site.clock()}
    words = [word.strip() for word in request.form.get("words", "").splitlines() if word.strip()]
    try:
        with transaction(site.engine) as session:
            if press == "fold":
                fold_words(session, "is_folded" in request.form, **by)
            elif press == "remove":
                remove_words(session, request.form.getlist("word"), **by)
            else:
                add_words(session, words, **by)
    except BadInput as error:
        flash(translate("無法執行：{why}", g.language, why=told(error, g.language)), "error")
    else:
        flash(translate("已儲存；下一次學習會用新的斷詞。", g.language))
    return redirect(url_for("console.show_words"), 303)


ROUTES = (
    get("/keywords/words", show_words),
    post("/keywords/words", change_words),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET and POST /console/keywords/words."""
    add_routes(blueprint, ROUTES)
