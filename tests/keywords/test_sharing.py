"""The report for others: tables, a page that stands by itself, and reports sent once for each period."""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zipfile import ZipFile
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, select, update
from sqlmodel import Session
from typer.testing import CliRunner

from keywords.effects.learning import NothingToLearn
from keywords.report import Report, TermRow
from keywords.sharing.chart import both_ends
from keywords.sharing.deliveries import CLAIM, GIVE_UP, KEY_LIFE, PUT_OFF, claim_deliveries, plan_deliveries
from keywords.sharing.page import report_page
from keywords.sharing.parts import COLUMNS, Part, report_parts, rows_of
from keywords.sharing.schedule import ReportSettings, change_settings, message_of, read_settings, settings_from
from service.cli import app
from service.keyword_report_delivery import plan_period, send_keyword_reports
from service.settings import Settings
from simulator.channels import ChannelOptions, Friend
from simulator.faults import Fault, FaultKind
from simulator.server import Simulator, SimulatorThread
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import AuditEntry, ConsoleLine, ConsoleUser, KeywordReportDelivery, LineAccount
from tests.conftest import StillClock
from tests.factories import make_account, make_channel, make_customer
from tests.keywords.test_report import learned, store_results

TAIPEI = ZoneInfo("Asia/Taipei")
ANNA, BEN, CHO = "anna@brand.example", "ben@brand.example", "cho@brand.example"
LINE_OF = {ANNA: f"U{1:032x}", BEN: f"U{2:032x}"}
EVIL = '<script src="https://evil.example/x.js">alert(1)</script>'
NOON = datetime(2026, 11, 29, 4, 0, tzinfo=UTC)


def row(term: str, effect: float, **fields: Any) -> TermRow:
    counts = {"messages": 9, "recipients": 900, "clicks": 30, "experiments": 0, "probability_positive": 0.5}
    return TermRow(term, **{"effect": effect, "low": effect - 0.1, "high": effect + 0.1, **counts, **fields})


def report(*rows: TermRow, to_try: tuple[TermRow, ...] = ()) -> Report:
    known: dict[str, Any] = dict.fromkeys(Report.__dataclass_fields__, 0)
    return Report(**{**known, "terms": list(rows), "to_try": list(to_try), "messages": 12, "computed_at": NOON})


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_stands_by_itself_and_escapes_every_word() -> None:
    parts = [
        Part(None, None, report(row(EVIL, 0.3, trend="worn"), row("毛衣", -0.3), to_try=(row(EVIL, 0.0),))),
        Part(EVIL, None, report(row("發熱衣", 0.2))),
        Part(None, EVIL, report()),
    ]
    page = report_page(parts, made_at=NOON, zone=TAIPEI, period="2026-W48")
    tags = Tags()
    tags.feed(page)
    names = {tag for tag, _ in tags.found}
    assert not names & {"script", "link", "img", "iframe", "object", "base", "form"}
    for _, attributes in tags.found:
        assert not any(name.startswith("on") for name in attributes)
        assert not {"src", "srcset", "data", "action"} & attributes.keys()
        assert attributes.get("href", "#").startswith("#")  # type: ignore[union-attr]
    assert "url(" not in page
    assert "@import" not in page
    policy = next(attributes for tag, attributes in tags.found if attributes.get("http-equiv"))
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert page.count("<svg") == 3
    assert "2026-11-29 12:00" in page
    assert "2026-W48" in page
    assert "× 1.35" in page
    assert page.count("疲乏 worn") == 1


def test_both_ends_are_shown_and_each_once() -> None:
    rows = [row(str(i), -i) for i in range(9)]
    assert [r.term for r in both_ends(rows, 2)] == ["0", "1", "7", "8"]
    assert both_ends(rows, 5) == rows


@pytest.fixture
def database(engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engine:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "200")
    with transaction(engine) as session:
        store_results(session, 30, theme="=冬季")
        store_results(session, 12, theme="夏季")
    return engine


def test_the_report_comes_whole_and_by_theme_and_segment(database: Engine) -> None:
    with reading(database) as session, pytest.raises(NothingToLearn):
        report_parts(session)
    learned(database)
    with reading(database) as session:
        parts = report_parts(session)
        one = report_parts(session, theme="夏季")
    assert [(part.theme, part.segment) for part in parts] == [
        (None, None),
        *(("=冬季", None), ("夏季", None)),
        *((None, "important_value"), (None, "ordinary_win_back")),
    ]
    assert [part.report.messages for part in parts[:3]] == [42, 30, 12]
    assert [(part.title, part.report.messages) for part in one] == [("主題 Theme · 夏季", 12)]
    rows = [dict(zip(COLUMNS, values, strict=True)) for values in rows_of(parts)]
    offer = next(r for r in rows if r["term"] == "買一送一")
    assert offer["low"] < offer["effect"] < offer["high"]
    assert offer["times_odds"] > 1
    assert (offer["messages"], offer["theme"], offer["segment"]) == (21, "", "")


def test_it_is_exported_as_a_table_or_a_page_and_each_time_noted(database: Engine, tmp_path: Path) -> None:
    runner = CliRunner()
    for name in ("r.csv", "r.xlsx", "r.html", "r.json"):
        result = runner.invoke(app, ["keywords", "export", name], catch_exceptions=False)
        assert "of 5 parts written" in result.stderr
        assert (tmp_path / name).stat().st_mode & 0o077 == 0  # its owner's alone
    with (tmp_path / "r.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == COLUMNS
    assert {r["theme"] for r in rows} == {"", "'=冬季", "夏季"}  # no formula
    assert len(json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))) == len(rows)
    assert "xl/workbook.xml" in ZipFile(tmp_path / "r.xlsx").namelist()
    assert "買一送一" in (tmp_path / "r.html").read_text(encoding="utf-8")
    with reading(database) as session:
        entries = session.scalars(select(AuditEntry).order_by(table_of(AuditEntry).c.id)).all()
    assert [e.detail["format"] for e in entries] == ["csv", "xlsx", "html", "json"]
    assert {e.detail["rows"] for e in entries} == {len(rows)}
    for name, problem in (("r.pdf", "must end in"), ("no/r.html", "can't be written")):
        with pytest.raises(BadInput, match=problem):
            runner.invoke(app, ["keywords", "export", name], catch_exceptions=False)
    with reading(database) as session:
        assert len(session.scalars(select(AuditEntry)).all()) == 4


@pytest.mark.parametrize(
    ("every", "now", "period", "moment"),
    [
        ("week", "2026-11-29T23:59+08:00", "2026-W48", "2026-11-23T09:00+08:00"),
        ("week", "2026-11-30T08:59+08:00", "2026-W48", "2026-11-23T09:00+08:00"),
        ("week", "2026-11-30T09:00+08:00", "2026-W49", "2026-11-30T09:00+08:00"),
        ("week", "2027-01-03T12:00+08:00", "2026-W53", "2026-12-28T09:00+08:00"),
        ("month", "2026-12-01T01:00+00:00", "2026-12", "2026-12-01T09:00+08:00"),
        ("month", "2026-12-01T00:59+00:00", "2026-11", "2026-11-01T09:00+08:00"),
        ("month", "2027-01-01T00:00+00:00", "2026-12", "2026-12-01T09:00+08:00"),
    ],
)
def test_a_period_begins_at_its_moment_in_the_brands_time(every: Any, now: str, period: str, moment: str) -> None:
    due = ReportSettings(every=every).due(datetime.fromisoformat(now), TAIPEI)
    assert due == (period, datetime.fromisoformat(moment))
    assert ReportSettings().due(NOON, TAIPEI) is None


@pytest.mark.parametrize(
    "values",
    [
        {"every": "day"},
        {"weekday": 7},
        {"marketers": ["anna"]},
        {"line_user_ids": [LINE_OF[ANNA]]},  # that somebody typed proves nothing
        {"folder": "reports"},
        {"nothing": 1},
        {"hour": 24},
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(values: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=next(iter(values))):
        settings_from(values)


def test_the_message_is_short_and_says_where_the_rest_is() -> None:
    rows = [row(f"好{i}", 0.5) for i in range(9)] + [row("開", 0.0), row("壞", -0.5)]
    said = message_of(report(*rows, to_try=(row("試", 0.0),)), "2026-W48", "https://b.example/console/keywords")
    text = said[0]["text"]
    assert text.count("好") == 5
    assert "壞 ×0.61（0.55–0.67）" in text
    assert "開 ×" not in text
    assert "試" in text
    assert text.endswith("https://b.example/console/keywords")
    assert "還沒有能下結論的詞" in message_of(report(), "2026-W48", "x")[0]["text"]


@pytest.fixture
def line(clock: StillClock) -> Iterator[SimulatorThread]:
    with SimulatorThread(Simulator(clock=clock)) as running:
        running.platform.add_friends([Friend(LINE_OF[ANNA], "安娜"), Friend(LINE_OF[BEN], "小班")])
        yield running


class Office:
    """A brand with results, two marketers on a simulated LINE, and a weekly report chosen on Monday at noon."""

    def __init__(self, engine: Engine, line: SimulatorThread, clock: StillClock, folder: Path) -> None:
        self.engine, self.line, self.clock, self.folder = engine, line, clock, folder
        self.settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            line_api_base=line.url,
            line_channel_access_token=ChannelOptions().access_token,  # type: ignore[arg-type]
        )

    def choose(self, **changes: Any) -> None:
        with transaction(self.engine) as session:
            change_settings(session, changes, actor="anna", now=self.clock())

    def work(self) -> int:
        return send_keyword_reports(self.engine, self.settings, self.clock)

    def fault(self, kind: FaultKind, count: int = 1) -> None:
        self.line.simulator.faults.replace([Fault("*", kind, 1.0, count, 30)], seed=1)

    def got(self) -> Counter[str]:
        whose = {line_user_id: email for email, line_user_id in LINE_OF.items()}
        with self.line.platform.lock:
            return Counter(whose[user] for entry in self.line.platform.channels[0].ledger.entries for user in entry.to)

    def change(self, model: Any, *where: Any, **values: Any) -> None:
        with transaction(self.engine) as session:
            session.execute(update(model).where(*where).values(**values))

    def states(self) -> dict[str, str]:
        with reading(self.engine) as session:
            return {d.recipient: d.state for d in session.scalars(select(KeywordReportDelivery))}


def bind_marketers(session: Session) -> None:
    """Accounts of Anna and Ben, who bound a LINE of their own to `main`, and of Cho, who didn't."""
    channel = make_channel(session, name="main")
    for email in (ANNA, BEN, CHO):
        person = ConsoleUser(email=email, name=email.split("@")[0], role="marketer", created_at=NOON)
        session.add(person)
        session.flush()
        if email in LINE_OF:
            account = make_account(session, channel, make_customer(session), line_user_id=LINE_OF[email])
            ids: dict[str, Any] = {
                "user_id": person.id or 0,
                "channel_id": channel.id or 0,
                "line_account_id": account.id,
            }
            session.add(ConsoleLine(**ids, code="", after_event_id=0, asked_at=NOON))


@pytest.fixture
def office(engine: Engine, line: SimulatorThread, clock: StillClock, tmp_path: Path) -> Office:
    with transaction(engine) as session:
        store_results(session, 30)
        bind_marketers(session)
    learned(engine)
    made = Office(engine, line, clock, tmp_path)
    made.choose(every="week", marketers=[ANNA, BEN])
    return made


def test_a_report_goes_to_each_marketer_once_a_period(office: Office) -> None:
    assert office.work() == 0  # its moment lay before the choice
    office.clock.advance(days=7)
    assert office.work() == 2
    assert [office.work() for _ in range(3)] == [0, 0, 0]
    assert office.got() == {ANNA: 1, BEN: 1}
    office.clock.advance(days=7)
    assert office.work() == 2
    assert office.got() == {ANNA: 2, BEN: 2}
    with reading(office.engine) as session:
        rows = session.scalars(select(KeywordReportDelivery)).all()
    assert {d.period for d in rows} == {"2026-W46", "2026-W47"}
    assert len({d.retry_key for d in rows}) == 4
    assert "買一送一" in rows[0].messages[0]["text"]


def test_workers_at_once_plan_and_send_a_period_once(office: Office) -> None:
    office.clock.advance(days=7)
    with ThreadPoolExecutor(4) as pool:
        went = list(pool.map(lambda _: office.work(), range(4)))
    assert sum(went) == 2
    assert office.got() == {ANNA: 1, BEN: 1}
    with transaction(office.engine) as session:  # the constraint, not an if
        again = {"marketers": {ANNA: "main", BEN: "main"}, "messages": [], "to_folder": True}
        assert plan_deliveries(session, "2026-W46", now=office.clock(), **again) == 1  # type: ignore[arg-type]
        assert office.states() == {ANNA: "accepted", BEN: "accepted"}


@pytest.mark.parametrize(
    "kind", [FaultKind.TIMEOUT_AFTER_ACCEPT, FaultKind.ERROR_500_AFTER_ACCEPT, FaultKind.ERROR_500, FaultKind.ERROR_429]
)
def test_what_is_in_doubt_is_repeated_with_its_key_and_comes_once(office: Office, kind: FaultKind) -> None:
    office.clock.advance(days=7)
    office.fault(kind)
    if kind is FaultKind.TIMEOUT_AFTER_ACCEPT:  # where every answer comes, a busy machine's may come late
        office.settings = office.settings.model_copy(update={"line_timeout_seconds": 2.0})
    assert office.work() == 1
    assert office.work() == 0  # not at once
    office.clock.advance(seconds=PUT_OFF.total_seconds() + 1)
    assert office.work() == 1
    assert office.got() == {ANNA: 1, BEN: 1}
    assert set(office.states().values()) == {"accepted"}


def test_a_worker_that_died_between_is_taken_over_and_doubt_that_outlives_the_key_is_not_repeated(
    office: Office,
) -> None:
    office.clock.advance(days=7)
    plan_period(office.engine, office.settings, office.clock)
    with transaction(office.engine) as session:
        assert len(claim_deliveries(session, now=office.clock())) == 2  # and it dies
    assert office.work() == 0
    office.clock.advance(seconds=CLAIM.total_seconds())
    assert office.work() == 2
    delivery = table_of(KeywordReportDelivery)
    with transaction(office.engine) as session:
        lost = {"state": "due", "not_before": None, "doubt_since": office.clock()}
        session.execute(update(delivery).where(delivery.c.recipient == BEN).values(**lost))
    office.clock.advance(seconds=KEY_LIFE.total_seconds())
    assert office.work() == 0
    assert office.states() == {ANNA: "accepted", BEN: "unknown"}
    assert office.got() == {ANNA: 1, BEN: 1}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"marketers": [ANNA, CHO]}, "cho@brand.example has no LINE account of their own bound to any channel"),
        ({"marketers": [ANNA], "channel": "shop"}, "anna@brand.example has no LINE account of their own bound to shop"),
        ({"channel": "nowhere"}, "there is no channel 'nowhere'; there are: .*main, shop"),
        ({"marketers": ["dan@brand.example"]}, "nobody has an account 'dan@brand.example'"),
    ],
)
def test_only_marketers_who_bound_a_line_account_of_their_own_can_be_chosen(
    office: Office, changes: dict[str, Any], why: str
) -> None:
    with transaction(office.engine) as session:
        make_channel(session, name="shop")
        before = read_settings(session)
    with pytest.raises(BadInput, match=why):
        office.choose(**changes)
    with reading(office.engine) as session:
        assert read_settings(session) == before
    office.choose(marketers=["  Anna@Brand.example "], channel="main")
    with reading(office.engine) as session:
        assert read_settings(session).marketers == (ANNA,)


def test_a_marketer_who_cannot_be_reached_any_more_holds_up_no_other(office: Office) -> None:
    own, account, user = table_of(ConsoleLine), table_of(LineAccount), table_of(ConsoleUser)
    office.change(LineAccount, account.c.line_user_id == LINE_OF[BEN], is_following=False)  # he blocked it
    office.clock.advance(days=7)
    assert office.work() == 1
    assert office.states() == {ANNA: "accepted", BEN: "failed"}
    with reading(office.engine) as session:
        problems = {d.recipient: d.problem for d in session.scalars(select(KeywordReportDelivery))}
    assert "ben@brand.example has no LINE account of their own bound" in (problems[BEN] or "")
    # between the plan and the call Anna is switched off: nothing goes to who no longer works here
    office.change(LineAccount, account.c.line_user_id == LINE_OF[BEN], is_following=True)
    office.clock.advance(days=7)
    plan_period(office.engine, office.settings, office.clock)
    office.change(ConsoleUser, user.c.email == ANNA, disabled_at=office.clock())
    assert office.work() == 1
    assert office.got() == {ANNA: 1, BEN: 1}
    # and forgotten after a call that may have reached LINE, nobody knows whether it came
    office.clock.advance(days=7)
    plan_period(office.engine, office.settings, office.clock)
    with transaction(office.engine) as session:
        assert [one.recipient for one in claim_deliveries(session, now=office.clock())] == [BEN]
    office.change(ConsoleLine, own.c.line_account_id.is_not(None), line_account_id=None)
    office.clock.advance(seconds=CLAIM.total_seconds())
    assert office.work() == 0
    with reading(office.engine) as session:
        last = session.scalars(
            select(KeywordReportDelivery).where(table_of(KeywordReportDelivery).c.period == "2026-W48")
        )
        assert {d.recipient: d.state for d in last} == {ANNA: "failed", BEN: "unknown"}


def test_files_are_left_in_the_folder_once_a_period_and_noted(office: Office) -> None:
    office.choose(marketers=None, folder=str(office.folder / "later"))
    office.clock.advance(days=7)
    assert office.work() == 0  # there is no such folder yet
    assert office.states() == {"folder": "due"}
    (office.folder / "later").mkdir()
    office.clock.advance(seconds=PUT_OFF.total_seconds() + 1)
    assert [office.work(), office.work()] == [1, 0]
    assert sorted(path.name for path in (office.folder / "later").iterdir()) == [
        "keyword-report-2026-W46.html",
        "keyword-report-2026-W46.xlsx",
    ]
    assert "2026-W46" in (office.folder / "later" / "keyword-report-2026-W46.html").read_text(encoding="utf-8")
    with reading(office.engine) as session:
        actions = [entry.action for entry in session.scalars(select(AuditEntry).order_by(table_of(AuditEntry).c.id))]
    assert actions == ["change keyword report settings"] * 2 + ["export keyword report"] * 2
    assert office.got() == {}


def test_a_report_too_late_is_given_up(office: Office) -> None:
    office.choose(marketers=None, folder=str(office.folder / "never"))
    office.clock.advance(days=7)
    office.work()
    office.clock.advance(seconds=GIVE_UP.total_seconds())
    office.work()
    assert office.states() == {"folder": "failed"}


def test_the_schedule_is_chosen_and_shown_by_command(database: Engine) -> None:
    runner = CliRunner()
    asked = ["keywords", "schedule"]
    with transaction(database) as session:
        bind_marketers(session)
    with pytest.raises(BadInput, match=r"cho@brand\.example has no LINE account"):
        runner.invoke(app, [*asked, "--set", f"marketers={ANNA},{CHO}"], catch_exceptions=False)
    runner.invoke(app, [*asked, "--set", "every=month", "--set", f"marketers={ANNA},{BEN}", "--set", "hour=8"])
    found = json.loads(runner.invoke(app, [*asked, "--json"], catch_exceptions=False).stdout)
    assert found["settings"]["marketers"] == [ANNA, BEN]
    assert (found["settings"]["every"], found["settings"]["hour"], found["deliveries"]) == ("month", 8, [])
    with transaction(database) as session:
        plan_deliveries(
            session,
            "2026-12",
            marketers={ANNA: "main"},
            messages=[],
            to_folder=True,
            now=NOON,
        )
    shown = runner.invoke(app, asked, catch_exceptions=False).stdout
    assert ANNA in shown
    assert "folder" in shown
    with reading(database) as session:
        entry = session.scalars(select(AuditEntry)).one()
    assert (entry.action, entry.detail) == (
        "change keyword report settings",
        {"changed": ["every", "hour", "marketers"]},
    )
