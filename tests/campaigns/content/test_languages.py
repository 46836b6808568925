"""Which version of a content a person reads."""

import itertools

import pytest
from sqlalchemy import Engine, insert, select

from campaigns.content.languages import check_languages, version_column, version_for
from store.engine import table_of, transaction
from store.errors import BadInput
from store.models import Customer, LineAccount
from tests.factories import LONG_AGO, make_channel

TAGS = [
    None,
    "",
    " ",
    "e",
    "en",
    "EN_us",
    " en-GB",
    "english",
    "e-n",
    "zh",
    "zh-TW",
    "zh_hant_CN",
    "zh-Hans",
    "zh-Hans-TW",
]
TAGS += ["zh-CN", "zh-sg", "zhx", "ja", "ja-", "yue-HK", "中文", "中文字", "zh-", "a%", "%%"]


@pytest.mark.parametrize("versions", [[], ["en"], ["ja", "zh-CN"], ["zh-Hant", "en-US", "zh_Hans"], ["yue", "zh"]])
def test_sql_and_python_choose_the_same_version_for_everybody(engine: Engine, versions: list[str]) -> None:
    pairs = list(itertools.product(TAGS, TAGS))
    customer, account = table_of(Customer), table_of(LineAccount)
    with transaction(engine) as session:
        channel_id = make_channel(session).id
        session.execute(
            insert(customer),
            [{"id": n, "language": a, "attributes": {}, "created_at": LONG_AGO} for n, (a, _) in enumerate(pairs, 1)],
        )
        session.execute(
            insert(account),
            [
                {
                    "channel_id": channel_id,
                    "line_user_id": f"U{n}",
                    "customer_id": n,
                    "profile_language": b,
                    "follow_changed_ms": 0,
                    "profile_tries": 0,
                }
                for n, (_, b) in enumerate(pairs, 1)
            ],
        )
        rows = session.execute(
            select(customer.c.id, version_column(versions, customer.c.language, account.c.profile_language))
            .join(account, account.c.customer_id == customer.c.id)
            .order_by(customer.c.id)
        ).all()
    chosen = {pairs[n - 1]: version for n, version in rows}
    assert chosen == {pair: version_for(versions, *pair) for pair in pairs}


@pytest.mark.parametrize(
    ("versions", "languages", "chosen"),
    [
        (["en"], ["en"], "en"),
        (["en"], ["en-US"], "en"),
        (["en-US"], ["EN_gb"], "en-US"),
        (["zh-Hant"], ["zh-TW"], "zh-Hant"),
        (["zh-TW"], ["zh-Hant-HK"], "zh-TW"),
        (["zh-TW"], ["zh"], "zh-TW"),
        (["zh-Hans"], ["zh-TW"], None),
        (["zh-CN"], ["zh-Hans-SG"], "zh-CN"),
        (["zh-Hant"], ["zh-CN"], None),
        (["ja", "en"], ["th"], None),
        (["ja", "en"], [None, "ja"], "ja"),
        (["ja", "en"], ["en", "ja"], "en"),
        (["ja"], ["en", "ja"], None),
        (["ja"], ["not a language", "ja"], "ja"),
        (["ja"], ["", "  ", "ja"], "ja"),
        ([], ["ja"], None),
        (["en"], [None], None),
        (["en"], ["english"], None),
    ],
)
def test_the_version_in_the_persons_language_is_chosen(
    versions: list[str], languages: list[str | None], chosen: str | None
) -> None:
    assert version_for(versions, *languages) == chosen


@pytest.mark.parametrize("versions", [["en", "en-US"], ["zh-TW", "zh-Hant"], ["zh", "zh-HK"]])
def test_two_versions_for_the_same_reader_are_refused(versions: list[str]) -> None:
    with pytest.raises(BadInput, match="keep one"):
        check_languages(versions)
    check_languages(["zh-TW", "zh-CN", "en", "ja", "th", "vi"])


@pytest.mark.parametrize("words", ["", "english", "中文", "e", "zh TW", "en-"])
def test_what_is_no_language_is_refused(words: str) -> None:
    with pytest.raises(BadInput, match="not a language"):
        check_languages([words])
