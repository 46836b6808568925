"""寫文案: what a text may expect and what to try instead; words and lines for a theme, logged as shown."""

from datetime import datetime
from typing import Any

import numpy as np
from flask import Blueprint, g, render_template, request
from sqlmodel import Session

from campaigns.results.lately import sent_lately
from console.access.roles import Role, needs
from console.frame.routes import add_routes, get
from console.frame.site import Site, site
from console.segments.segment_words import segment_words
from console.words.refusals import told
from keywords.copy.compose import Wanted, compose
from keywords.copy.data import FORMS
from keywords.copy.facts import Given
from keywords.copy.ground import ground_for
from keywords.copy.past import in_words
from keywords.copy.score import Score, score
from keywords.copy.shown import log_shown, shown_lines, shown_of
from keywords.copy.suggestion import Mode, suggest
from keywords.copy.writer import Written, ask
from keywords.effects.current import current_learning
from keywords.effects.prediction import Situation
from keywords.sharing.parts import known_themes
from keywords.text.brand import brand_tokenizer
from segmentation.models import RFM8
from store.engine import reading, transaction
from store.errors import BadInput

WORDS, LINES = 10, 5
MAX_THEME = 100  # characters
MAX_TEXT = 500  # characters of a text to judge: it travels in the address


def write_copy() -> str:
    with reading(site.engine) as session:
        scored, themes = _scored(session, site), known_themes(session)
    asked = {name: request.args.get(name, "") for name in ("text", "segment", "theme", "at")}
    return render_template(
        "console/keywords/write.html",
        scored=scored,
        asked=asked,
        groups=RFM8,
        themes=themes,
        forms=FORMS,
        max_text=MAX_TEXT,
        has_writer=site.writer is not None,
    )


@needs(Role.MARKETER)
def suggest_words() -> Any:
    theme = request.args.get("theme", "").replace("\x00", "").strip()[:MAX_THEME]  # it is logged
    if not theme:
        return render_template("console/keywords/_ideas.html", found=None, theme="")
    mode: Mode = "explore" if request.args.get("mode") == "explore" else "safe"
    rng, now, segment = np.random.default_rng(), site.clock(), request.args.get("segment") or None
    situation = Situation.at(_moment(request.args.get("at", "")) or now, site.zone, segment=segment, theme=theme)
    wanted = Wanted(situation, request.args.get("form") or "message", LINES, mode)
    with reading(site.engine) as session:
        learning, tokenizer = current_learning(session), brand_tokenizer(session)
        ground = ground_for(session, _given(theme, tokenizer), sent_lately, segment=segment, now=now)
        found = in_words(session, suggest(theme, learning, tokenizer, rng, mode=mode, count=WORDS))
    why = None
    try:
        lines = compose(wanted, learning, ground, rng)
    except BadInput as error:
        lines, why = [], told(error, g.language)
    written = Written()
    if site.writer is not None and lines and "writer" in request.args:
        written = ask(site.writer, wanted, learning, ground, lines)
    shown = [*shown_of(found), *shown_lines([*lines, *written.lines])]
    with transaction(site.engine) as session:
        log_shown(session, shown, theme=theme, mode=mode, by=g.user.email, now=now)
    return render_template(
        "console/keywords/_ideas.html",
        found=found,
        lines=[*lines, *written.lines],
        written=written,
        has_own=bool(ground.settings.own_templates(wanted.form)),
        few=len(lines) if 0 < len(lines) < LINES else None,
        why=why,
        theme=theme,
        mode=mode,
        segment_words=segment_words,
        again={name: request.args.getlist(name) for name in ("offer", "product", "segment", "at", "form", "writer")},
    )


def _given(theme: str, tokenizer: Any) -> Given:
    """What the form says is offered and sold, a line each."""
    offers, products = (
        tuple(line.strip() for text in request.args.getlist(name) for line in text.splitlines() if line.strip())
        for name in ("offer", "product")
    )
    return Given(tokenizer, theme, offers, products)


def _moment(text: str) -> datetime | None:
    """The form's time, in the brand's zone; one that can't be read is none."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def _scored(session: Session, site: Site) -> Score | None:
    """The text of the address judged; None without one."""
    text = request.args.get("text", "").strip()[:MAX_TEXT]
    if not text:
        return None
    segment, theme = request.args.get("segment") or None, request.args.get("theme", "").strip() or None
    situation = Situation.at(_moment(request.args.get("at", "")), site.zone, segment=segment, theme=theme)
    return score(text, current_learning(session), brand_tokenizer(session), situation)


ROUTES = (
    get("/keywords/write", write_copy),
    get("/keywords/ideas", suggest_words),
)


def add_pages(blueprint: Blueprint, _site: Site) -> None:
    """GET /console/keywords/write, and GET /console/keywords/ideas, a part of pages."""
    add_routes(blueprint, ROUTES)
