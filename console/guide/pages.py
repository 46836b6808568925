"""名詞: every word of the console with its meaning."""

from flask import Blueprint, abort, render_template

from console.frame.routes import add_routes, get
from console.frame.site import Site
from console.guide.terms import segment_terms, terms


def show_guide() -> str:
    return render_template("console/guide/all.html", terms=terms().values())


def show_term(slug: str) -> str:
    return render_template(
        "console/guide/one.html", one=terms().get(slug) or abort(404), segments=segment_terms().get(slug)
    )


ROUTES = (
    get("/guide", show_guide),
    get("/guide/<slug>", show_term),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET /console/guide and /console/guide/TERM."""
    add_routes(blueprint, ROUTES)
