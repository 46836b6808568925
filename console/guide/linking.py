"""Words of the house become links where a page names them: in a heading, or as the name of a figure or a column. So no
page can forget it, and templates stay plain."""

import re
from html import unescape

from flask import url_for
from markupsafe import Markup, escape

from console.guide.terms import Term, named_by, terms

# A whole text between an opening tag and the next. Those of forms' fields stay plain: a click there is for the field.
NAMING = re.compile(r"(<(?:h[123]|dt|dd|th|legend|caption)\b[^>]*>)(\s*)([^<>]+?)(?=\s*<)")
QUALIFIED = re.compile(r"^(.+?)(\s*[（(].*)$")  # 提升（百分點，95% 區間）
INTERVAL = {"zh": re.compile(r"\d+% 區間"), "en": re.compile(r"\d+% interval")}


def link(one: Term, words: str, language: str) -> str:
    """HTML of `words` (HTML already) as a link to the definition, which also shows when pointed at."""
    address = escape(url_for("console.show_term", slug=one.slug))
    return f'<a class="word" href="{address}" title="{escape(one.meaning(language))}">{words}</a>'


def term_in(text: str, language: str) -> Term | None:
    """The word that a whole text of a page in "zh" or "en" names, whatever stands in brackets behind it; None without
    one."""
    known, parts = named_by(language), QUALIFIED.match(text)
    return known.get(text.casefold()) or (known.get(parts[1].casefold()) if parts else None)


def linked(html: str, language: str) -> Markup:
    """The HTML of a page in "zh" or "en", with the words that it names linked."""

    def named(match: re.Match[str]) -> str:
        tag, space, escaped = match.groups()
        one, rest = term_in(unescape(escaped), language), ""
        if unescape(escaped).casefold() not in named_by(language) and (parts := QUALIFIED.match(escaped)):
            escaped, rest = parts.groups()
        words = link(one, escaped, language) if one else escaped
        rest = INTERVAL[language].sub(lambda found: link(terms()["interval"], found[0], language), rest)
        return f"{tag}{space}{words}{rest}"

    return Markup(NAMING.sub(named, html))  # noqa: S704  # what came in was HTML, and what is put in is escaped
