"""Labels proposed from the words of catalogues, Chinese and English, and decided by a person."""

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlmodel import Session
from typer.testing import CliRunner

from segmentation.labelling import decide, label_counts, renew_proposals, waiting
from segmentation.labels import Article, Proposal, label_words, propose
from service.brand_words import terms_with
from service.cli import app
from store.engine import open_engine, reading, transaction
from store.errors import NotFound
from store.models import AuditEntry, CustomerChange, OrderLine, Product, ProductLabel
from tests.conftest import StillClock
from tests.factories import make_customer, make_order

COSMETICS = (
    "清爽去屑洗髮乳 去油型 750ml",
    "草本頭皮養護洗髮露 抗油 300ml",
    "沙龍級染護修護洗髮精 400ml",
    "玫瑰保濕化妝水 200ml",
    "玫瑰美白精華液 30ml",
    "玫瑰沐浴乳 1000ml",
    "玫瑰護手霜 50g",
    "舒敏洗面乳 100g",
)
GROCERIES = ("有機花椰菜 250g", "無糖優格 2入", "高鈣燕麥片 無添加", "黑巧克力 85% 100g", "全脂鮮乳 936ml")
ENGLISH = (
    "Organic Dark Chocolate 85% 100g",
    "Sugar-Free Oat Milk 1L",
    "Gluten Free Penne 500g",
    "Meadow Lavender Hand Cream",
    "Meadow Lavender Candle",
    "Meadow Lavender Soap Bar",
    "Men's Cotton Socks",
    "Menthol Lozenges",
    "Plain Yoghurt",
    "White Rice 2kg",
    "Olive Oil 1L",
    "Brown Bread",
    "Green Tea 20 bags",
)


@pytest.fixture(scope="module")
def tokenize() -> Callable[[Sequence[str]], list[list[str]]]:
    return terms_with([])


def articles(names: Sequence[str], **fields: Any) -> list[Article]:
    return [Article(number, name, **fields) for number, name in enumerate(names)]


def labels_of(found: Sequence[Proposal], source: str) -> dict[int, set[str]]:
    kept: dict[int, set[str]] = {}
    for proposal in found:
        if proposal.source == source:
            kept.setdefault(proposal.product_id, set()).add(proposal.label)
    return kept


def test_known_words_in_chinese_names_propose_their_labels(tokenize: Any) -> None:
    assert labels_of(propose(articles(COSMETICS), tokenize), "word") == {
        0: {"去屑", "抗油"},
        1: {"頭皮養護", "抗油"},
        2: {"染護"},
        3: {"保濕"},
        4: {"美白"},
        7: {"敏感肌"},
    }
    assert labels_of(propose(articles(GROCERIES), tokenize), "word") == {
        0: {"有機"},
        1: {"無糖"},
        2: {"高鈣", "全穀", "無添加"},
        3: {"巧克力"},
    }


def test_an_english_catalogue_gets_english_labels_by_whole_words(tokenize: Any) -> None:
    assert labels_of(propose(articles(ENGLISH), tokenize), "word") == {
        0: {"organic", "chocolate"},
        1: {"sugar-free", "whole grain"},
        2: {"gluten-free"},
        6: {"for men"},  # and the lozenges' menthol is none
    }


def test_a_term_that_describes_several_kinds_of_products_is_proposed(tokenize: Any) -> None:
    found = labels_of(propose(articles((*COSMETICS, *GROCERIES, "抽取式衛生紙", "洗衣精")), tokenize), "term")
    assert {n for n, labels in found.items() if "玫瑰" in labels} == {3, 4, 5, 6}
    assert not {"洗髮精", "沐浴乳"} & {label for labels in found.values() for label in labels}
    english = labels_of(propose(articles(ENGLISH), tokenize), "term")
    assert english == {3: {"meadow lavender"}, 4: {"meadow lavender"}, 5: {"meadow lavender"}}


def test_a_label_in_the_description_is_less_sure_than_one_in_the_name(tokenize: Any) -> None:
    described = [Article(1, "洗髮精", "適合染後髮質"), Article(2, "染護洗髮精")]
    scores = {proposal.product_id: proposal.score for proposal in propose(described, tokenize)}
    assert 0 < scores[1] < scores[2] < 1


def test_what_similar_products_have_is_proposed_with_the_shared_words(tokenize: Any) -> None:
    series = frozenset(["草本系列"])
    known = [Article(n, f"草本 {kind}", labels=series) for n, kind in enumerate(["洗髮精", "沐浴乳", "護手霜"])]
    others = [Article(n, f"極潤 {kind}", labels=frozenset(["日系"])) for n, kind in ((3, "化妝水"), (4, "乳液"))]
    found = propose([*known, *others, Article(9, "草本 潤髮乳")], tokenize)
    [proposal] = [one for one in found if one.source == "similar"]
    assert (proposal.product_id, proposal.label) == (9, "草本系列")
    assert "草本" in proposal.words


def test_what_a_product_has_or_nobody_wants_is_not_proposed(tokenize: Any) -> None:
    found = propose([Article(1, "染護去屑洗髮精", labels=frozenset(["染護"]))], tokenize, never=["去屑"])
    assert found == []


def test_the_brands_spelling_of_a_label_goes_before_ours(tokenize: Any) -> None:
    found = propose([Article(1, "a", labels=frozenset(["SUGAR-FREE"])), Article(2, "no sugar cola")], tokenize)
    assert [(one.product_id, one.label) for one in found] == [(2, "SUGAR-FREE")]


@pytest.mark.parametrize("names", [[], [""], ["。"], ["洗髮精"] * 3])
def test_catalogues_that_say_nothing_get_no_proposals(names: list[str], tokenize: Any) -> None:
    assert propose(articles(names), tokenize) == []


def test_every_word_of_the_list_tells_of_a_label_in_both_languages() -> None:
    chinese, english = label_words(in_english=False), label_words(in_english=True)
    assert chinese.keys() == english.keys()
    assert chinese["控油"] == chinese["oil control"] == "抗油"
    assert english["控油"] == "oil control"


# --- in the store ------------------------------------------------------------------------------------------------


def store_products(engine: Engine, *names: str, **fields: Any) -> None:
    with transaction(engine) as session:
        session.add_all(Product(sku=f"P{number}", name=name, **fields) for number, name in enumerate(names))


def stored(engine: Engine) -> dict[tuple[str, str], str]:
    statement = select(Product.sku, ProductLabel.label, ProductLabel.state).join(  # type: ignore[call-overload]
        Product, Product.id == ProductLabel.product_id
    )
    with reading(engine) as session:
        return {(row.sku, row.label): row.state for row in session.execute(statement)}


def labels(session: Session, sku: str) -> list[str]:
    return list(session.scalars(select(Product).where(Product.sku == sku)).one().labels)  # type: ignore[arg-type]


def test_approving_labels_the_product_notes_its_buyers_and_is_audited(
    engine: Engine, clock: StillClock, tokenize: Any
) -> None:
    store_products(engine, "染護洗髮精", "沐浴乳")
    with transaction(engine) as session:
        buyer, other = make_customer(session).id, make_customer(session).id
        for customer_id, sku in ((buyer, "P0"), (buyer, "P0"), (other, "P1")):
            order = make_order(session, make_customer(session), customer_id=customer_id)
            one = Decimal(1)
            session.add(OrderLine(sales_order_id=order.id or 0, line_number=1, sku=sku, quantity=one, unit_price=one))
    assert renew_proposals(engine, tokenize, clock).added == 1
    with reading(engine) as session:
        [proposed] = waiting(session)
        assert labels(session, "P0") == []
    assert (proposed.label, proposed.products[0].sku, proposed.products[0].words) == ("染護", "P0", ("染護",))
    assert decide(engine, "染護", None, approve=True, clock=clock, actor="mei-hua") == ["P0"]
    with reading(engine) as session:
        assert labels(session, "P0") == ["染護"]
        assert list(session.scalars(select(CustomerChange.customer_id))) == [buyer]  # type: ignore[call-overload]
        [entry] = session.scalars(select(AuditEntry)).all()
        assert (entry.actor, entry.action, entry.detail) == (
            "mei-hua",
            "approve product label",
            {"label": "染護", "products": 1},
        )
        assert label_counts(session) == {"染護": 1}
    assert renew_proposals(engine, tokenize, clock).added == 0


def test_a_rejected_label_is_never_proposed_again_and_one_taken_back_comes_off(
    engine: Engine, clock: StillClock, tokenize: Any
) -> None:
    store_products(engine, "染護洗髮精", "染護髮膜", labels=["沙龍"])
    renew_proposals(engine, tokenize, clock)
    decide(engine, "染護", ["P0"], approve=False, clock=clock, actor="a")
    decide(engine, "染護", ["P1"], approve=True, clock=clock, actor="a")
    assert renew_proposals(engine, tokenize, clock).added == 0
    assert stored(engine) == {("P0", "染護"): "rejected", ("P1", "染護"): "approved"}
    decide(engine, "染護", ["P1"], approve=False, clock=clock, actor="a")
    with reading(engine) as session:
        assert labels(session, "P1") == ["沙龍"]
    assert stored(engine)["P1", "染護"] == "rejected"


def test_a_label_rejected_three_times_and_never_approved_is_given_up(
    engine: Engine, clock: StillClock, tokenize: Any
) -> None:
    store_products(engine, *["染護洗髮精"] * 3)
    renew_proposals(engine, tokenize, clock)
    decide(engine, "染護", None, approve=False, clock=clock, actor="a")
    with transaction(engine) as session:
        session.add(Product(sku="NEW", name="染護髮膜"))
    assert renew_proposals(engine, tokenize, clock).added == 0


def test_proposals_follow_the_products_words_until_they_are_decided(
    engine: Engine, clock: StillClock, tokenize: Any
) -> None:
    store_products(engine, "染護洗髮精")
    renew_proposals(engine, tokenize, clock)
    with transaction(engine) as session:
        session.scalars(select(Product)).one().name = "染後洗髮精"
    assert renew_proposals(engine, tokenize, clock).changed == 1
    with transaction(engine) as session:
        session.scalars(select(Product)).one().name = "去屑洗髮精"
    changes = renew_proposals(engine, tokenize, clock)
    assert (changes.added, changes.withdrawn) == (1, 1)
    assert stored(engine) == {("P0", "去屑"): "proposed"}


def test_deciding_on_what_was_not_proposed_is_refused(engine: Engine, clock: StillClock, tokenize: Any) -> None:
    store_products(engine, "染護洗髮精", "沐浴乳")
    renew_proposals(engine, tokenize, clock)
    for label, skus in (("美白", None), ("染護", ["P1"]), ("染護", ["P0", "P9"])):
        with pytest.raises(NotFound):
            decide(engine, label, skus, approve=True, clock=clock, actor="a")
    assert stored(engine) == {("P0", "染護"): "proposed"}


def test_the_command_line_proposes_shows_and_decides(
    new_database_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_database_url("sqlite")
    monkeypatch.setenv("DATABASE_URL", url)
    engine = open_engine(url)
    store_products(engine, "染護洗髮精", "染護髮膜")
    engine.dispose()

    def run(*arguments: str) -> Any:
        done = CliRunner().invoke(app, ["product", *arguments, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    assert run("propose-labels")["added"] == 2
    [proposed] = run("proposals")
    assert (proposed["label"], [one["sku"] for one in proposed["products"]]) == ("染護", ["P0", "P1"])
    assert run("reject", "染護", "P0")["skus"] == ["P0"]
    assert run("approve", "染護", "--all")["skus"] == ["P1"]
    assert run("labels") == {"染護": 1}
    shown = CliRunner().invoke(app, ["product", "labels"])
    assert "染護" in shown.stdout
    neither = CliRunner().invoke(app, ["product", "approve", "染護"])
    assert neither.exit_code == 1
    assert "--all" in str(neither.exception)
