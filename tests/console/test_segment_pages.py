"""Segments, who moved, predictions and demand on the console: what the computations stored is what is shown."""

import html
import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from html import unescape
from typing import Any
from urllib.parse import unquote

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, select

from console.access.roles import Role
from console.frame.counts import EXACT_UP_TO, Count, count_rows
from console.frame.spark import HEIGHT, MARGIN, WIDTH, spark
from console.segments.sizes import Sizes, read_sizes
from segmentation.demand.growing import Group
from segmentation.demand.run import Demand, keep_demand
from segmentation.demand.shortage import COLUMNS, measured
from segmentation.history import history_of, latest_run, transitions
from segmentation.models import GROUPS, MODELS
from segmentation.movement import find_asked_moves, moved
from segmentation.renew import Ground, renew_everyone
from segmentation.settings import SegmentSettings
from segmentation.tags.definitions import GROUP_TAGS
from store.changes import note_changes
from store.engine import reading, table_of, transaction
from store.models import (
    Customer,
    CustomerPrediction,
    CustomerSegment,
    Lease,
    PredictionRun,
    SegmentMovement,
    SegmentRun,
    SegmentSizeOnDay,
)
from tests.conftest import StillClock
from tests.console.conftest import page, send, token_of, without_token
from tests.console.insights import FIRST, LAST, TAIPEI, cells, compute, holders
from tests.console.insights import shop as shop
from tests.factories import make_customer, make_order


def looks_at(text: str) -> str:
    """Where the part that waits for the worker looks again and again."""
    (address,) = re.findall(r'id="moves-waiting"[^>]* hx-get="([^"]+)"', text)
    return unescape(address)


def people_of(sizes: Sizes, day: date) -> dict[str, int]:
    return {name: size.customers for name, size in sizes.on[day].items()}


def test_who_moved_is_what_replaying_the_whole_history_says(engine: Engine, shop: dict[str, int]) -> None:
    with reading(engine) as session:
        for model in MODELS:
            sizes = read_sizes(session, model)
            assert sizes.days == [FIRST, LAST]
            found = moved(session, model, FIRST, LAST, people_of(sizes, LAST)).counts
            assert found is not None
            replayed = transitions(session, model, FIRST, LAST)
            assert {pair: count for pair, count in found.items() if count} == replayed, model
            assert any(before != after for before, after in replayed)


def test_whom_changed_settings_put_elsewhere_is_told_of_and_did_not_move(
    client: FlaskClient, engine: Engine, clock: StillClock, shop: dict[str, int]
) -> None:
    day = LAST + timedelta(days=1)
    renew_everyone(Ground(engine, TAIPEI, clock), SegmentSettings(cycle=200), as_of=day)
    with reading(engine) as session:
        for first in (FIRST, LAST):
            found = moved(session, "nesl", first, day, people_of(read_sizes(session, "nesl"), day))
            assert found.counts is not None
            counts = {pair: count for pair, count in found.counts.items() if count}
            assert counts == transitions(session, "nesl", first, day)
            assert any(before != after for before, after in counts) == (first == FIRST)
        moves = [move for who in range(1, 31) for move in history_of(session, who)["nesl"]]
    assert found.relabelled > 0
    assert f"{found.relabelled} 人因此被重新劃分" in page(client, "/console/segments/nesl")
    assert "重新劃分" not in page(client, f"/console/segments/nesl?from={FIRST}&to={LAST}")
    one = next(move.customer_id for move in moves if move.is_relabelled and move.before)
    assert "重新劃分" in page(client, f"/console/customers/{one}")


def test_the_matrix_is_shown_with_the_share_of_each_row(
    client: FlaskClient, engine: Engine, shop: dict[str, int]
) -> None:
    with reading(engine) as session:
        counts = transitions(session, "nesl", FIRST, LAST)
    text = page(client, "/console/segments/nesl")
    matrix = text[text.index('class="matrix"') :]
    order = [segment.name for segment in MODELS["nesl"]]
    for before in MODELS["nesl"]:
        row = cells(matrix, before.chinese)[1:]
        whole = sum(count for (was, _), count in counts.items() if was == before.name)
        wanted = [counts.get((before.name, after), 0) for after in order]
        assert row == [f"{count} {count / whole:.1%}" if count else "·" for count in wanted]


def test_when_a_model_was_last_computed_stands_on_its_page(client: FlaskClient, shop: dict[str, int]) -> None:
    for model in MODELS:
        text = page(client, f"/console/segments/{model}")
        assert f"最近計算 2026-11-02 13:00 · 資料截至 {LAST} 零時" in " ".join(re.sub(r"<[^>]+>", " ", text).split())


def test_a_customers_page_says_when_the_segments_were_last_found_to_be_so(
    client: FlaskClient, engine: Engine, shop: dict[str, int]
) -> None:
    row = table_of(CustomerSegment)
    with reading(engine) as session:
        run = latest_run(session)
        assert run is not None
        as_before = session.scalars(select(row.c.customer_id).where(row.c.computed_at < run.started_at)).all()
    assert as_before  # whose rows the second run left as they were
    text = " ".join(re.sub(r"<[^>]+>", " ", page(client, f"/console/customers/{as_before[0]}")).split())
    assert "最近計算 2026-11-02 13:00" in text
    assert "第一次劃分" in text
    assert "重新劃分" not in text


def test_the_settings_beside_the_sizes_of_the_newest_day_are_those_that_made_them(
    client: FlaskClient, engine: Engine, clock: StillClock, shop: dict[str, int]
) -> None:
    past = FIRST - timedelta(days=5)
    clock.advance(hours=1)
    renew_everyone(Ground(engine, TAIPEI, clock), SegmentSettings(cycle=77, loyalty_months=6), as_of=past)
    for address in ("/console/segments", "/console/segments/nesl"):
        text = page(client, address)
        assert "購買週期 30 天" in text
        assert "77 天" not in text
        assert f"資料截至 {LAST} 零時" in text
        assert f"資料截至 {past}" not in text


def test_days_that_were_not_computed_fall_back_to_the_newest_two(client: FlaskClient, shop: dict[str, int]) -> None:
    def shown(query: str) -> str:
        return without_token(page(client, f"/console/segments/rf11{query}"))

    plain = shown("")
    for asked in ("from=1999-01-01&to=2030-01-01", "from=x&to=y", f"from={LAST}&to={FIRST}", f"from={FIRST}"):
        assert shown(f"?{asked}") == plain
    assert f"{FIRST} → {LAST}" in plain


def test_one_day_of_results_has_no_movement_yet(client: FlaskClient, engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        make_order(session, make_customer(session), ordered_at=clock() - timedelta(days=90))
    compute(engine, clock, LAST)
    assert "要有兩天的結果才能比較" in page(client, "/console/segments/nes")


def test_every_model_is_shown_with_its_settings_sizes_and_advice(
    client: FlaskClient, engine: Engine, shop: dict[str, int]
) -> None:
    text = page(client, "/console/segments")
    for model, segments in MODELS.items():
        part = text[text.index(f'id="{model}"') :]
        part = part[: part.index("</table>")]
        with reading(engine) as session:
            newest = read_sizes(session, model).newest
        for segment in segments:
            found = cells(part, segment.chinese)
            assert found[1] == str(newest[segment.name].customers if segment.name in newest else 0), segment
            assert segment.advice_chinese in part
        assert "設定" in part
    with reading(engine) as session:
        run = session.scalars(select(SegmentRun).order_by(table_of(SegmentRun).c.id.desc())).first()
        assert run is not None
    points = " · ".join(str(point) for point in run.settings["scores"]["r"]["cut_points"])
    assert f"R 切點 {points} 天（分位數）" in text
    proposed = run.settings["proposed_cycle_days"]
    assert proposed != 30
    assert f"購買週期 30 天 · 自訂（訂單提議 {proposed} 天）" in text
    assert f"R 高分門檻 ≥ {run.settings['scores']['r']['high_from']} 分（高於平均）" in text
    assert f"全體平常間隔 {run.settings['population']['usual_gap_days']} 天" in text
    assert "全體間隔的權重 3 個間隔" in text
    assert f"資料截至 {LAST} 零時" in text
    assert "百分位 50" in text
    back = holders(engine, "回頭客")
    assert cells(text, "回頭客")[1:3] == [str(len(back)), f"{len(back) / run.customer_count:.1%}"]
    groups = text[text.index('id="groups"') :]
    assert [name for name, _ in GROUP_TAGS.values() if f'target=tag:{name}"' not in unquote(groups)] == []
    assert [one.advice_chinese for one in GROUPS if one.advice_chinese not in groups] == []
    grid = re.findall(r"<b>([\d,]+)</b>", text)
    assert len(grid) == 25
    assert sum(map(int, grid)) == sum(size.customers for size in sizes_of(engine, "rf11").values())


def sizes_of(engine: Engine, model: str) -> Any:
    with reading(engine) as session:
        return read_sizes(session, model).newest


def test_a_computation_that_has_died_is_told(client: FlaskClient, engine: Engine, clock: StillClock) -> None:
    lease: dict[str, Any] = {
        "holder": "dead",
        "taken_at": clock() - timedelta(hours=1),
        "lease_until": clock() - timedelta(minutes=50),
    }
    with transaction(engine) as session:
        session.add(Lease(name="changes", **lease))
        note_changes(session, [make_customer(session).id or 0], clock())
    assert "計算卡住了" in page(client, "/console/segments")
    assert "is stuck" in page(client, "/console/?lang=en")
    with transaction(engine) as session:
        session.execute(table_of(Lease).update().values(lease_until=clock() + timedelta(minutes=1)))
    assert "is stuck" not in page(client, "/console/segments")


def test_a_customers_page_has_segments_history_tags_and_predictions(
    client: FlaskClient, engine: Engine, clock: StillClock, shop: dict[str, int]
) -> None:
    who = holders(engine, "老客戶")[-1]
    with transaction(engine) as session:
        made = clock()
        run = PredictionRun(as_of=LAST, state="finished", cycle_days=30, started_at=made, lease_until=made)
        session.add(run)
        session.flush()
        money: dict[str, Any] = {"spend_90": Decimal("120.50"), "spend_365": Decimal(400)}
        chances: dict[str, Any] = {"p_buy": 0.42, "churn_risk": 0.1, "expected_orders": 0.7}
        session.add(CustomerPrediction(customer_id=who, run_id=run.id or 0, **chances, **money))
    text = page(client, f"/console/customers/{who}")
    for shown in ("42.0%", "10.0%", "0.70", "120.50", "400", "發生過的事", "個人購買週期", "百分位", "老客戶"):
        assert shown in text, shown
    other = page(client, "/console/customers/1")
    assert "五月場" in other
    assert "這位顧客沒有預測" in other


def test_predictions_show_their_quality_beside_others_or_why_there_are_none(
    client: FlaskClient, engine: Engine, clock: StillClock
) -> None:
    way = {"rmse_orders": 1.5, "rmse_spend": 20.0, "orders_ratio": 0.98, "buyers_ratio": None, "spend_ratio": 1.1}
    band = {"customers": 10, "predicted": 0.25, "actual": 0.3}
    held: dict[str, Any] = {"as_of": "2026-09-01", "days": 30, "customers": 100, "buyers": 20, "orders": 31}
    for name, auc in (("learned", 0.8123), ("bgnbd", 0.79), ("rfm_score", None)):
        held[name] = {"auc": auc, **way, "calibration": [band]}
    quality = {
        "buy": {"horizon_days": 30, "problem": None, "held_back": held},
        "spend_365": {"horizon_days": 365, "problem": "too few orders <b>"},
    }
    times: dict[str, Any] = {"started_at": clock(), "lease_until": clock(), "finished_at": clock()}
    with transaction(engine) as session:
        session.add(PredictionRun(as_of=LAST, state="finished", cycle_days=30, quality=quality, **times))
    text = page(client, "/console/predictions")
    assert cells(text, "本系統")[1:] == ["0.812", "1.500", "–", "0.98", "20.0", "1.10"]
    assert cells(text, "BG/NBD")[1] == "0.790"
    assert cells(text, "RFM 分數")[1] == "–"
    assert "too few orders &lt;b&gt;" in text
    [risky] = re.findall(r'href="([^"]*r0-measure=churn_risk[^"]*)"', text)
    assert "流失風險 至少 0.7" in page(client, unescape(risky))
    with transaction(engine) as session:
        session.add(PredictionRun(as_of=LAST, state="off", problem="only 3 customers", cycle_days=30, **times))
    text = page(client, "/console/predictions?lang=en")
    assert "Predictions are off" in text
    assert "only 3 customers" in text
    assert "r0-measure" not in text
    late: dict[str, Any] = {"started_at": clock() - timedelta(hours=2), "lease_until": clock() - timedelta(hours=1)}
    with transaction(engine) as session:
        session.add(PredictionRun(as_of=LAST, state="running", cycle_days=30, **late))
    assert "is stuck" in page(client, "/console/predictions")


def test_a_model_shows_what_its_segments_are_worth_and_how_sure_that_is(
    client: FlaskClient, engine: Engine, clock: StillClock, shop: dict[str, int]
) -> None:
    assert "還沒有終身價值" in page(client, "/console/segments/nes")
    kept = [
        {"segment": "N", "customers": 3, "past": "300", "predicted": 2, "coming": ["240", "100.50", "400"]},
        {"segment": "E", "customers": 0, "past": "0", "predicted": 0, "coming": ["0", "0", "0"]},
    ]
    times: dict[str, Any] = {"started_at": clock(), "lease_until": clock(), "finished_at": clock()}
    known: dict[str, Any] = {"as_of": LAST, "cycle_days": 30, "segment_values": {"nes": kept}, **times}
    with transaction(engine) as session:
        session.add(PredictionRun(state="finished", quality={"spend_365": {"problem": None}}, **known))
    part = page(client, "/console/segments/nes")
    part = part[part.index('id="value"') :]
    assert cells(part, "新客") == ["新客", "3", "300", "100", "2", "240", "120", "100.50 – 400"]
    assert cells(part, "主力客")[-4:] == ["0", "–", "–", "–"]
    with transaction(engine) as session:
        session.add(PredictionRun(state="off", problem="only 3 customers", quality={}, **known))
    part = page(client, "/console/segments/nes?lang=en")
    assert "Nothing is expected" in part
    assert "only 3 customers" in part
    assert "May well lie between" not in part


def test_demand_shows_what_is_short_and_which_words_no_product_answers(
    client: FlaskClient, engine: Engine, clock: StillClock
) -> None:
    rows = {
        "group": ["all", "all", "nesl=E"],
        "dimension": ["label", "category", "topic"],
        "value": ["頭皮養護", "洗髮", "<b>"],
        "people": [80, 90, 30],
        "group_people": [100, 100, 40],
        "voices": [70.0, 20.0, 30.0],
        "products": [1, 15, 0],
        "looked_share": [0.7, 0.2, 0.5],
        **{f"{name}_share": [None, None, 0.25] for name in ("clicked", "asked", "bought")},
    }
    short = measured(pa.table(rows), 20).select(list(COLUMNS))
    words = pa.table({"group": ["all"], "word": ["生髮水"], "people": [12]})
    groups = [Group("all", 100, 100), Group("nesl=E", 20, 40), Group("tag:<i>", 0, 30)]
    keep_demand(engine, Demand(LAST, 90, 20, groups, short, words), clock)
    text = page(client, "/console/demand")
    found = cells(text, "頭皮養護")
    assert found[0] == "頭皮養護 標籤（商品）"
    assert found[1:4] == ["80", "69.8%", "1 5.0%"]
    assert found[5].startswith("× 9.8")
    assert found[6:8] == ["70.0%", "–"]
    assert "洗髮" not in text, "what is not short is not listed"
    assert "生髮水" in text
    assert "活躍狀態（NESL） · 主力客" in text
    assert "20 → 40" in text
    assert "<b>&" not in text
    assert "&lt;i&gt;" in text
    assert "沒有明顯缺少的商品" in text
    assert "標籤 &lt;i&gt;" in text
    assert "Tag &lt;i&gt;" in page(client, "/console/demand?lang=en")


# --- parts -----------------------------------------------------------------------------------------------------


def test_a_line_begins_at_zero_and_keeps_inside_the_drawing() -> None:
    drawn = spark([FIRST, LAST, "today"], [0, 500, 1000])
    places = [tuple(map(float, place.split(","))) for place in drawn.points.split()]
    assert places == [(MARGIN, HEIGHT - MARGIN), (WIDTH / 2, HEIGHT / 2), (WIDTH - MARGIN, MARGIN)]
    assert drawn.said == "2026-09-01 0|2026-11-01 500|today 1,000"
    assert (drawn.first, drawn.last) == (0, 1000)
    assert spark([], []).points == spark([FIRST], [7]).points == ""
    assert "nan" not in spark([FIRST, LAST], [0, 0]).points


def test_few_rows_are_counted_and_many_estimated(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction(engine) as session:
        for _ in range(7):
            make_customer(session)
    table = table_of(Customer)
    with reading(engine) as session:
        assert count_rows(session, table) == Count(7)
        assert count_rows(session, table, table.c.id > 5) == Count(2)
    monkeypatch.setattr("console.frame.counts.EXACT_UP_TO", 3)
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("ANALYZE customer")
    with reading(engine) as session:
        assert count_rows(session, table) == Count(7, is_exact=False)
        assert count_rows(session, table, table.c.id > 1) == Count(6, is_exact=False)  # by a sample of ids, here all
    assert EXACT_UP_TO == 200_000


def test_what_a_page_has_no_time_to_read_is_asked_of_the_worker_and_then_shown(
    client: FlaskClient,
    client_of: Callable[[Role], FlaskClient],
    engine: Engine,
    clock: StillClock,
    shop: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    matrix = re.compile(r'<table class="matrix">.*?</table>', re.DOTALL)
    model, part = "/console/segments/nesl", "/console/segments/nesl/moves"
    (read,) = matrix.findall(page(client, model))
    monkeypatch.setattr("segmentation.movement.MOST_CHANGES", 0)
    asking = page(client, model)
    assert f'hx-post="{part}"' in asking
    assert matrix.findall(asking) == []
    reader, days = client_of(Role.READER), {"from": str(FIRST), "to": str(LAST)}
    assert send(reader, part, **days).headers["Location"].startswith(f"{model}?from={FIRST}")
    waiting = reader.get(part, query_string=days)
    assert 'hx-trigger="every 2s"' in waiting.text
    assert "HX-Refresh" not in waiting.headers
    assert "背景程式沒有回應" not in waiting.text
    clock.advance(minutes=3)
    assert "背景程式沒有回應" in reader.get(part, query_string=days).text
    assert find_asked_moves(engine, clock) == 1
    assert reader.get(part, query_string=days).headers["HX-Refresh"] == "true"
    assert matrix.findall(page(client, model)) == [read]


def test_a_day_of_a_longer_view_is_the_one_that_is_asked_for(
    client: FlaskClient, engine: Engine, clock: StillClock, shop: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    back = LAST - timedelta(days=90)
    with transaction(engine) as session:
        for day in (LAST - timedelta(days=n) for n in range(1, 101)):
            if day != FIRST:
                session.add(SegmentSizeOnDay(as_of=day, model="nesl", segment="E", customers=1, value=Decimal(0)))
    monkeypatch.setattr("segmentation.movement.MOST_CHANGES", 0)
    model, part = "/console/segments/nesl", "/console/segments/nesl/moves"
    shown = page(client, f"{model}?days=365&from={back}")
    form = dict(re.findall(r'name="(from|to|days)" value="([^"]+)"', shown[shown.index('id="moves-waiting"') :]))
    assert form == {"from": str(back), "to": str(LAST), "days": "365"}
    by_script = client.post(part, data={"csrf_token": token_of(client), **form}, headers={"HX-Request": "true"})
    assert "HX-Refresh" not in by_script.headers
    assert send(client, part, **form).headers["Location"] == f"{model}?from={back}&to={LAST}&days=365#moves"
    with reading(engine) as session:
        (asked,) = session.scalars(select(SegmentMovement))
        assert (asked.first_day, asked.last_day) == (back, LAST)
    looking = looks_at(page(client, f"{model}?days=365&from={back}&to={LAST}"))
    assert looking == looks_at(by_script.text) == f"{part}?seen=asked&from={back}&to={LAST}&days=365"
    assert "HX-Refresh" not in client.get(looking).headers
    assert find_asked_moves(engine, clock) == 1
    assert client.get(looking).headers["HX-Refresh"] == "true"
    assert '<table class="matrix">' in page(client, f"{model}?days=365&from={back}")


def test_another_span_of_days_keeps_the_days_that_are_compared(
    client: FlaskClient, engine: Engine, shop: dict[str, int]
) -> None:
    with transaction(engine) as session:
        between = LAST - timedelta(days=1)
        session.add(SegmentSizeOnDay(as_of=between, model="nesl", segment="E", customers=1, value=Decimal(0)))
    model, compared = "/console/segments/nesl", f"&from={FIRST}&to={LAST}"

    def tabs(address: str) -> list[str]:
        return [html.unescape(one) for one in re.findall(r'<a href="([^"]+#history)"', page(client, address))]

    for asked, kept in (("", ""), (f"&from={between}", ""), (compared, compared), (f"&from={FIRST}", compared)):
        assert tabs(f"{model}?days=90{asked}") == [f"{model}?days={days}{kept}#history" for days in (26, 90, 365)]


def test_who_waits_for_the_worker_is_told_something_only_when_there_is_something_new(
    client: FlaskClient, engine: Engine, clock: StillClock, shop: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segmentation.movement.MOST_CHANGES", 0)
    part = "/console/segments/nesl/moves"
    send(client, part, **{"from": str(FIRST), "to": str(LAST)})
    looking = looks_at(page(client, "/console/segments/nesl"))
    for _ in range(2):
        nothing = client.get(looking)
        assert (nothing.status_code, nothing.data) == (204, b"")
    clock.advance(minutes=3)
    alarmed = client.get(looking)
    assert (alarmed.status_code, alarmed.text.count('role="alert"')) == (200, 1)
    assert client.get(looks_at(alarmed.text)).status_code == 204, "an alert is given once"
    compute(engine, clock, FIRST)  # anew: what was asked for holds no longer
    anew = client.get(looks_at(alarmed.text))
    assert f'hx-post="{part}"' in anew.text
    assert "HX-Refresh" not in anew.headers


def test_a_model_shows_its_sizes_of_a_month_or_a_year(
    client: FlaskClient, engine: Engine, shop: dict[str, int]
) -> None:
    with transaction(engine) as session:
        for back in range(1, 101):
            day = FIRST - timedelta(days=back)
            session.add(SegmentSizeOnDay(as_of=day, model="nesl", segment="E", customers=back, value=Decimal(0)))
    for asked, days in (("", 26), ("?days=90", 90), ("?days=365", 102), ("?days=9999", 26)):
        text = page(client, f"/console/segments/nesl{asked}")
        drawn = text[text.index('id="history"') :]
        assert drawn[: drawn.index("</table>")].count("<tr><td>") == days


def test_sizes_over_a_week_need_a_day_that_is_a_week_older(engine: Engine) -> None:
    days = [LAST - timedelta(days=back) for back in (0, 6, 7, 20)]
    with transaction(engine) as session:
        for place, day in enumerate(days):
            session.add(SegmentSizeOnDay(as_of=day, model="tag", segment="a", customers=10 - place, value=Decimal(0)))
    with reading(engine) as session:
        sizes = read_sizes(session, "tag")
    assert sizes.days == sorted(days)
    former = sizes.a_week_before()
    assert former is not None
    assert former["a"].customers == 8
    assert sizes.over_time("a") == [7, 8, 9, 10]
    assert sizes.over_time("gone") == [0, 0, 0, 0]
