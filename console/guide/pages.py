"""名詞: every word of the console with its meaning."""

from flask import Blueprint, abort, render_template

from console.frame.site import Site
from console.guide.terms import segment_terms, terms


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET /console/guide and /console/guide/TERM."""

    @blueprint.get("/guide")
    def show_guide() -> str:
        return render_template("console/guide/all.html", terms=terms().values())

    @blueprint.get("/guide/<slug>")
    def show_term(slug: str) -> str:
        return render_template(
            "console/guide/one.html", one=terms().get(slug) or abort(404), segments=segment_terms().get(slug)
        )
