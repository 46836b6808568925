"""People who refuse, or turn out to be members, while their narrowcast's audience is uploaded in parts: over HTTP, on
both databases."""

from collections.abc import Sequence

import pytest
from sqlalchemy import delete

from bot.line.audiences import NarrowcastDoor
from campaigns.sending import narrowcast as narrowcasts
from campaigns.sending import narrowcast_claims
from campaigns.sending.narrowcast import step_narrowcasts
from store.engine import table_of, transaction
from store.imports.merging import merge_customers
from store.models import LineAccount
from tests.campaigns.conftest import Shop
from tests.campaigns.sending.test_narrowcast import OpenShop, ground, planned, rows, work
from tests.campaigns.sending.test_refusals import refuse
from tests.factories import make_customer

MEMBER, FOLLOWER = 1, 9  # by number: a member is imported long before, and so has a lower id


@pytest.fixture
def shop(open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Nine people of whom three are uploaded at once; the member's account is not known yet."""
    monkeypatch.setattr(narrowcast_claims, "UPLOAD_SIZE", 3)
    monkeypatch.setattr(narrowcasts, "UPLOAD_SIZE", 3)
    shop = open_shop(9)
    account = table_of(LineAccount)
    with transaction(shop.engine) as session:
        session.execute(delete(account).where(account.c.customer_id == shop.ids[MEMBER - 1]))
    return shop


def merge(shop: Shop, follower: int = FOLLOWER, member: int = MEMBER) -> None:
    with transaction(shop.engine) as session:
        merge_customers(session.connection(), {shop.ids[follower - 1]: shop.ids[member - 1]})


def all_got_it(shop: Shop, campaign_id: int) -> bool:
    (row,) = rows(shop)
    assert (row.state, row.counts["target"]) == ("succeeded", 8)
    return shop.everyone_once(range(2, 10)) and shop.results(campaign_id).deliveries["accepted"] == 8


def test_whoever_gets_a_lower_id_between_two_uploads_is_not_passed_over(shop: Shop) -> None:
    campaign_id = planned(shop)
    shop.tick()
    step_narrowcasts(ground(shop))
    assert rows(shop)[0].uploaded_up_to == shop.ids[3]
    merge(shop)
    work(shop, 120)
    assert all_got_it(shop, campaign_id)


@pytest.mark.parametrize("call", [1, 2, 3])
def test_nor_is_who_gets_it_while_line_is_called(shop: Shop, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    add, sizes = NarrowcastDoor.add_to_audience, list[int]()

    def merging(door: NarrowcastDoor, audience_id: int, line_user_ids: Sequence[str]) -> None:
        sizes.append(len(line_user_ids))
        if len(sizes) == call:  # of the first and the second call the follower is none; the last has them in hand
            merge(shop)
        add(door, audience_id, line_user_ids)

    monkeypatch.setattr(NarrowcastDoor, "add_to_audience", merging)
    campaign_id = planned(shop)
    shop.tick()
    work(shop, 120)
    assert len(sizes) >= call
    assert all_got_it(shop, campaign_id)


def test_whoever_moves_within_what_is_still_to_come_is_not_passed_over_either(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload under way ends beyond the lower id that it didn't know of."""
    account = table_of(LineAccount)
    with transaction(shop.engine) as session:
        session.execute(delete(account).where(account.c.customer_id == shop.ids[2]))
    add, calls = NarrowcastDoor.add_to_audience, list[int]()

    def merging(door: NarrowcastDoor, audience_id: int, line_user_ids: Sequence[str]) -> None:
        calls.append(audience_id)
        if len(calls) == 1:  # 2, 4 and 5 are in hand
            merge(shop, member=3)
        add(door, audience_id, line_user_ids)

    monkeypatch.setattr(NarrowcastDoor, "add_to_audience", merging)
    planned(shop)
    shop.tick()
    work(shop, 120)
    assert shop.everyone_once([2, *range(4, 10)])


@pytest.mark.parametrize("refusing", [[3, 5], [2, 3, 4], [2, 3, 4, 5, 6, 7, 8], [4, 5, 9]])
def test_who_refuses_before_their_upload_is_not_uploaded_however_many_do(shop: Shop, refusing: list[int]) -> None:
    campaign_id = planned(shop)
    shop.tick()
    for number in refusing:
        refuse(shop, shop.ids[number - 1])
    work(shop, 120)
    assert shop.everyone_once([number for number in range(2, 10) if number not in refusing])
    assert shop.results(campaign_id).skipped["refused"] == len(refusing)


def refused_and_not_sent_to(shop: Shop, campaign_id: int, number: int) -> bool:
    """The audience is made anew without them: what is said of them is so."""
    work(shop, 300)
    everyone_else = shop.everyone_once([other for other in range(2, 10) if other != number])
    return everyone_else and shop.results(campaign_id).skipped["refused"] == 1


def test_who_refuses_after_an_upload_that_nobody_noted_does_not_stand_in_the_audience(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = NarrowcastDoor.add_to_audience

    def dying(door: NarrowcastDoor, audience_id: int, line_user_ids: Sequence[str]) -> None:
        add(door, audience_id, line_user_ids)
        raise KeyboardInterrupt

    campaign_id = planned(shop)
    shop.tick()
    with monkeypatch.context() as patched:
        patched.setattr(NarrowcastDoor, "add_to_audience", dying)
        with pytest.raises(KeyboardInterrupt):
            step_narrowcasts(ground(shop))
    refuse(shop, shop.ids[2])
    assert refused_and_not_sent_to(shop, campaign_id, 3)


def test_nor_does_who_refuses_when_it_goes_on_from_a_lower_id(shop: Shop) -> None:
    campaign_id = planned(shop)
    shop.tick()
    step_narrowcasts(ground(shop))  # 2, 3 and 4
    merge(shop)
    refuse(shop, shop.ids[2])
    assert refused_and_not_sent_to(shop, campaign_id, 3)


def test_nor_does_who_gets_a_higher_id_after_their_upload(shop: Shop) -> None:
    campaign_id = planned(shop)
    shop.tick()
    step_narrowcasts(ground(shop))
    with transaction(shop.engine) as session:
        member_id = make_customer(session, member_id="a newer member").id or 0
        merge_customers(session.connection(), {shop.ids[2]: member_id})
    refuse(shop, member_id)
    assert refused_and_not_sent_to(shop, campaign_id, 3)
