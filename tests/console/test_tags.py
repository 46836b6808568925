"""Tags made, changed, archived and brought back on the console."""

import json
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, delete, event, select

from console.access.roles import Role
from console.segments.sizes import read_sizes
from console.tags.form import definition_of, form_of_tag
from segmentation.rules.saved import save_rule
from segmentation.tags.catalogue import create_group_tags, create_tag, tag_named
from segmentation.tags.hand import put_on
from store.asked import SEGMENTS, request_for
from store.engine import reading, table_of, transaction
from store.models import AuditEntry, CustomerTag, Rule, SegmentSizeOnDay, Tag, TagCheck
from tests.conftest import StillClock
from tests.console.conftest import opened, page, plain, send
from tests.factories import make_customer

ROWS = {"r0-type": "orders", "r0-measure": "count", "r0-at_least": "3"}
TAGS = [
    ("hand", {}),
    ("measure", {"measure": "paid_total", "at_least": "10000"}),
    ("measure", {"measure": "paid_total", "top_percent": "5"}),
    ("measure", {"measure": "p_buy", "above_mean": True}),
    ("rule", {"rule": "常客", "foretells": "buys"}),
    ("rule", {"when": {"type": "all", "of": [{"type": "age", "at_least": 30}]}, "until_rule": "常客"}),
    (
        "rule",
        {"when": {"type": "orders", "measure": "count", "more_than": 1}, "until": {"type": "age", "at_least": 30}},
    ),
]


@pytest.fixture
def rule(engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        save_rule(session, "常客", {"type": "orders", "measure": "count", "at_least": 3}, clock(), actor="me")


def named(engine: Engine, name: str) -> Tag:
    with reading(engine) as session:
        return tag_named(session, name)


def audited(engine: Engine) -> list[str]:
    audit = table_of(AuditEntry)
    with reading(engine) as session:
        return list(session.scalars(select(audit.c.action).where(audit.c.action.contains("tag")).order_by(audit.c.id)))


def test_tags_of_each_kind_are_made(client: FlaskClient, engine: Engine, rule: None) -> None:
    for source in ("hand", "rule", "measure"):
        assert "改名時，規則、活動和檢視會跟著改" in page(client, f"/console/tags/new?source={source}")
    made = {
        "講座": {"source": "hand", "kind": "fact"},
        "老客戶": {"source": "rule", **ROWS},
        "常客標籤": {"source": "rule", "rule": "常客", "until_rule": "常客", "foretells": "buys"},
        "大戶": {"source": "measure", "measure": "paid_total", "line": "top_percent", "amount": "５％"},
        "一萬": {"source": "measure", "measure": "paid_total", "line": "at_least", "amount": "１０，０００"},
    }
    for name, fields in made.items():
        answer = send(client, "/console/tags/new", name=name, **fields)
        assert answer.status_code == 303, name
        assert name in page(client, answer.location)
    assert (named(engine, "講座").source, named(engine, "講座").kind) == ("hand", "fact")
    rows = {"type": "all", "of": [{"type": "orders", "measure": "count", "at_least": "3"}]}
    assert named(engine, "老客戶").definition["when"] == rows
    assert (named(engine, "常客標籤").kind, named(engine, "常客標籤").definition["until_rule"]) == (
        "predictive",
        "常客",
    )
    assert named(engine, "大戶").line == "dynamic"
    assert named(engine, "大戶").definition["top_percent"] == "5"
    assert named(engine, "一萬").definition["at_least"] == "10000"
    assert audited(engine) == ["create tag"] * len(made)
    with reading(engine) as session:
        asked = request_for(session, SEGMENTS)
        assert asked is not None
        assert asked.done_at is None, "the worker judges everybody by them"


def test_a_tag_of_people_needs_no_computation(client: FlaskClient, engine: Engine) -> None:
    send(client, "/console/tags/new", source="hand", name="講座", press="save")
    with reading(engine) as session:
        assert request_for(session, SEGMENTS) is None


def test_what_is_wrong_is_said_and_what_was_typed_stays(client: FlaskClient, engine: Engine) -> None:
    wrong = send(client, "/console/tags/new", source="rule", name="x", **{**ROWS, "r0-at_least": "many"})
    assert wrong.status_code == 422
    assert wrong.get_data(as_text=True).count("message wrong") == 1
    assert 'value="many"' in wrong.get_data(as_text=True)
    for fields in (
        {"source": "measure", "name": "x", "measure": "paid_total", "line": "top_percent", "amount": "200"},
        {"source": "measure", "name": "x", "measure": "paid_total", "line": "at_least", "amount": ""},
        {"source": "rule", "name": "x", "json": "{"},
        {"source": "rule", "name": "x", "json": "[" * 100_000},
        {"source": "rule", "name": "x", "json": "5"},
        {"source": "hand", "name": "a;b"},
    ):
        answer = send(client, "/console/tags/new", **fields)
        assert answer.status_code == 422, fields
        assert "無法執行" in answer.get_data(as_text=True)
    with reading(engine) as session:
        assert session.scalars(select(Tag)).all() == []


def test_a_tags_saved_rules_stay_chosen_though_there_are_more_than_a_list_shows(
    client: FlaskClient, engine: Engine, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction(engine) as session:
        for name in ("a", "b", "c"):
            save_rule(session, name, {"type": "age", "at_least": 18}, clock(), actor="me")
        made = create_tag(session, "T", source="rule", definition={"rule": "b", "until_rule": "c"}, now=clock())
        address = f"/console/tags/{made.id}/edit"
    for most in (1, 500):
        monkeypatch.setattr("console.rules.choices.MOST", most)
        text = page(client, address)
        assert [text.count(f'<option value="{name}" selected>{name}</option>') for name in ("b", "c")] == [1, 1]


def test_a_tag_is_changed_and_its_line_holds_only_over_the_same_measure(
    client: FlaskClient, engine: Engine, clock: StillClock
) -> None:
    with transaction(engine) as session:
        top = {"measure": "paid_total", "top_percent": 10}
        one = create_tag(session, "大戶", source="measure", definition=top, now=clock())
        one.cut, one.problem = 5000.0, "old"
        tag_id = one.id
    address = f"/console/tags/{tag_id}/edit"
    assert 'value="10"' in page(client, address)
    form = {"measure": "paid_total", "line": "top_percent", "amount": "5"}
    assert send(client, address, **form, **opened(client, address)).status_code == 303
    kept = named(engine, "大戶")
    assert (kept.definition["top_percent"], kept.cut, kept.problem) == ("5", 5000.0, None)
    send(client, address, **{**form, "measure": "frequency"}, **opened(client, address))
    assert named(engine, "大戶").cut is None
    assert audited(engine) == ["change tag", "change tag"]


def test_what_a_colleague_changed_meanwhile_is_not_written_over_unseen(
    client: FlaskClient, engine: Engine, clock: StillClock
) -> None:
    with transaction(engine) as session:
        definition = {"measure": "paid_total", "at_least": 100}
        tag_id = create_tag(session, "大戶", source="measure", definition=definition, now=clock()).id
    address, form = f"/console/tags/{tag_id}/edit", {"measure": "paid_total", "line": "at_least"}
    mine = theirs = opened(client, address)
    assert send(client, address, amount="200", **form, **theirs).status_code == 303
    refused = send(client, address, amount="300", **form, **mine)
    assert (refused.status_code, "有人改過它" in refused.text) == (422, True)
    assert named(engine, "大戶").definition["at_least"] == "200"
    newer = re.findall(r'name="seen" value="([^"]+)"', refused.text)[0]
    assert send(client, address, amount="300", seen=newer, **form).status_code == 303
    assert named(engine, "大戶").definition["at_least"] == "300"


def test_a_rule_tag_may_not_ask_for_itself_when_it_is_changed(
    client: FlaskClient, engine: Engine, clock: StillClock
) -> None:
    with transaction(engine) as session:
        when = {"type": "age", "at_least": 30}
        tag_id = create_tag(session, "甲", source="rule", definition={"when": when}, now=clock()).id
        asks = {"when": {"type": "tag", "name": "甲"}}
        create_tag(session, "乙", source="rule", definition=asks, now=clock())
    address = f"/console/tags/{tag_id}/edit"
    answer = send(client, address, **{"r0-type": "tag", "r0-value": "乙"}, **opened(client, address))
    assert answer.status_code == 422
    assert "甲" in answer.get_data(as_text=True)
    added = send(client, address, press="add", new="tag", **ROWS).get_data(as_text=True)
    assert 'name="r1-type" value="tag"' in added
    assert named(engine, "甲").definition["when"] == {"type": "age", "at_least": 30}


def test_a_tag_is_archived_and_brought_back_and_stays_on(
    client: FlaskClient, engine: Engine, clock: StillClock, client_of: Callable[[Role], FlaskClient]
) -> None:
    with transaction(engine) as session:
        tag_id = create_tag(session, "講座", now=clock()).id
        who = make_customer(session).id or 0
        put_on(session, "講座", [who], actor="me", now=clock(), today=date(2026, 11, 2))
    address = f"/console/tags/{tag_id}"
    assert "已封存" in page(client, send(client, f"{address}/active", press="off").location)
    assert named(engine, "講座").is_active is False
    with reading(engine) as session:
        assert session.scalars(select(CustomerTag)).one().until is None
    send(client, f"{address}/active", press="on")
    assert named(engine, "講座").is_active is True
    reader = client_of(Role.READER)
    assert send(reader, f"{address}/active", press="off").status_code == 403
    assert reader.get("/console/tags/new").status_code == 403
    assert "封存" not in page(reader, address)


def test_what_cannot_be_seen_in_a_name_is_told_of(client: FlaskClient, engine: Engine) -> None:
    words = "名稱裡有全形空白或看不見的字元"
    for name in ("美白　化妝水", "媽媽 👨\u200d👩\u200d👧"):
        for address, fields in (
            ("/console/tags/new", {"source": "hand"}),
            ("/console/rules/edit", ROWS),
            ("/console/customers/views", {"rule": json.dumps({"type": "age", "at_least": 18})}),
        ):
            answer = send(client, address, name=name, **fields)
            told = answer if answer.status_code == 422 else client.get(answer.location)
            assert words in plain(told), address
    assert send(client, "/console/tags/new", source="hand", name="　春季 講座 ❤️　").status_code == 303
    assert named(engine, "春季 講座 ❤️").source == "hand"


def test_a_number_that_is_none_is_told_to_be_none(client: FlaskClient) -> None:
    for amount in ("", "一萬"):
        fields = {"measure": "paid_total", "line": "at_least", "amount": amount}
        answer = send(client, "/console/tags/new", source="measure", name="x", **fields)
        assert (answer.status_code, "「值」要填一個數字" in answer.text) == (422, True), amount
    nothing = send(client, "/console/tags/new", source="rule", name="x", **{"r0-type": "orders"})
    assert "條件：至少要有一個" in nothing.text


def test_a_definition_that_can_no_longer_be_read_is_told_of_in_the_readers_language(
    client: FlaskClient, engine: Engine, clock: StillClock, rule: None
) -> None:
    with transaction(engine) as session:
        number = create_tag(session, "常客標籤", source="rule", definition={"rule": "常客"}, now=clock()).id
        session.execute(delete(table_of(Rule)))
    assert "沒有「常客」這條規則" in page(client, f"/console/tags/{number}")


def test_pages_read_the_sizes_of_the_tags_that_they_show_and_of_no_other(
    client: FlaskClient, engine: Engine, clock: StillClock
) -> None:
    days = [date(2026, 10, 31), date(2026, 11, 1)]
    with transaction(engine) as session:
        for name in ("甲", "乙"):
            number = create_tag(session, name, now=clock()).id
            for people, day in enumerate(days, start=7):
                session.add(SegmentSizeOnDay(as_of=day, model="tag", segment=name, customers=people, value=Decimal(0)))
    with reading(engine) as session:
        only = read_sizes(session, "tag", names=["乙"])
    assert (only.days, only.over_time("乙"), only.over_time("甲")) == (days, [7, 8], [0, 0])
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    for address in ("/console/tags", f"/console/tags/{number}", "/console/customers?r0-type=tag&r0-value=乙"):
        assert page(client, address).count(">8<") + page(client, address).count("8 人"), address
    sizes = [one for one in asked if "segment_size_on_day.customers" in one]
    assert len(sizes) == 6
    assert all("segment_size_on_day.segment IN" in one for one in sizes)


def test_tags_that_the_product_makes_are_not_edited(client: FlaskClient, engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        create_group_tags(session, clock())
    tag_id = named(engine, "冠軍").id
    assert client.get(f"/console/tags/{tag_id}/edit").status_code == 400
    assert "編輯" not in page(client, f"/console/tags/{tag_id}")
    assert client.get("/console/tags/999/edit").status_code == 404


@pytest.mark.parametrize(("source", "definition"), TAGS)
def test_a_definition_comes_back_from_its_form_the_same(source: str, definition: dict[str, Any]) -> None:
    made = definition_of(form_of_tag("x", source, "fact", definition), definition)
    assert json.loads(json.dumps(made), parse_int=str) == json.loads(json.dumps(definition), parse_int=str)


def test_the_chart_of_a_predictive_tag_goes_from_old_to_new(
    client: FlaskClient, engine: Engine, clock: StillClock
) -> None:
    with transaction(engine) as session:
        definition = {"measure": "p_buy", "at_least": "0.5"}
        tag_id = create_tag(session, "會買", source="measure", definition=definition, now=clock()).id or 0
        for month, hits in ((8, 10), (9, 30)):
            days: dict[str, Any] = {"as_of": date(2026, month, 1), "until": date(2026, month + 1, 1)}
            counts: dict[str, Any] = {"people": 200, "tagged": 40, "happened": 50, "hits": hits}
            session.add(TagCheck(tag_id=tag_id, computed_at=clock(), **days, **counts))
    text = page(client, f"/console/tags/{tag_id}")
    assert "data-chart" in text
    table = text[text.index("期間結束") :]
    assert table.index("25.0%") < table.index("75.0%")
    assert table.index("2026-09-01") < table.index("2026-10-01")


def test_a_tag_is_renamed_on_the_console_and_that_is_audited(client: FlaskClient, engine: Engine) -> None:
    send(client, "/console/tags/new", source="hand", name="講座", press="save")
    tag_id = named(engine, "講座").id
    assert 'value="講座"' in page(client, f"/console/tags/{tag_id}/edit")
    fields = {"source": "hand", "kind": "fact", "press": "save", **opened(client, f"/console/tags/{tag_id}/edit")}
    for _ in range(2):  # a button that is pressed twice
        answer = send(client, f"/console/tags/{tag_id}/edit", name=" 春季講座 ", **fields)
    assert answer.status_code == 303
    assert named(engine, "春季講座").id == tag_id
    assert audited(engine) == ["create tag", "change tag", "rename tag", "change tag"]
    refused = send(client, f"/console/tags/{tag_id}/edit", source="hand", kind="fact", name="a;b", press="save")
    assert refused.status_code == 422
    assert "標籤的名稱要有" in plain(refused)


def test_a_nul_in_a_form_is_refused_with_a_sentence(client: FlaskClient) -> None:
    typed = send(client, "/console/rules/edit", name="a\x00b", press="save", **ROWS)
    assert typed.status_code == 400
    assert "（NUL）" in typed.get_data(as_text=True)
    written = send(client, "/console/rules/edit", name="a", press="save", json='{"type": "tag", "name": "\\u0000"}')
    assert written.status_code in (400, 422)
    assert "（NUL）" in written.get_data(as_text=True)


def test_a_tag_that_a_colleague_renames_meanwhile_keeps_its_new_name(client: FlaskClient, engine: Engine) -> None:
    send(client, "/console/tags/new", source="hand", name="講座", press="save")
    tag_id = named(engine, "講座").id
    address, fields = f"/console/tags/{tag_id}/edit", {"source": "hand", "press": "save"}
    mine = theirs = opened(client, address)
    assert send(client, address, name="春季講座", kind="fact", **fields, **theirs).status_code == 303
    done = send(client, address, name="講座", kind="model", **fields, **mine)
    assert done.status_code == 303
    assert "有人把「講座」改名為「春季講座」了" in page(client, done.location)
    assert named(engine, "春季講座").kind == "model"
    late = send(client, address, name="夏季講座", kind="model", **fields, **mine)
    assert (late.status_code, "有人改過它" in late.text) == (422, True)
    again = dict(re.findall(r'name="(was|seen)" value="([^"]*)"', late.text))
    assert again["was"] == "春季講座"
    assert send(client, address, name="夏季講座", kind="model", **fields, **again).status_code == 303
    assert named(engine, "夏季講座").id == tag_id
