"""What the demo shows at its end: figures read from the database, and the keyword report beside the hidden truth."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from scipy.stats import spearmanr
from sqlalchemy import func, select
from sqlmodel import Session

from campaigns.results.runs import Part, RunResults
from campaigns.results.together import campaign_results
from keywords.effects.stored import renew_learning
from keywords.report import TermRow, make_report
from keywords.text.tokenizer import Tokenizer
from segmentation.history import segment_counts
from segmentation.models import MODELS
from service.demo.stage import Stage
from simulator.ledger import Accepted
from simulator.population import truth
from store.clock import system_clock
from store.engine import reading, table_of
from store.models import BehaviourEvent, Campaign, CampaignRun, Customer, SalesOrder

TOP_TERMS = 12


def figures(stage: Stage, live_campaign_id: int) -> dict[str, Any]:
    """All figures as plain values: counts, segments, deliveries of all runs, the live campaign, the top terms."""
    with stage.thread.platform.lock:
        ledger = list(stage.thread.platform.channels[0].ledger.entries)
    renew_learning(stage.engine, Tokenizer(), zone=stage.settings.zone, clock=system_clock)
    with reading(stage.engine) as session:
        campaign_ids = session.scalars(select(table_of(CampaignRun).c.campaign_id).distinct()).all()
        each = [campaign_results(session, campaign_id) for campaign_id in campaign_ids]
        report = make_report(session)
        live = campaign_results(session, live_campaign_id)
        known = [row for row in report.terms if row.term in truth()]
        return {
            "customers": _count(session, Customer),
            "orders": _count(session, SalesOrder),
            "events": _count(session, BehaviourEvent),
            "segments": {model: segment_counts(session, model) for model in MODELS},
            "campaigns": _count(session, Campaign),
            "deliveries": sum((one.total for one in each), Part()).deliveries,
            "clicks": sum(one.clicks for one in each),
            "conversions": sum(one.conversions for one in each),
            "live": {"id": live_campaign_id, **live.to_json()},
            "top_terms": [_term(row) for row in report.terms[:TOP_TERMS]],
            "terms_compared": len(known),
            "spearman_with_truth": _spearman(known),
            "coverage_of_90_percent_intervals": _coverage(known),
            "sent_more_than_once": sent_twice(ledger),
            "console": f"{stage.settings.public_base_url}/console",
        }


def _count(session: Session, model: Any) -> int:
    return session.scalar(select(func.count()).select_from(table_of(model))) or 0


def _term(row: TermRow) -> dict[str, Any]:
    return {
        "term": row.term,
        "effect": round(row.effect, 3),
        "low": round(row.low, 3),
        "high": round(row.high, 3),
        "messages": row.messages,
        "truth": truth().get(row.term),  # None: an article or a theme, which people like or not each for themselves
    }


def _spearman(rows: list[TermRow]) -> float | None:
    if len(rows) < 3:
        return None
    return round(float(spearmanr([r.effect for r in rows], [truth()[r.term] for r in rows]).statistic), 3)


def _coverage(rows: list[TermRow]) -> float | None:
    """Share of intervals that hold the truth. Effects are against the average message, so the truth is centred too."""
    if not rows:
        return None
    hidden = np.array([truth()[r.term] for r in rows])
    shift = np.mean([r.effect for r in rows]) - hidden.mean()
    inside = [r.low <= value + shift <= r.high for r, value in zip(rows, hidden, strict=True)]
    return round(float(np.mean(inside)), 3)


def sent_twice(entries: Iterable[Accepted]) -> int:
    """How often someone was sent the very same messages again, by the simulated LINE's own ledger; replies apart.

    Content, not retry keys, is compared: the platform refuses a key twice, a second message would come under another.
    Every campaign of the demo has a link that names run and person, so the same content is the same delivery.
    """
    sent = Counter(
        (who, json.dumps(entry.messages, sort_keys=True))
        for entry in entries
        if entry.endpoint != "reply"
        for who in entry.to
    )
    return sum(times - 1 for times in sent.values())


def show(found: dict[str, Any], live: RunResults, seconds: float, text: str) -> None:
    """The summary for people."""
    console = Console()
    console.print()
    console.rule("[bold]LINE 再行銷 · retargeting demo")
    console.print(
        f"[bold]{found['customers']:,}[/] 顧客 customers   [bold]{found['orders']:,}[/] 訂單 orders   "
        f"[bold]{found['events']:,}[/] 行為事件 events   [bold]{found['campaigns']}[/] 活動 campaigns   "
        f"[bold]{found['deliveries']['accepted']:,}[/] 則受理 accepted   {found['sent_more_than_once']} 重複 sent twice"
    )
    console.print(_segments_table(found))
    console.print(Panel(text, title="現場活動 live campaign", expand=False))
    console.print(_live_table(live))
    console.print(_terms_table(found))
    console.print(
        f"詞效與隱藏真值的等級相關 Spearman with the hidden truth: [bold]{found['spearman_with_truth']}[/] "
        f"({found['terms_compared']} terms; 90 % intervals that hold it: {found['coverage_of_90_percent_intervals']})"
    )
    console.print(f"{seconds:.0f} s")


def _segments_table(found: dict[str, Any]) -> Table:
    table = Table(title="分群 segments", title_justify="left")
    for model in ("rf11", "nesl", "rfm8"):
        table.add_column(model)
        table.add_column("", justify="right")
    columns = [
        [(segment.chinese, found["segments"][model][segment.name]) for segment in MODELS[model]]
        for model in ("rf11", "nesl", "rfm8")
    ]
    for number in range(max(map(len, columns))):
        cells = [column[number] if number < len(column) else ("", "") for column in columns]
        table.add_row(*(f"{part:,}" if isinstance(part, int) else part for cell in cells for part in cell))
    return table


def _live_table(live: RunResults) -> Table:
    table = Table(title="現場結果 live result", title_justify="left")
    for name in (
        "選入 chosen",
        "保留 held out",
        "受理 accepted",
        "點擊 tapped",
        "購買 bought after a tap",
        "金額 revenue",
    ):
        table.add_column(name, justify="right")
    sent = sum(live.deliveries[state] for state in ("chosen", "accepted", "failed", "unknown"))
    table.add_row(
        f"{sent:,}",
        f"{live.deliveries['held_out']:,}",
        f"{live.deliveries['accepted']:,}",
        f"{live.clicks:,}",
        f"{live.conversions:,}",
        f"{live.revenue:,}",
    )
    return table


def _terms_table(found: dict[str, Any]) -> Table:
    table = Table(title="關鍵字 keywords: effect on the log-odds of a click", title_justify="left")
    for name in ("詞 term", "效果 effect", "90 % 區間 interval", "訊息 messages", "真值 hidden truth"):
        table.add_column(name, justify="left" if name.startswith("詞") else "right")
    for row in found["top_terms"]:
        table.add_row(
            row["term"],
            f"{row['effect']:+.2f}",
            f"{row['low']:+.2f} … {row['high']:+.2f}",
            str(row["messages"]),
            "–" if row["truth"] is None else f"{row['truth']:+.2f}",
        )
    return table
