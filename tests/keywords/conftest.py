"""A history to learn from, shared by what writes and what judges."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from keywords.effects.learning import Learning, learn
from keywords.effects.messages import read_messages
from keywords.text.tokenizer import shared_tokenizer


@pytest.fixture
def history(tmp_path: Path) -> Learning:
    """Winter messages where 發熱衣 works and 毛衣 doesn't; camping words only in camping messages."""
    rows = ["message_id,campaign_id,text,segment,sent_at,recipients,clicks,theme"]
    for i in range(120):
        works, second = i % 2, i % 3
        if i % 4 < 2:
            text, theme = f"{'發熱衣' if works else '毛衣'} {['手套', '全館', '滿千送百'][second]} 79折", "冬季服飾"
        else:
            text, theme = f"{'帳篷' if works else '睡袋'} {['野炊', '全館', '滿千送百'][second]}", "露營"
        clicks = 500 + 300 * works + 10 * (i % 7)
        rows.append(f"{i},{i},{text},s{i % 5},2026-11-{1 + i % 28:02d} 10:00,10000,{clicks},{theme}")
    path = tmp_path / "history.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    return learn(read_messages(path, ZoneInfo("Asia/Taipei")), shared_tokenizer())
