"""Words of the house lead to their definition wherever a page says them, so that no page can forget it and templates
stay plain. What a word names (a heading, a column, a figure, a field) leads there each time; a sentence does where the
page says the word first. What is pressed or chosen carries no link, and what the brand wrote itself stays as it is.
"""

import re
from dataclasses import dataclass, field
from html import unescape

from flask import url_for
from markupsafe import Markup, escape

from console.guide.terms import Term, named_by, said_by, terms
from console.words.catalog import translate

MAIN = re.compile(r"<main\b[^>]*>(.*)</main>", re.DOTALL)
# A whole text between an opening tag and the next.
NAMING = re.compile(r"(<(?:h[123]|dt|dd|th|legend|caption)\b[^>]*>)(\s*)([^<>]+?)(?=\s*<)")
# A field's label that is seen, its whole text after or before the field. A click on it is for the field, so the link
# stands beside it.
LABEL = re.compile(r"<label\b(?![^>]*\bunseen\b)[^>]*>\s*(?:<input\b[^>]*>\s*)?([^<>]+?)\s*(?=<).*?</label>", re.DOTALL)
QUALIFIED = re.compile(r"^(.+?)(\s*[（(].*)$")  # 提升（百分點，95% 區間）
INTERVAL = {"zh": re.compile(r"\d+% 區間"), "en": re.compile(r"\d+% interval")}
TOKEN = re.compile(r"<(?P<end>/?)(?P<tag>[a-z][a-z0-9]*)\b(?P<more>[^>]*)>|[^<]+")
DEFINED = re.compile(r'href="[^"#]*/guide/([^"#/]+)"')
# Where a sentence can hold no link, or isn't the console's. Cells hold the brand's names; advice is ours.
SHUT = {
    *("a", "button", "label", "summary", "select", "textarea", "datalist", "svg", "script", "style", "template"),
    *("h1", "td", "blockquote", "code"),
}
CHAT, ADVICE = 'class="phone"', 'class="advice"'


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
    """The HTML of a page (of which only its main part is read) or of a part of one, in "zh" or "en", with its words
    linked."""
    page = MAIN.search(html)
    if page is None:
        return Markup(_linked(html, language))  # noqa: S704
    before, after = html[: page.start(1)], html[page.end(1) :]
    return Markup(before + _linked(page[1], language) + after)  # noqa: S704  # what came in was HTML, and what is put in is escaped


def _linked(html: str, language: str) -> str:
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

    return TOKEN.sub(_Sentences(language), LABEL.sub(asked, NAMING.sub(named, html)))


@dataclass
class _Sentences:
    """Links each word that the text of a page says, the first time. Given its tags and texts in their order; `shut`
    while it is inside of an element, `depth` deep in others of the same name, that stays as it is."""

    language: str
    linked: set[str] = field(default_factory=set)
    shut: str | None = None
    depth: int = 0

    def __call__(self, token: re.Match[str]) -> str:
        if token["tag"] is None:
            return token[0] if self.shut else said_by(self.language).sub(self._word, token[0])
        if found := DEFINED.search(token["more"]):
            self.linked.add(found[1])
        if self.shut is None and not token["end"] and _stays(token):
            self.shut, self.depth = token["tag"], 1
        elif token["tag"] == self.shut:
            self.depth += -1 if token["end"] else 1
            self.shut = self.shut if self.depth else None
        return token[0]

    def _word(self, match: re.Match[str]) -> str:
        if match.lastgroup is None:  # a name
            return match[0]
        one = terms()[match.lastgroup.replace("_", "-")]
        if one.slug in self.linked:
            return match[0]
        self.linked.add(one.slug)
        return link(one, match[0], self.language)


def _stays(token: re.Match[str]) -> bool:
    return (token["tag"] in SHUT and ADVICE not in token["more"]) or CHAT in token["more"]
