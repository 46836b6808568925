"""Rules written as rows or JSON: told, counted, saved, and why somebody is in."""

import json
import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from console.rules.form import DEEPEST, MOST_ROWS, Row, as_rows, filled, form_of, place_of, read_form, rule_of
from console.words.refusals import told
from segmentation.rules.reading import RuleError, read_rule
from segmentation.rules.saved import load_rules, rule_named
from segmentation.rules.types import to_builtins
from segmentation.tags.catalogue import create_tag, tag_named
from store.asked import SEGMENTS, request_for
from store.engine import reading, transaction
from tests.conftest import StillClock
from tests.console.conftest import opened, page, plain, send
from tests.factories import make_account, make_channel, make_customer

ROWS = {"r0-type": "attribute", "r0-name": "city", "r0-value": "臺中", "join": "all"}


@pytest.fixture
def people(engine: Engine) -> None:
    with transaction(engine) as session:
        for number, city in enumerate(("臺中", "臺中", "臺北")):
            make_customer(session, member_id=f"M{number}", city=city)


def test_a_rule_is_told_counted_and_saved(client: FlaskClient, engine: Engine, people: None) -> None:
    assert "還沒有規則" in page(client, "/console/rules")
    assert "r0-type" in page(client, "/console/rules/edit")
    said = send(client, "/console/rules/said", **ROWS, who="M2").get_data(as_text=True)
    assert "2 人" in said
    assert "臺北" in said  # what was found of the person asked for
    assert "找不到「X」" in send(client, "/console/rules/said", **ROWS, who="X").get_data(as_text=True)
    assert send(client, "/console/rules/edit", name="臺中人", **ROWS).status_code == 303
    assert "臺中人" in page(client, "/console/rules")
    assert 'value="臺中"' in page(client, "/console/rules/edit?name=臺中人")
    assert "{&#34;type" in page(client, "/console/rules/edit?name=臺中人&json=1") or "&#34;type&#34;" in page(
        client, "/console/rules/edit?name=臺中人&json=1"
    )
    with reading(engine) as session:
        plain = to_builtins(rule_named(session, "臺中人").rule)
    assert plain["of"][0] == {"type": "attribute", "name": "city", "is": "臺中"}
    unsure = send(client, "/console/rules/delete", name="臺中人")
    assert "請先勾選確認" in page(client, unsure.location)
    with reading(engine) as session:
        assert load_rules(session).keys() == {"臺中人"}
    assert send(client, "/console/rules/delete", name="臺中人", sure="yes").status_code == 303
    with reading(engine) as session:
        assert load_rules(session) == {}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["台中"], {"臺中市": 3}),
        (["臺中市"], {"臺中": 1}),
        (["台中", "台中市"], {}),
        (["嘉義市"], {}),
        (["嘉義"], {"嘉義市": 1, "嘉義縣": 1}),
        (["市"], {"市市": 1}),
    ],
)
def test_a_city_that_is_written_otherwise_is_told_of_and_not_matched(
    client: FlaskClient, engine: Engine, asked: list[str], told: dict[str, int]
) -> None:
    with transaction(engine) as session:
        for city in ("臺中市", "臺中市", "台中市", "臺中", "嘉義市", "嘉義縣", "市市", None):
            make_customer(session, city=city)
    rule = {"type": "not", "of": {"type": "attribute", "name": "city", "in": asked}}
    said = plain(send(client, "/console/rules/said", json=json.dumps(rule)))
    noted = re.findall(r"有 (\d+) 位顧客的城市寫成「(.+?)」", said)
    assert {city: int(people) for people, city in noted} == told


def test_a_changed_rule_that_a_tag_follows_is_computed_next(
    client: FlaskClient, engine: Engine, clock: StillClock, people: None
) -> None:
    def saved(city: str) -> str:
        given = opened(client, "/console/rules/edit?name=在地人") | {**ROWS, "r0-value": city}
        answer = send(client, "/console/rules/edit", name="在地人", **given)
        assert answer.status_code == 303
        return page(client, answer.location)

    assert "規則「在地人」已儲存。" in saved("臺中")
    with transaction(engine) as session:
        create_tag(session, "在地", source="rule", definition={"rule": "在地人"}, now=clock())
    assert "規則「在地人」已儲存。" in saved("臺中")
    with reading(engine) as session:
        assert request_for(session, SEGMENTS) is None
    assert "規則「在地人」已儲存，背景程式會接著照它重算標籤。" in saved("臺北")
    with reading(engine) as session:
        assert request_for(session, SEGMENTS) is not None


def test_a_new_rule_never_takes_the_place_of_another(client: FlaskClient, engine: Engine, people: None) -> None:
    blank = opened(client, "/console/rules/edit")
    for _ in range(2):  # a button that is pressed twice
        assert send(client, "/console/rules/edit", name="臺中人", **blank, **ROWS).status_code == 303
    taken = send(client, "/console/rules/edit", name="臺中人", **blank, **{**ROWS, "r0-value": "臺北"})
    assert taken.status_code == 422
    assert "已經有「臺中人」這條規則" in plain(taken)
    assert 'value="臺北"' in taken.text
    assert (
        send(client, "/console/rules/edit", name="臺北人", **blank, **{**ROWS, "r0-value": "臺北"}).status_code == 303
    )
    mine = opened(client, "/console/rules/edit?name=臺北人")
    renamed = send(client, "/console/rules/edit", name="臺中人", **mine, **{**ROWS, "r0-value": "臺北"})
    assert "已經有「臺中人」這條規則" in plain(renamed)
    other = send(client, "/console/rules/edit", name="北部", press="copy", **mine, **{**ROWS, "r0-value": "臺北"})
    assert other.status_code == 303
    with reading(engine) as session:
        assert set(load_rules(session)) == {"臺中人", "臺北人", "北部"}
        assert to_builtins(rule_named(session, "臺中人").rule)["of"][0]["is"] == "臺中"


def test_a_rule_is_renamed_wherever_it_is_used_and_that_is_audited(
    client: FlaskClient, engine: Engine, clock: StillClock, people: None
) -> None:
    blank = opened(client, "/console/rules/edit")
    assert send(client, "/console/rules/edit", name="臺中人", **blank, **ROWS).status_code == 303
    with transaction(engine) as session:
        create_tag(session, "在地", source="rule", definition={"rule": "臺中人"}, now=clock())
    mine = theirs = opened(client, "/console/rules/edit?name=臺中人")
    changed = {**ROWS, "r0-value": "臺北"}
    done = send(client, "/console/rules/edit", name="臺北人", **mine, **changed)
    assert "規則「臺中人」改名為「臺北人」" in page(client, done.location)
    assert send(client, "/console/rules/edit", name="臺北人", **mine, **changed).status_code == 303  # pressed twice
    with reading(engine) as session:
        assert load_rules(session).keys() == {"臺北人"}
        assert to_builtins(rule_named(session, "臺北人").rule)["of"][0]["is"] == "臺北"
        assert tag_named(session, "在地").definition["rule"] == "臺北人"
    late = send(client, "/console/rules/edit", name="北部人", **theirs, **changed)
    assert "有人改過它" in late.text  # it is gone by the name that the form was opened on
    log = page(client, "/console/settings/audit")
    assert (log.count("規則改名"), log.count("儲存規則")) == (1, 3)


def test_a_renamed_rule_is_not_written_over_what_a_colleague_saved(
    client: FlaskClient, engine: Engine, people: None
) -> None:
    blank = opened(client, "/console/rules/edit")
    assert send(client, "/console/rules/edit", name="在地人", **blank, **ROWS).status_code == 303
    mine = theirs = opened(client, "/console/rules/edit?name=在地人")
    assert (
        send(client, "/console/rules/edit", name="在地人", **theirs, **{**ROWS, "r0-value": "臺北"}).status_code == 303
    )
    refused = send(client, "/console/rules/edit", name="中部人", **mine, **ROWS)
    assert "有人改過它" in refused.text
    with reading(engine) as session:
        assert load_rules(session).keys() == {"在地人"}
    seen = dict(re.findall(r'name="(was|seen)" value="([^"]*)"', refused.text))
    assert send(client, "/console/rules/edit", name="中部人", **seen, **ROWS).status_code == 303
    with reading(engine) as session:
        assert load_rules(session).keys() == {"中部人"}
    assert (
        send(client, "/console/rules/edit", name="{x", **opened(client, "/console/rules/edit"), **ROWS).status_code
        == 422
    )


def test_what_a_colleague_saved_meanwhile_is_not_written_over_unseen(
    client: FlaskClient, engine: Engine, people: None
) -> None:
    def saved(city: str, **seen: str) -> TestResponse:
        return send(client, "/console/rules/edit", name="在地人", **seen, **{**ROWS, "r0-value": city})

    assert saved("臺中", **opened(client, "/console/rules/edit")).status_code == 303
    mine = theirs = opened(client, "/console/rules/edit?name=在地人")
    assert saved("臺北", **theirs).status_code == 303
    refused = saved("高雄", **mine)
    assert refused.status_code == 422
    assert "有人改過它" in refused.text
    with reading(engine) as session:
        assert to_builtins(rule_named(session, "在地人").rule)["of"][0]["is"] == "臺北"
    seen = dict(re.findall(r'name="(was|seen)" value="([^"]*)"', refused.text))
    assert saved("高雄", **seen).status_code == 303
    assert saved("高雄", **seen).status_code == 303  # pressed twice


def test_why_is_asked_of_a_member_a_line_account_or_a_customers_number(client: FlaskClient, engine: Engine) -> None:
    with transaction(engine) as session:
        friend = make_customer(session, city="花蓮")
        account = make_account(session, make_channel(session), friend)
        make_customer(session, city="臺東", member_id=str(friend.id))  # a member id goes before a number
        other = make_customer(session, city="屏東")
        named = {"花蓮": account.line_user_id, "臺東": str(friend.id), "屏東": str(other.id)}
    for city, who in named.items():
        assert f"：{city}" in send(client, "/console/rules/said", **ROWS, who=who).get_data(as_text=True)
    for nobody in ("999", "9" * 30, "²"):
        assert "找不到" in send(client, "/console/rules/said", **ROWS, who=nobody).get_data(as_text=True)


def test_the_wrong_part_is_marked_and_what_was_typed_is_kept(client: FlaskClient, people: None) -> None:
    rows = {**ROWS, "r1-type": "age", "r1-at_least": "many"}
    answer = send(client, "/console/rules/edit", name="x", **rows)
    text = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert text.count("message wrong") == 1
    assert 'value="many"' in text
    assert "還不能使用" in send(client, "/console/rules/said", **rows).get_data(as_text=True)
    assert send(client, "/console/rules/edit", name="", **ROWS).status_code == 422


def test_rows_that_are_not_filled_in_yet_are_left_out_and_nothing_is_warned_of(
    client: FlaskClient, people: None
) -> None:
    def said(**rows: str) -> str:
        return send(client, "/console/rules/said", **rows).get_data(as_text=True)

    nothing = said(**{"r0-type": "segment", "r0-value": ""})
    assert 'class="warning"' not in nothing
    assert 'class="note"' in nothing
    partly = said(**ROWS, **{"r1-type": "orders", "r1-measure": "count", "r2-type": "any", "r2.0-type": "tag"})
    assert 'class="warning"' not in partly
    assert "還沒填的條件先不算" in partly
    assert "2 人" in partly
    assert "還沒填" not in said(**ROWS)
    assert 'class="warning"' in said(**{"r0-type": "age", "r0-at_least": "many", "r1-type": "tag"})
    assert send(client, "/console/rules/edit", name="x", **ROWS, **{"r1-type": "tag"}).status_code == 422


def test_buttons_add_and_drop_rows_and_turn_to_json(client: FlaskClient) -> None:
    text = send(client, "/console/rules/edit", press="add", new="orders", **ROWS).get_data(as_text=True)
    assert 'name="r1-category"' in text
    assert 'name="r0-type"' not in send(client, "/console/rules/edit", press="drop-0", **ROWS).get_data(as_text=True)
    assert "textarea" in send(client, "/console/rules/edit", press="json", **ROWS).get_data(as_text=True)


def test_a_choice_stays_though_there_are_more_than_a_list_shows(
    client: FlaskClient, engine: Engine, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction(engine) as session:
        for name in ("a", "b"):
            create_tag(session, name, now=clock())
    monkeypatch.setattr("console.rules.choices.MOST", 1)
    shown = send(client, "/console/rules/edit", press="add", new="age", **{"r0-type": "tag", "r0-value": "b"})
    chosen = '<option value="b" selected>b</option>'
    assert shown.get_data(as_text=True).count(chosen) == 1
    monkeypatch.undo()
    shown = send(client, "/console/rules/edit", press="add", new="age", **{"r0-type": "tag", "r0-value": "b"})
    assert shown.get_data(as_text=True).count(chosen) == 1


def test_conditions_are_numbered_for_screen_readers_as_mistakes_number_them(client: FlaskClient) -> None:
    nested = {**ROWS, "r1-type": "any", "r1.0-type": "age", "r1.0-at_least": "many", "press": "save", "name": "x"}
    text = send(client, "/console/rules/edit", **nested).get_data(as_text=True)
    assert "條件 2.1「至少」" in text
    assert "第 2.1 個條件" in text
    assert "一組條件 2<" in text
    assert "第 0 個條件" not in text


def test_groups_are_added_wrapped_and_dissolved(client: FlaskClient) -> None:
    text = send(client, "/console/rules/edit", press="add", new="any", **ROWS).get_data(as_text=True)
    assert 'name="r1-type"' in text
    assert 'name="r1.0-type" value="segment"' in text
    nested = {**ROWS, "r1-type": "any", "r1.0-type": "age", "r1.0-at_least": "35", "r1.1-type": "tag"}
    text = send(client, "/console/rules/edit", press="add-1", **nested, **{"new-1": "orders"}).get_data(as_text=True)
    assert 'name="r1.2-type" value="orders"' in text
    text = send(client, "/console/rules/edit", press="drop-1.1", **nested).get_data(as_text=True)
    assert 'name="r1.1-type"' not in text
    assert 'name="r1.0-at_least" value="35"' in text
    text = send(client, "/console/rules/edit", press="wrap-0", **ROWS).get_data(as_text=True)
    assert 'name="r0.0-value" value="臺中"' in text
    text = send(client, "/console/rules/edit", press="open-1", **nested).get_data(as_text=True)
    assert 'name="r1-at_least" value="35"' in text
    assert 'name="r2-type" value="tag"' in text


def test_a_nested_rule_is_counted_said_saved_and_opened_as_rows(
    client: FlaskClient, engine: Engine, people: None
) -> None:
    form = {
        "join": "all",
        "r0-type": "any",
        "r0.0-type": "attribute",
        "r0.0-name": "city",
        "r0.0-value": "臺中",
        "r0.1-type": "attribute",
        "r0.1-name": "city",
        "r0.1-value": "臺北",
        "r1-type": "attribute",
        "r1-name": "member_id",
        "r1-value": "M0",
        "r1-not": "on",
    }
    said = send(client, "/console/rules/said", **form).get_data(as_text=True)
    assert "2 人" in said
    assert "並非" in said
    assert send(client, "/console/rules/edit", name="兩個城市", **form).status_code == 303
    with reading(engine) as session:
        plain = to_builtins(rule_named(session, "兩個城市").rule)
    assert plain["of"][1] == {"type": "not", "of": {"type": "attribute", "name": "member_id", "is": "M0"}}
    text = page(client, "/console/rules/edit?name=兩個城市")
    assert 'name="r0.1-value" value="臺北"' in text
    assert 'name="r1-not" checked' in text
    json_text = send(client, "/console/rules/edit", press="json", **form).get_data(as_text=True)
    assert "textarea" in json_text
    back = send(client, "/console/rules/edit", press="rows", json=json.dumps(plain)).get_data(as_text=True)
    assert 'name="r0.1-value" value="臺北"' in back


RULES: list[dict[str, Any]] = [
    {"type": "all", "of": [{"type": "segment", "model": "nesl", "in": ["E"]}]},
    {"type": "any", "of": [{"type": "tag", "name": "VIP"}, {"type": "age", "at_least": "35", "at_most": "50"}]},
    {
        "type": "all",
        "of": [
            {
                "type": "orders",
                "measure": "sum",
                "at_least": "199.5",
                "window": {"last_days": 365},
                "products": {"categories": ["美白"], "labels": ["去屑", "抗油"]},
            },
            {"type": "not", "of": {"type": "clicks", "topics": ["C"], "at_least": "1"}},
            {"type": "clicks", "campaigns": [3, 12], "at_least": "1"},
            {"type": "birthday", "within_days": 7},
            {"type": "measure", "name": "r", "at_least": "4"},
            {"type": "attribute", "name": "is_following", "is": True},
            {"type": "attribute", "name": "city", "exists": False},
            {"type": "rule", "name": "常客"},
        ],
    },
    {
        "type": "all",
        "of": [
            {
                "type": "events",
                "kinds": ["product_view", "page_view"],
                "at_least": "5",
                "window": {"from": "2021-10-05", "until": "2021-10-28"},
            },
            {
                "type": "not",
                "of": {
                    "type": "any",
                    "of": [
                        {"type": "moved", "model": "nesl", "from": ["E"], "to": ["S1"], "window": {"last_days": 30}},
                        {"type": "all", "of": [{"type": "segment", "model": "rf11", "in": ["lost"], "days_ago": 30}]},
                        {"type": "tag", "name": "a", "days": {"at_least": "3"}},
                    ],
                },
            },
        ],
    },
]


def nested(depth: int) -> dict[str, Any]:
    """So many groups, one in the other."""
    rule: dict[str, Any] = {"type": "tag", "name": "a"}
    for _ in range(depth):
        rule = {"type": "all", "of": [rule, {"type": "tag", "name": "b"}]}
    return rule


@pytest.mark.parametrize("rule", RULES)
def test_rules_that_rows_can_hold_come_back_the_same(rule: dict[str, Any]) -> None:
    given = to_builtins(read_rule(json.dumps(rule)))
    found = as_rows(given)
    assert found is not None
    assert filled(read_form(form_of(found))) == found
    assert to_builtins(read_rule(json.dumps(rule_of(found)))) == given


def test_names_are_parted_by_any_comma_and_numbers_may_have_them() -> None:
    fields = {"measure": "sum", "at_least": "10,000", "category": "洗髮，潤髮、護髮,染髮"}
    made = rule_of(Row("orders", fields))
    assert made["at_least"] == "10000"
    assert made["products"] == {"categories": ["洗髮", "潤髮", "護髮", "染髮"]}


def test_numbers_may_be_typed_in_full_width() -> None:
    assert rule_of(Row("orders", {"measure": "sum", "at_least": "１０，０００．５"}))["at_least"] == "10000.5"
    assert rule_of(Row("tag", {"value": "a", "for_days": "１，０００"}))["days"] == {"at_least": "1000"}
    days = {"measure": "count", "at_least": "1", "last_days": "１，０００"}
    assert rule_of(Row("orders", days))["window"] == {"last_days": 1000}


def test_a_comma_that_parts_no_thousands_is_not_passed_over(client: FlaskClient, people: None) -> None:
    typed = {"r0-type": "orders", "r0-measure": "sum", "r0-at_least": "1,5"}
    assert "要是數字" in send(client, "/console/rules/said", **typed).get_data(as_text=True)


def test_attributes_and_kinds_of_events_go_by_the_names_that_pages_use(
    client: FlaskClient, engine: Engine, people: None
) -> None:
    in_words = {"r0-type": "attribute", "r0-name": "城市", "r0-value": "台中"}
    assert "2 人" in send(client, "/console/rules/said", **in_words).get_data(as_text=True)
    assert "2 人" in page(client, "/console/customers?r0-type=attribute&r0-name=城市&r0-value=台中")
    events = {"r1-type": "events", "r1-value": "瀏覽商品，page_view", "r1-at_least": "1"}
    assert send(client, "/console/rules/edit", name="x", **in_words, **events).status_code == 303
    with reading(engine) as session:
        plain = to_builtins(rule_named(session, "x").rule)["of"]
    assert plain[0]["name"] == "city"
    assert plain[1]["kinds"] == ["product_view", "page_view"]
    opened = page(client, "/console/rules/edit?name=x")
    assert 'name="r0-name" value="城市" list="rule-attributes"' in opened
    assert 'name="r1-value" value="瀏覽商品, 瀏覽網頁" list="rule-events"' in opened
    assert '<option value="會員編號">member_id</option>' in opened
    english = page(client, "/console/rules/edit?name=x&lang=en")
    assert 'name="r0-name" value="city" list="rule-attributes"' in english


def test_an_attribute_of_the_brand_with_the_name_of_another_is_left_to_json() -> None:
    assert as_rows({"type": "attribute", "name": "城市", "is": "臺中"}) is None
    assert as_rows({"type": "attribute", "name": "等級", "is": "金"}) is not None


@pytest.mark.parametrize(
    ("written", "read"),
    [("true", True), ("是", True), ("Yes", True), ("1", True), ("False", False), ("否", False), ("no", False)],
)
def test_an_attribute_that_is_true_or_false_is_read_as_people_write_it(written: str, read: bool) -> None:
    assert rule_of(Row("attribute", {"name": "is_following", "value": written}))["is"] is read
    assert rule_of(Row("attribute", {"name": "會員", "value": written}))["is"] == written


def test_a_move_between_two_models_is_refused() -> None:
    for to in ("nesl_personal=S1", "rf4=new"):
        with pytest.raises(RuleError, match=f"the model nesl has no segment '{to}'"):
            read_rule(rule_of(Row("moved", {"value": "nesl=E", "to": to})))
    assert rule_of(Row("moved", {"to": "rf4=new"})) == {"type": "moved", "model": "rf4", "to": ["new"]}


def test_what_is_neither_yes_nor_no_is_refused_not_taken_for_no() -> None:
    with pytest.raises(RuleError, match="must be true or false"):
        read_rule(rule_of(Row("attribute", {"name": "is_refused", "value": "也許"})))


@pytest.mark.parametrize("digits", [19, 20, 5_000])
@pytest.mark.parametrize(
    ("row", "place", "most"),
    [
        (Row("birthday"), "value", "366"),
        (Row("clicks", {"at_least": "1"}), "last_days", "36500"),
        (Row("clicks", {"at_least": "1"}), "campaign", "9223372036854775807"),
        (Row("segment", {"value": "nesl=E"}), "days_ago", "36500"),
    ],
)
def test_a_number_that_is_too_large_for_a_row_is_told_so(row: Row, place: str, most: str, digits: int) -> None:
    rule = rule_of(Row(row.kind, {**row.fields, place: "9" * digits}))
    with pytest.raises(RuleError) as caught:
        read_rule(rule)
    assert caught.value.sentence == f"must be {most} or less"
    assert told(caught.value, "zh").endswith(f"：最多是 {most}")


def test_several_segments_become_a_group_of_any() -> None:
    two = {"type": "segment", "model": "nesl", "in": ["E", "N"]}
    found = as_rows({"type": "all", "of": [two, {"type": "tag", "name": "a"}]})
    assert found is not None
    assert [row.fields["value"] for row in found.rows[0].rows] == ["nesl=E", "nesl=N"]
    assert found.rows[0].kind == "any"


@pytest.mark.parametrize(
    "rule",
    [
        {"type": "not", "of": {"type": "not", "of": {"type": "tag", "name": "a"}}},
        {"type": "clicks", "topics": ["維他命、礦物質"], "at_least": 1},
        {"type": "orders", "measure": "count", "more_than": 2},
        {"type": "moved", "model": "nesl", "from": ["E", "N"]},
        {"type": "attribute", "name": "點數", "is": 5},  # a number: 5.0 is the same, which the text "5" is not
        {"type": "attribute", "name": "膚質", "is": " 油性"},
        {"type": "any", "of": [{"type": "tag", "name": f"t{number}"} for number in range(MOST_ROWS + 1)]},
        nested(DEEPEST + 1),
    ],
)
def test_what_rows_cannot_say_is_left_to_json(rule: dict[str, Any]) -> None:
    assert as_rows(to_builtins(read_rule(json.dumps(rule)))) is None


def test_as_many_rows_and_groups_as_a_form_takes_come_back() -> None:
    full = [{"type": "tag", "name": f"t{number}"} for number in range(MOST_ROWS)]
    for rule in ({"type": "any", "of": full}, nested(DEEPEST)):
        found = as_rows(rule)
        assert found is not None
        assert rule_of(read_form(form_of(found))) == rule


def test_the_place_of_a_mistake_is_found_through_groups_and_not() -> None:
    wrong = Row("age", {"at_least": "many"})
    group = Row("all", rows=(Row("age", {"at_least": "1"}), Row("any", rows=(wrong,), is_not=True)))
    with pytest.raises(RuleError) as found:
        read_rule(json.dumps(rule_of(group)))
    assert place_of(group, found.value.path) == "1.0"


def test_a_form_that_was_just_opened_is_told_what_to_do_not_what_is_wrong(client: FlaskClient) -> None:
    for rows in ({}, {"r0-type": "segment", "r0-value": ""}, {"r0-type": "orders", "r0-measure": "count"}):
        said = send(client, "/console/rules/said", **rows).get_data(as_text=True)
        assert "填好一個條件" in said, rows
        assert "還不能使用" not in said


def test_a_rule_that_a_colleague_renames_meanwhile_is_saved_under_its_new_name(
    client: FlaskClient, engine: Engine, people: None
) -> None:
    address, changed = "/console/rules/edit", {**ROWS, "r0-value": "臺北"}
    assert send(client, address, name="在地人", **opened(client, address), **ROWS).status_code == 303
    mine = theirs = opened(client, f"{address}?name=在地人")
    assert send(client, address, name="附近的人", **theirs, **ROWS).status_code == 303
    done = send(client, address, name="在地人", **mine, **changed)
    assert done.status_code == 303
    assert "有人把「在地人」改名為「附近的人」了" in page(client, done.location)
    with reading(engine) as session:
        assert load_rules(session).keys() == {"附近的人"}
        assert to_builtins(rule_named(session, "附近的人").rule)["of"][0]["is"] == "臺北"


def test_a_rule_that_two_rename_is_told_of_to_the_second(client: FlaskClient, engine: Engine, people: None) -> None:
    address = "/console/rules/edit"
    assert send(client, address, name="在地人", **opened(client, address), **ROWS).status_code == 303
    mine = theirs = opened(client, f"{address}?name=在地人")
    assert send(client, address, name="附近的人", **theirs, **ROWS).status_code == 303
    refused = send(client, address, name="臺中人", **mine, **ROWS)
    assert (refused.status_code, "有人改過它" in refused.text) == (422, True)
    again = dict(re.findall(r'name="(was|id|seen)" value="([^"]*)"', refused.text))
    assert again["was"] == "附近的人"
    assert send(client, address, name="臺中人", **again, **ROWS).status_code == 303
    with reading(engine) as session:
        assert load_rules(session).keys() == {"臺中人"}


@pytest.mark.parametrize("key", ["", "1", "9" * 5000, "²@x", "1@2026-01-01"])
def test_a_form_that_names_no_rule_by_its_key_goes_by_the_name(
    client: FlaskClient, engine: Engine, people: None, key: str
) -> None:
    address = "/console/rules/edit"
    assert send(client, address, name="在地人", **opened(client, address), **ROWS).status_code == 303
    mine = {**opened(client, f"{address}?name=在地人"), "id": key}
    assert send(client, address, name="在地人", **mine, **{**ROWS, "r0-value": "臺北"}).status_code == 303
