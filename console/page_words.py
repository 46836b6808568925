"""What every page may say: the words of its language, names of things, formats, and who looks."""

from math import exp
from typing import Any

from flask import g, request

from console.access.browsers import browser_words
from console.campaigns.audience_words import audience_words
from console.frame import formats, once
from console.frame.menu import menu_for, room_of
from console.frame.site import site
from console.guide.terms import segment_term, terms
from console.imports.reasons import reason_in
from console.segments.model_settings import model_settings
from console.segments.segment_words import name_of
from console.tags.rule_words import known
from console.words import names
from console.words.audit import done
from console.words.catalog import LANGUAGES, translate
from console.words.marks import COLON, COMMA
from console.words.refusals import told
from console.words.setting_names import CHOICE_WORDS, SETTING_CELLS, SETTING_NOTES, SETTING_WORDS
from segmentation.rules.words import ATTRIBUTES, KINDS
from store.imports.kinds import LAYOUTS


def t(text: str, **values: object) -> str:
    """`text` in the page's language."""
    return translate(text, g.language, **values)


def words_of_pages() -> dict[str, Any]:
    """Everything that a template may use without importing it."""
    return {"t": t, **_request(), **_names(), **_told(), **_formats()}


def _request() -> dict[str, Any]:
    return {
        "user": g.get("user"),  # of the page of an error, that may be before anybody is known
        "session_id": g.get("session_id"),
        "colon": COLON[g.language],
        "comma": COMMA[g.language],
        "html_language": LANGUAGES[g.language],
        "language": g.language,
        "menu": menu_for(g.get("user")),
        "is_in": lambda room: room_of(request.path) == room,
        "form_key": lambda: once.new_key(site.clock()),
    }


def _names() -> dict[str, Any]:
    """Names of states, kinds and choices, by what the code calls them."""
    return {
        "reason_words": lambda why: t(names.REASONS[why]) if why in names.REASONS else why or formats.NONE,
        "state": lambda name: t(names.STATES[name]) if name in names.STATES else name,
        "line_word": lambda name: t(names.LINE_WORDS[name]),
        "tag_word": lambda name: t(names.TAG_WORDS[name]) if name in names.TAG_WORDS else name,
        "role_words": lambda name: t(names.ROLE_WORDS[name]),
        "way_words": lambda name: t(names.WAY_WORDS[name]),
        "taps_words": lambda name: t(names.TAPS_WORDS[name]),
        "message_kind": lambda name: t(names.MESSAGE_KINDS[name]),
        "tap_words": lambda name: t(names.TAP_WORDS[name]),
        "winner_words": lambda name: t(names.WINNER_WORDS[name]),
        "outcome_words": lambda name: t(names.OUTCOME_WORDS[name]),
        "layout_name": lambda name: t(names.LAYOUT_NAMES[name]),
        "choice_words": lambda name: t(CHOICE_WORDS[name]) if name in CHOICE_WORDS else name,
        "setting_words": lambda name: t(SETTING_WORDS[name]),
        "setting_note": lambda name: t(SETTING_NOTES[name]),
        "cell_words": lambda name: t(SETTING_CELLS[name]),
        "detail_word": lambda name: t(names.AUDIT_DETAILS[name]) if name in names.AUDIT_DETAILS else name,
        "source_word": lambda name: t(names.EVENT_SOURCES[name]) if name in names.EVENT_SOURCES else name,
        "gender_word": lambda name: t(names.GENDERS[name.lower()]) if name and name.lower() in names.GENDERS else name,
        "moment_word": lambda name: t(names.MOMENT_WORDS[name]),
        "row_kind": lambda name: t(names.ROW_KINDS[name]),
        "row_field": lambda kind, name: t(names.ROW_FIELDS.get(f"{kind}.{name}", names.ROW_FIELDS[name])),
        "order_measure": lambda name: t(names.ORDER_MEASURES[name]),
        "need_words": lambda kind: t(names.NEED_WORDS[kind]),
        "job_words": lambda name: t(names.JOB_WORDS[name]) if name in names.JOB_WORDS else name,
        "card_field": lambda name: t(names.CARD_FIELDS[name]),
        "every_words": lambda name: t(names.EVERY_WORDS[name]),
        "event_words": lambda name: t(names.EVENT_WORDS[name]),
        "did_words": lambda name: t(names.DID_WORDS[name]),
        "unit_words": lambda name: t(names.UNIT_WORDS[name]),
        "holiday_words": lambda name: t(names.HOLIDAY_CHOICES[name]),
        "weekday_words": lambda name: t(f"週{name}"),
        "who_words": lambda name: t(names.WHO_WORDS[name]),
        "import_kind": lambda name: t(names.IMPORT_KINDS[name]),
        "upload_state": lambda name: t(names.UPLOAD_STATES[name]),
        "column_words": _column_words,
        "import_state": lambda name: t(names.IMPORT_STATES[name]),
    }


def _column_words(kind: str, name: str) -> str:
    """What a column of an import's file means, as its header calls it; empty for one that the import doesn't know."""
    name = name.strip().lower()
    found = names.IMPORT_COLUMNS.get(f"{kind}.{name}", names.IMPORT_COLUMNS.get(name))
    return t(found) if found and name in LAYOUTS[kind].known else ""


def _told() -> dict[str, Any]:
    """What is put into words by rooms of the console."""
    return {
        "refusal_words": lambda reason: told(reason, g.language),
        "browser_words": lambda agent: browser_words(agent, g.language),
        "action_words": lambda action: done(action, g.language),
        "attribute_word": lambda name: ATTRIBUTES[name][known(g.language)] if name in ATTRIBUTES else name,
        "event_word": lambda kind: KINDS[kind][known(g.language)] if kind in KINDS else kind,
        "why_refused": lambda reason: reason_in(reason, g.language),
        "audience_words": lambda audience: audience_words(audience, g.language),
        "term_of": lambda slug: terms()[slug],
        "segment_meaning": lambda model, name: segment_term(model, name).meaning(g.language),
        "segment_name": lambda segment: name_of(segment, g.language),
        "model_settings": lambda model, settings: model_settings(model, settings, g.language),
        "dimension_words": names.DIMENSIONS,
        "FETCHES": names.FETCHES,
    }


def _formats() -> dict[str, Any]:
    times = formats.Times(site.zone)
    return {
        "when": times.when,
        "day": times.day,
        "whole": formats.whole,
        "money": formats.money,
        "in_money": formats.in_money(site.currency),
        "money_mark": formats.money_mark(site.currency),
        "zone_name": formats.zone_name(site.zone, g.language),
        "percent": formats.percent,
        "number": formats.number,
        "points": formats.points,
        "amounts": formats.amounts,
        "times": exp,  # log-odds as a multiple of the odds
    }
