"""How long it takes to learn from a new run among 100,000 old results: from the store to the stored learning."""

import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from scipy.special import expit
from sqlalchemy import Engine, insert

from benchmarks.figures import Figure
from keywords.effects.stored import renew_learning
from keywords.text.lexicon import marketing_words
from keywords.text.tokenizer import shared_tokenizer
from store.engine import open_engine, table_of, transaction
from store.migrate import upgrade
from store.models import Campaign, CampaignRun, Channel, MessageResult, Variant

RESULTS, SEGMENTS = 100_000, 4  # each run has one text and goes to all segments
TERMS = 100
GOAL_SECONDS = 2.0
_BEGAN = datetime(2024, 1, 1, 2, 0, tzinfo=UTC)
_ZONE = ZoneInfo("Asia/Taipei")


def going_on(seed: int) -> list[Figure]:
    """One figure, on SQLite: every text of the 25,000 runs is another, and the store is read from disk."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(f"sqlite:///{Path(folder) / 'bench.db'}")
        upgrade(engine)
        try:
            return [_measure(engine, seed)]
        finally:
            engine.dispose()


def _measure(engine: Engine, seed: int) -> Figure:
    runs, rng = RESULTS // SEGMENTS, random.Random(seed)
    _store(engine, range(1, runs + 1), rng, changed_at=_BEGAN + timedelta(days=800))
    tokenizer = shared_tokenizer()
    now = _BEGAN + timedelta(days=801)
    renew_learning(engine, tokenizer, zone=_ZONE, clock=lambda: now)
    _store(engine, range(runs + 1, runs + 2), rng, changed_at=now)
    started = time.perf_counter()
    if not renew_learning(engine, tokenizer, zone=_ZONE, clock=lambda: now):
        raise RuntimeError("the new run was not learned from")
    seconds = time.perf_counter() - started
    name = f"keywords: a new run learned from, among {RESULTS:,} old results"
    return Figure(name, seconds, "s", goal=f"< {GOAL_SECONDS:g}", met=seconds < GOAL_SECONDS)


def _store(engine: Engine, ids: range, rng: random.Random, *, changed_at: datetime) -> None:
    """Runs of these ids, each a campaign of its own, and their results."""
    words = marketing_words()[:TERMS]
    effects = np.random.default_rng(1).normal(0, 0.2, len(words))
    draws = np.random.default_rng(ids.start)
    campaigns, variants, runs, results = [], [], [], []
    for number in ids:
        moment = _BEGAN + timedelta(minutes=45 * number)
        chosen = rng.sample(range(len(words)), 6)
        said = "、".join(words[i] for i in chosen)
        text = f"【{said}】只要 NT${rng.randint(99, 9999)} #{number}"
        campaigns.append({"id": number, "channel_id": 1, "name": "c", "way": "push", "created_at": moment})
        variants.append({"id": number, "campaign_id": number, "messages": [{"type": "text", "text": text}]})
        runs.append({"id": number, "campaign_id": number, "scheduled_for": moment, "way": "push", "fired_at": moment})
        results += _results(number, text, moment, effects[chosen].sum(), draws, changed_at)
    with transaction(engine) as session:
        if ids.start == 1:
            session.execute(insert(table_of(Channel)), [{"id": 1, "name": "main"}])
        for model, rows in ((Campaign, campaigns), (Variant, variants), (CampaignRun, runs), (MessageResult, results)):
            session.execute(insert(table_of(model)), rows)


def _results(
    number: int, text: str, moment: datetime, effect: float, draws: np.random.Generator, changed_at: datetime
) -> list[dict[str, Any]]:
    recipients = np.exp(draws.uniform(np.log(50), np.log(100_000), SEGMENTS)).astype(int)
    logits = -3 + effect + 0.3 * np.arange(SEGMENTS) + draws.normal(0, 0.25, SEGMENTS)
    clicks = draws.binomial(recipients, expit(logits))
    return [
        {
            "run_id": number,
            "variant_id": number,
            "segment": f"segment{segment}",
            "theme": f"theme{number % 8}",
            "channel": "main",
            "format": "text",
            "message_text": text,
            "sent_at": moment,
            "recipients": int(recipients[segment]),
            "clicks": int(clicks[segment]),
            "changed_at": changed_at,
        }
        for segment in range(SEGMENTS)
    ]
