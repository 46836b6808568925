"""Reports from the database and from files, and what is said when a file can't be used."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import parquet
from scipy.special import expit
from sqlalchemy import Engine
from sqlmodel import Session

from keywords.effects.learning import NothingToLearn, learn
from keywords.effects.messages import read_messages
from keywords.effects.results import messages_of, read_results
from keywords.effects.stored import renew_learning
from keywords.effects.vocabulary import MIN_MESSAGES
from keywords.report import MORE_COLUMNS, RANK_COLUMNS, make_report, rank_file, term_rows
from keywords.text.tokenizer import shared_tokenizer
from keywords.text.vocabulary import terms_of
from store.engine import reading, transaction
from store.errors import BadInput
from store.models import MessageResult
from tests.factories import make_campaign, make_channel, make_run, make_variant

TAIPEI = ZoneInfo("Asia/Taipei")
HEADER = "message_id,campaign_id,text,segment,sent_at,recipients,clicks"
MONDAY = datetime(2026, 11, 2, 4, 0, tzinfo=UTC)


def store_results(session: Session, count: int, *, theme: str = "冬季") -> None:
    """`count` runs, each to a good and a poor segment; 買一送一 brings clicks, 免運 goes with the good segment only."""
    channel = make_channel(session)
    rng = np.random.default_rng(5)
    for number in range(count):
        campaign = make_campaign(session, channel, theme=theme)
        moment = MONDAY + timedelta(days=number)
        run = make_run(session, campaign, scheduled_for=moment, fired_at=moment)
        assert run.id is not None
        offer, good = number % 2, number % 4 < 2
        text = f"{'買一送一 ' if offer else ''}{'免運' if good else '宅配'} {{{{ name }}}}"
        for segment, base in (("important_value", -1.5), ("ordinary_win_back", -3.0)):
            if (segment == "important_value") != good and number % 5:
                continue
            clicks = int(rng.binomial(4_000, expit(base + 0.5 * offer)))
            session.add(
                MessageResult(
                    run_id=run.id,
                    variant_id=run.variants[0]["variant_id"],
                    segment=segment,
                    theme=theme,
                    channel="main",
                    message_text=text,
                    sent_at=moment,
                    recipients=4_000,
                    clicks=clicks,
                    changed_at=moment,
                )
            )
    session.flush()


def learned(engine: Engine) -> None:
    """As the worker does."""
    renew_learning(engine, shared_tokenizer(), zone=TAIPEI, clock=lambda: MONDAY)


def test_the_report_credits_the_offer_and_not_the_audience(engine: Engine) -> None:
    with transaction(engine) as session:
        store_results(session, 60)
    learned(engine)
    with reading(engine) as session:
        report = make_report(session)
    by_term = {row.term: row for row in report.terms}
    assert (report.messages, report.computed_at) == (60, MONDAY)
    assert by_term["買一送一"].low > 0
    assert by_term["買一送一"].messages == 30
    assert abs(by_term["免運"].effect) < 0.1
    assert "name" not in by_term
    assert [row.effect for row in report.terms] == sorted((row.effect for row in report.terms), reverse=True)


def test_a_report_on_a_theme_or_segment_counts_only_its_own_results(engine: Engine) -> None:
    with transaction(engine) as session:
        store_results(session, 20, theme="冬季")
        store_results(session, 10, theme="夏季")
    learned(engine)
    with reading(engine) as session:
        assert make_report(session, theme="夏季").messages == 10
        everything = make_report(session)
        parts = [make_report(session, segment=segment) for segment in ("important_value", "ordinary_win_back")]
        assert everything.clicks == sum(part.clicks for part in parts)
        with pytest.raises(NothingToLearn):
            make_report(session, theme="秋季")


def test_hours_and_weekdays_are_those_of_the_brands_zone(session: Session) -> None:
    store_results(session, 1)
    messages = messages_of(read_results(session)[0], TAIPEI)
    assert (messages.hour[0], messages.weekday[0], messages.day[0]) == (12, 0, 20_759)


def test_terms_used_too_few_times_are_offered_to_try(engine: Engine) -> None:
    with transaction(engine) as session:
        store_results(session, 10)
    learned(engine)
    with reading(engine) as session:
        report = make_report(session)
    assert "宅配" in {row.term for row in report.to_try}
    assert all(row.messages < 8 for row in report.to_try)


def write(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return path


def test_a_ranked_file_has_the_columns_and_counts_that_were_promised(tmp_path: Path) -> None:
    rows = []
    for i in range(40):
        sale = i % 2
        text = "全館 SALE" if sale else "全館"
        rows.append(f'm{i},c{i // 4},"{text}",s{i % 4 // 2},2026-11-02T12:00:00+08:00,10000,{600 if sale else 400}')
    rank_file(write(tmp_path / "in.csv", *rows), tmp_path / "out.csv", shared_tokenizer(), TAIPEI)
    with (tmp_path / "out.csv").open(encoding="utf-8") as stream:
        found = list(csv.DictReader(stream))
    assert tuple(found[0]) == (*RANK_COLUMNS, *MORE_COLUMNS)
    sale_row = next(row for row in found if row["term"] == "sale")
    assert (sale_row["messages"], sale_row["clicks"], sale_row["experiments"]) == ("20", "12000", "10")
    assert 0 < float(sale_row["low"]) < float(sale_row["effect"]) < float(sale_row["high"])
    everywhere = next(row for row in found if row["term"] == "全館")  # in every message: nothing can be said of it
    assert float(everywhere["low"]) < 0 < float(everywhere["high"])


def test_parquet_in_and_out_gives_the_same_as_csv(tmp_path: Path) -> None:
    lines = [
        f"{i},{i // 2},word{i % 3} word{i % 5},s,2026-11-0{1 + i % 9} 08:30,1000,{20 + i % 7 * 5}" for i in range(60)
    ]
    rank_file(write(tmp_path / "in.csv", *lines), tmp_path / "a.parquet", shared_tokenizer(), TAIPEI)
    values = [line.split(",") for line in lines]
    table = {name: [row[place] for row in values] for place, name in enumerate(HEADER.split(","))}
    typed = pa.table(
        {
            **{name: table[name] for name in ("text", "segment")},
            **{name: [int(v) for v in table[name]] for name in ("message_id", "campaign_id", "recipients")},
            "clicks": pa.array([float(v) for v in table["clicks"]]),  # as pandas writes whole numbers with gaps
            "sent_at": pa.array([datetime.fromisoformat(v) for v in table["sent_at"]], pa.timestamp("ns")),
        }
    )
    parquet.write_table(typed, tmp_path / "in.parquet")
    rank_file(tmp_path / "in.parquet", tmp_path / "b.parquet", shared_tokenizer(), TAIPEI)
    assert parquet.read_table(tmp_path / "a.parquet").equals(parquet.read_table(tmp_path / "b.parquet"))


def test_unknown_clicks_are_missing_and_not_nought(tmp_path: Path) -> None:
    path = write(
        tmp_path / "in.csv",
        "1,1,a,s,2026-11-02 10:00,100,",
        "2,1,b,s,2026-11-02 10:00,0,0",
        "3,1,c,s,2026-11-02T23:00Z,9,0",
    )
    messages = read_messages(path, TAIPEI)
    assert (len(messages), messages.left_out, list(messages.texts)) == (1, 2, ["c"])
    assert (messages.hour[0], messages.weekday[0]) == (7, 1)  # 23:00 UTC on Monday is Tuesday in Taipei
    with pytest.raises(NothingToLearn, match="recipients"):
        learn(read_messages(write(tmp_path / "none.csv", "1,1,a,s,2026-11-02 10:00,100,"), TAIPEI), shared_tokenizer())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2,1,b,s,2026-11-02 10:00,100,-1", "row 2: clicks must be a whole number, 0 or more"),
        ("2,1,b,s,2026-11-02 10:00,many,1", "row 2: recipients must be a whole number, 0 or more"),
        ("2,1,b,s,2026-11-02 10:00,100,1.5", "row 2: clicks must be a whole number, 0 or more"),
        ("2,1,b,s,2026-11-02 10:00,100,101", "row 2: more clicks than recipients"),
        ("2,1,b,s,yesterday,100,1", "row 2: sent_at is not a time"),
        ("2,1,,s,2026-11-02 10:00,100,1", "row 2: no text"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: str, message: str) -> None:
    path = write(tmp_path / "in.csv", "1,1,a,s,2026-11-02 10:00,100,1", row)
    with pytest.raises(BadInput, match=message):
        read_messages(path, TAIPEI)


def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path) -> None:
    cases: list[tuple[Path, str]] = [
        (tmp_path / "absent.csv", "there is no file"),
        (tmp_path / "in.txt", r"in.txt must end in .csv or .parquet"),
        (write(tmp_path / "short.csv", "1,1", header="message_id,text"), "no column campaign_id, segment, sent_at"),
        (write(tmp_path / "not.parquet", "words"), "not.parquet can't be read as parquet"),
        (write(tmp_path / "ragged.csv", "1,2"), "ragged.csv can't be read as csv"),
    ]
    (tmp_path / "big5.csv").write_bytes(f"{HEADER}\n1,1,週年慶,s,2026-11-02 10:00,9,1\n".encode("big5"))
    cases.append((tmp_path / "big5.csv", "big5.csv can't be read as csv"))
    for path, message in cases:
        with pytest.raises(BadInput, match=message) as caught:
            read_messages(path, TAIPEI)
        assert "\n" not in str(caught.value)
    good = write(tmp_path / "good.csv", "1,1,a,s,2026-11-02 10:00,100,1")
    for out, message in ((tmp_path / "o.xlsx", "must end in"), (tmp_path / "no" / "o.csv", "can't be written")):
        with pytest.raises(BadInput, match=message):
            rank_file(good, out, shared_tokenizer(), TAIPEI)


def test_the_vocabulary_takes_terms_of_enough_distinct_messages(tmp_path: Path) -> None:
    rows = [
        f"m{i // 2},{i},often{' rarely' if i < 2 * (MIN_MESSAGES - 1) else ''},s{i % 2},2026-11-02 10:00,99,9"
        for i in range(12)
    ]
    learning = learn(read_messages(write(tmp_path / "in.csv", *rows), TAIPEI), shared_tokenizer())
    assert learning.terms == ["often"]
    assert list(learning.message_count) == [6]  # each went to two segments


def test_stop_words_fields_links_and_bare_numbers_are_no_terms_and_offers_bring_their_class() -> None:
    line = "您的 {{ name }} 7折 與 the SALE 123 https://lin.ee/a 🎉 7折！"
    assert terms_of(shared_tokenizer().tokenize(line)) == ["7折", "折扣:60-79%", "sale", "🎉"]


def test_words_between_spaces_are_the_terms_whatever_their_language(tmp_path: Path) -> None:
    texts = ["限時下殺 會員獨享 7折", "會員獨享 お買い物 詞12", "限時下殺 お買い物 詞12 7折"] * 3
    rows = [f"{i},{i},{text},s,2026-11-02 10:00,99,9" for i, text in enumerate(texts)]
    learning = learn(read_messages(write(tmp_path / "in.csv", *rows), TAIPEI), shared_tokenizer())
    assert set(learning.terms) == {"限時下殺", "會員獨享", "お買い物", "詞12", "7折"}


def test_sentences_with_a_space_here_and_there_are_cut_by_the_dictionary(tmp_path: Path) -> None:
    texts = ["冬季保暖發熱衣 全館7折！", "週年慶限時下殺 會員獨享好禮", "全館7折，會員獨享 限時下殺"] * 3
    rows = [f'{i},{i},"{text}{i}",s,2026-11-02 10:00,99,9' for i, text in enumerate(texts)]
    learning = learn(read_messages(write(tmp_path / "in.csv", *rows), TAIPEI), shared_tokenizer())
    assert {"發熱衣", "限時下殺", "會員獨享", "7折"} <= set(learning.terms)


def test_experiments_are_variants_within_one_campaign_and_segment(tmp_path: Path) -> None:
    rows: list[Any] = []
    for campaign in range(4):
        rows += [
            f"{campaign}a,{campaign},x both,s1,2026-11-02 10:00,99,9",
            f"{campaign}b,{campaign},y both,s1,2026-11-02 10:00,99,9",
        ]
    rows += [f"n{i},n,z both,s2,2026-11-02 10:00,99,9" for i in range(3)]  # the same words to all: no experiment
    rows += ["o1,n,y both,s3,2026-11-02 10:00,99,9"]  # another segment: not like with like
    learning = learn(read_messages(write(tmp_path / "in.csv", *rows), TAIPEI), shared_tokenizer())
    assert dict(zip(learning.terms, learning.experiment_count.tolist(), strict=True)) == {
        "both": 0,
        "x": 4,
        "y": 4,
        "z": 0,
    }


def test_a_campaign_repeated_at_another_hour_with_other_words_is_no_experiment(tmp_path: Path) -> None:
    """乳液 goes out in the evening, 面膜 in the morning, of the same campaign: nothing tells word and hour apart."""
    rows = []
    for day in range(1, 29):
        campaign, date = day % 4, f"2026-11-{day:02d}"
        rows += [
            f"{day}a,{campaign},面膜 新色,s,{date} 10:00,10000,500",
            f"{day}b,{campaign},乳液 新色,s,{date} 20:59,10000,900",
        ]
    learning = learn(read_messages(write(tmp_path / "in.csv", *rows), TAIPEI), shared_tokenizer())
    assert {row.term: (row.experiments, row.ab_effect) for row in term_rows(learning)} == {
        "面膜": (0, None),
        "乳液": (0, None),
        "新色": (0, None),
    }


def test_runs_of_one_campaign_are_no_experiment_but_the_versions_of_one_run_are(engine: Engine) -> None:
    with transaction(engine) as session:
        channel = make_channel(session)
        campaign = make_campaign(session, channel, theme="冬季")
        make_variant(session, campaign, name="B")
        for number in range(8):
            moment = MONDAY + timedelta(days=7 * number)
            run = make_run(session, campaign, scheduled_for=moment, fired_at=moment)
            for place, word in enumerate(("面膜", "乳液")):
                if number < 3 or place == number % 2:  # three of the eight sent both versions
                    session.add(
                        MessageResult(
                            run_id=run.id or 0,
                            variant_id=run.variants[place]["variant_id"],
                            segment="none",
                            channel="main",
                            message_text=f"{word} 新色",
                            sent_at=moment,
                            recipients=4_000,
                            clicks=200,
                            changed_at=moment,
                        )
                    )
        session.flush()
    learned(engine)
    with reading(engine) as session:
        found = {row.term: row.experiments for row in make_report(session).terms}
    assert found == {"面膜": 3, "乳液": 3, "新色": 0}
