"""The console's own words: on their pages, beside the figures, and the same in docs/glossary.md."""

import re
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine

from console.guide.linking import linked
from console.guide.terms import PERSONAL, glossary_rows, named_by, said_by, segment_terms, terms
from console.words.catalog import FOLDER
from segmentation.models import GROUPS, MODELS
from tests.conftest import StillClock
from tests.console.conftest import console_app, page
from tests.test_house import ROOT


def test_the_glossary_of_the_docs_is_made_of_the_same_words() -> None:
    rows = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    assert [row for row in rows if row.startswith("| <a ")] == glossary_rows()


def test_every_word_has_a_page_in_both_languages(client: FlaskClient) -> None:
    for one in terms().values():
        assert one.meaning_zh in page(client, f"/console/guide/{one.slug}?lang=zh")
    english = page(client, "/console/guide?lang=en")
    assert all(f'id="{slug}"' in english for slug in terms())
    assert client.get("/console/guide/nothing").status_code == 404


def test_every_segment_says_who_is_in_it_under_its_own_anchor(client: FlaskClient) -> None:
    for model, segments in {**MODELS, "groups": GROUPS}.items():
        if model.endswith(PERSONAL):
            continue
        assert [one.segment for one in segment_terms()[model]] == list(segments)
        for language in ("zh", "en"):
            told = unescape(page(client, f"/console/guide/{model}?lang={language}"))
            assert all(f'id="{one.segment.name}"' in told for one in segment_terms()[model])
            assert all(one.meaning(language) in told for one in segment_terms()[model])


def test_every_word_that_a_page_asks_for_is_known() -> None:
    templates = FOLDER.parent / "templates"
    asked = {
        slug
        for path in templates.rglob("*.html")
        for slug in re.findall(r'\.(?:term|word)\("([^"]+)"\)', path.read_text(encoding="utf-8"))
    }
    assert asked <= set(terms())


def test_every_text_that_names_a_word_is_of_a_page_and_names_one_only() -> None:
    pages = "".join(
        path.read_text(encoding="utf-8")
        for path in FOLDER.parent.rglob("*")
        if path.suffix in (".html", ".py") and path.parent.name != "guide"
    )
    texts = [text for one in terms().values() for text in one.texts]
    assert [text for text in texts if text not in pages] == []
    assert len(set(texts)) == len(texts)
    assert named_by("en")  # and each has its English


@pytest.fixture
def app(engine: Engine, clock: StillClock) -> Flask:
    return console_app(engine, clock)


LIFT = 'href="/console/guide/lift"'


@pytest.mark.parametrize(
    ("html", "language"),
    [
        ("<dt>提升</dt>", "zh"),
        ('<th class="number">Lift</th>', "en"),
        ("<h3>提升（百分點，95% 區間）</h3>", "zh"),
        ('<legend>\n提升 <a href="/x">更多</a></legend>', "zh"),
    ],
)
def test_a_word_that_is_named_is_a_link_with_its_meaning(app: Flask, html: str, language: str) -> None:
    with app.test_request_context():
        found = linked(html, language)
    assert LIFT in found
    assert terms()["lift"].meaning(language) in found
    assert re.sub("<a class=.word.[^>]*>|</a>", "", found) == re.sub("</a>", "", html)
    assert ("guide/interval" in found) == ("區間" in html)


@pytest.mark.parametrize(
    "html",
    [
        "<label>提升<input></label>",
        '<label class="check"><input type="checkbox" name="x"> 提升（%）</label>',
        "<label>\n提升 <small>自訂</small><select><option>甲</option></select></label>",
    ],
)
def test_a_field_that_a_word_names_has_a_question_mark_beside_its_label(app: Flask, html: str) -> None:
    with app.test_request_context():
        found = linked(f"<p>{html}</p>{html.replace('提升', '別的')}", "zh")
    assert found.startswith(f'<p><span class="asked">{html}<a class="term" {LIFT}')
    assert 'aria-label="提升（增益）是什麼">?</a></span></p>' in found
    assert found.count("<a ") == 1


@pytest.mark.parametrize(
    "html",
    [
        "<button>提升</button>",
        "<summary>提升</summary>",
        "<select><option>提升</option></select>",
        "<table><tr><td>提升</td></tr></table>",
        "<blockquote>提升</blockquote>",
        '<div class="phone"><div><p>提升</p></div><p>提升</p></div>',
        "<label>提升吧<input></label>",
        '<label class="unseen" for="x">提升</label>',
        "<p><a>提升</a></p>",
        "<p>「提升」，新顧客</p>",  # a name, and a segment's, which is not the word 顧客
        "<h1>提升吧</h1>",
    ],
)
def test_what_is_pressed_or_chosen_or_the_brands_own_stays_plain(app: Flask, html: str) -> None:
    with app.test_request_context():
        assert linked(html, "zh") == html


def test_a_sentence_links_a_word_the_first_time_that_a_page_says_it(app: Flask) -> None:
    said = "<p>看提升，再看提升。</p><p>提升 <b>點擊</b></p><td>提升</td>"
    with app.test_request_context():
        found = linked(f"<nav>提升</nav><main id=x>{said}</main><p>提升</p>", "zh")
        english = linked("<p>Two taps, and an order of “my lift”.</p>", "en")
    assert found.startswith('<nav>提升</nav><main id=x><p>看<a class="word" href="/console/guide/lift"')
    assert found.count(LIFT) == 1
    assert found.count("<a ") == 2
    assert re.findall(r"guide/([a-z-]+)", english) == ["tap-click", "order"]


def test_a_word_that_a_heading_links_already_is_plain_in_the_sentences_below(app: Flask) -> None:
    with app.test_request_context():
        assert linked("<h2>提升</h2><p>提升</p>", "zh").count(LIFT) == 1
        assert linked("<p>提升</p><h2>提升</h2>", "zh").count(LIFT) == 2


def test_what_sentences_call_a_word_is_never_part_of_another_word() -> None:
    assert not said_by("en").search("border, reordered, tapping, LINE, high")
    assert [found.lastgroup for found in said_by("en").finditer("Deliveries, batches; held out. SHOP&#39;S CODE")] == [
        *("delivery", "batch", "held_out", "shop_s_code")
    ]
    assert [found.lastgroup for found in said_by("zh").finditer("NESL、NES、全域對照組、對照組")] == [
        *("nesl", "nes", "global_holdout", "held_out")
    ]
