"""Words of the house lead to their definition where a page names them: in a heading, or as the name of a figure, a
column or a field. So no page can forget it, and templates stay plain. Running text stays as it is."""

import re
from html import unescape

from flask import url_for
from markupsafe import Markup, escape

from console.guide.terms import Term, named_by, terms
from console.words.catalog import translate

# A whole text between an opening tag and the next.
NAMING = re.compile(r"(<(?:h[123]|dt|dd|th|legend|caption)\b[^>]*>)(\s*)([^<>]+?)(?=\s*<)")
# A field's label that is seen, its whole text after or before the field. A click on it is for the field, so the link
# stands beside it.
LABEL = re.compile(r"<label\b(?![^>]*\bunseen\b)[^>]*>\s*(?:<input\b[^>]*>\s*)?([^<>]+?)\s*(?=<).*?</label>", re.DOTALL)
QUALIFIED = re.compile(r"^(.+?)(\s*[（(].*)$")  # 提升（百分點，95% 區間）
INTERVAL = {"zh": re.compile(r"\d+% 區間"), "en": re.compile(r"\d+% interval")}


def link(one: Term, words: str, language: str) -> str:
    """HTML of `words` (HTML already) as a link to the definition, which also shows when pointed at."""
    address = escape(url_for("console.show_term", slug=one.slug))
    return f'<a class="word" href="{address}" title="{escape(one.meaning(language))}">{words}</a>'


def question(one: Term, language: str) -> str:
    """HTML of a question mark that leads to the definition."""
    address, meaning = escape(url_for("console.show_term", slug=one.slug)), escape(one.meaning(language))
    asked = escape(translate("{word}是什麼", language, word=one.word(language)))
    return f'<a class="term" href="{address}" title="{meaning}" aria-label="{asked}">?</a>'


def term_in(text: str, language: str) -> Term | None:
    """The word that a whole text of a page in "zh" or "en" names, whatever stands in brackets behind it; None without
    one."""
    known, parts = named_by(language), QUALIFIED.match(text)
    return known.get(text.casefold()) or (known.get(parts[1].casefold()) if parts else None)


def linked(html: str, language: str) -> Markup:
    """The HTML of a page in "zh" or "en", with the words that it names linked, and a question mark beside each field
    named by one."""

    def named(match: re.Match[str]) -> str:
        tag, space, escaped = match.groups()
        one, rest = term_in(unescape(escaped), language), ""
        if unescape(escaped).casefold() not in named_by(language) and (parts := QUALIFIED.match(escaped)):
            escaped, rest = parts.groups()
        words = link(one, escaped, language) if one else escaped
        rest = INTERVAL[language].sub(lambda found: link(terms()["interval"], found[0], language), rest)
        return f"{tag}{space}{words}{rest}"

    def asked(match: re.Match[str]) -> str:
        one = term_in(unescape(match[1]), language)
        return f'<span class="asked">{match[0]}{question(one, language)}</span>' if one else match[0]

    return Markup(LABEL.sub(asked, NAMING.sub(named, html)))  # noqa: S704  # what came in was HTML, and what is put in is escaped
