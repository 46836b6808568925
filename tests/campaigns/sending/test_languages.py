"""Each person reads the version written in their language, by push and by multicast."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from campaigns.planning.plan import StepPlan, VariantPlan
from store.engine import table_of, transaction
from store.errors import BadInput
from store.models import Customer, LineAccount, SendBatch
from tests.campaigns.conftest import Shop, user_id

OpenShop = Callable[[int], Shop]


def text(words: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": words}]


A = VariantPlan(text("特賣"), "A", languages={"en": text("Sale"), "zh-CN": text("特卖")})
B = VariantPlan(text("週年慶"), "B", languages={"ja": text("セール")})


def speak(shop: Shop, number: int, language: str | None, profile: str | None) -> None:
    customer, account = table_of(Customer), table_of(LineAccount)
    with transaction(shop.engine) as session:
        session.execute(update(customer).where(customer.c.id == shop.ids[number - 1]).values(language=language))
        session.execute(
            update(account).where(account.c.line_user_id == user_id(number)).values(profile_language=profile)
        )


def read_by(shop: Shop) -> dict[str, str]:
    """LINE user id -> the words they were sent, by the simulator's ledger; everybody at most once."""
    with shop.line.platform.lock:
        entries = shop.line.platform.channels[0].ledger.entries
        pairs = [(user, entry.messages[0]["text"]) for entry in entries for user in entry.to]
    assert max(Counter(user for user, _ in pairs).values()) == 1
    return dict(pairs)


@pytest.mark.parametrize("way", ["push", "multicast"])
def test_everybody_reads_their_own_language(open_shop: OpenShop, way: str) -> None:
    shop = open_shop(6)
    spoken = [(None, None), ("en-US", None), (None, "en"), ("zh-TW", "en"), ("zh_CN", None), ("th", "en")]
    for number, (language, profile) in enumerate(spoken, 1):
        speak(shop, number, language, profile)
    shop.plan(steps=[StepPlan([A])], way=way)
    shop.tick()
    shop.send()
    words = ["特賣", "Sale", "Sale", "特賣", "特卖", "特賣"]
    assert read_by(shop) == {user_id(n): said for n, said in enumerate(words, 1)}


def test_batches_of_a_multicast_hold_one_variant_in_one_language_each(open_shop: OpenShop) -> None:
    shop = open_shop(40)
    for number in range(1, 41):
        speak(shop, number, ["en", "ja", "zh-TW", "zh-CN"][number % 4], None)
    shop.plan(steps=[StepPlan([A, B])], way="multicast")
    shop.tick()
    with transaction(shop.engine) as session:
        batch = table_of(SendBatch)
        kinds = session.execute(select(batch.c.variant_id, batch.c.language)).all()
    assert len(kinds) == len(set(kinds)) == 5  # plain, en and zh-CN of A; plain and ja of B
    shop.send()
    read = read_by(shop)
    assert len(read) == 40
    fits = {
        "en": {"Sale", "週年慶"},
        "ja": {"特賣", "セール"},
        "zh-TW": {"特賣", "週年慶"},
        "zh-CN": {"特卖", "週年慶"},
    }
    for number in range(1, 41):
        assert read[user_id(number)] in fits[["en", "ja", "zh-TW", "zh-CN"][number % 4]]


def test_a_version_is_checked_like_the_plain_one(open_shop: OpenShop) -> None:
    shop = open_shop(0)
    for languages, words in (({"en": text("")}, "is empty"), ({"english": text("a")}, "not a language")):
        with pytest.raises(BadInput, match=words):
            shop.plan(steps=[StepPlan([VariantPlan(text("特賣"), languages=languages)])])
