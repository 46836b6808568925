"""Narrowcasts over HTTP on both databases: only the chosen are uploaded, one request goes out, whatever breaks."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select, update

from bot.line.audiences import NarrowcastDoor
from campaigns.links.making import LinkMaker
from campaigns.links.tokens import TokenSigner
from campaigns.planning import schedule
from campaigns.planning.plan import StepPlan, VariantPlan
from campaigns.sending import narrowcast as narrowcasts
from campaigns.sending import narrowcast_claims
from campaigns.sending.narrowcast import Ground, step_narrowcasts
from campaigns.sending.narrowcast_claims import Taken, take_narrowcast
from campaigns.settings import change_settings
from simulator.channels import Friend
from simulator.faults import Fault, FaultKind
from store.engine import reading, table_of, transaction
from store.models import AuditEntry, CampaignRun, Customer, Delivery, Narrowcast, SendBatch, UnitStatistic
from tests.campaigns.conftest import PLAIN, TOKEN, ZONE, Shop, user_id

OpenShop = Callable[[int], Shop]
LINK = [{"type": "text", "text": "週年慶 https://shop.example/a"}]


def ground(shop: Shop, *, timeout_seconds: float = 5.0, token: str = TOKEN) -> Ground:
    door = NarrowcastDoor(api_base=shop.line.url, access_token=token, timeout_seconds=timeout_seconds)
    return Ground(
        shop.engine,
        {shop.channel_id: door},
        links=LinkMaker(TokenSigner("k" * 40), "https://brand.example"),
        lease=timedelta(seconds=10),
        clock=shop.clock,
    )


def work(shop: Shop, seconds: int = 600, *, on: Ground | None = None) -> None:
    """The worker's job, each ten seconds for so long."""
    on = on or ground(shop)
    for _ in range(seconds // 10):
        step_narrowcasts(on)
        shop.tick()
        shop.clock.advance(seconds=10)


def planned(shop: Shop, **fields: Any) -> int:
    return shop.plan(**{"messages": PLAIN, "way": "narrowcast", **fields})


def rows(shop: Shop) -> Sequence[Narrowcast]:
    with reading(shop.engine) as session:
        return session.scalars(
            select(Narrowcast).order_by(table_of(Narrowcast).c.variant_id, table_of(Narrowcast).c.language)
        ).all()


def uploaded(shop: Shop) -> set[str]:
    """Everybody who ever stood in an audience that is still there."""
    with shop.line.platform.lock:
        audiences = shop.line.platform.channels[0].audiences.audiences.values()
        return {who for audience in audiences for job in audience.jobs for who in job.people}


def keep_audiences(shop: Shop) -> None:
    with transaction(shop.engine) as session:
        change_settings(session, {"keep_line_audiences": True}, actor="test", now=shop.clock())


def faults(shop: Shop, *given: Fault) -> None:
    shop.line.simulator.faults.replace(list(given), seed=3)


def test_a_run_is_sent_by_one_request_and_its_deliveries_are_accepted(open_shop: OpenShop) -> None:
    shop = open_shop(7)
    campaign_id = planned(shop, messages=LINK)
    shop.tick()
    work(shop, 60)
    shop.send()  # the lanes of push and multicast leave it alone
    assert shop.everyone_once(range(1, 8))
    assert shop.results(campaign_id).deliveries["accepted"] == 7
    assert shop.campaign(campaign_id).state == "sent"
    (row,) = rows(shop)
    assert (row.state, row.counts) == ("succeeded", {"target": 7, "success": 7, "failure": 0})
    (entry,) = shop.line.platform.channels[0].ledger.entries
    assert (entry.request_id, entry.retry_key) == (row.request_id, row.retry_key)
    assert "https://brand.example/r/" in entry.messages[0]["text"]
    with reading(shop.engine) as session:
        (audit,) = session.scalars(select(AuditEntry)).all()
    assert (audit.action, audit.detail["people"]) == ("upload audience to LINE", 7)


def test_it_is_not_accepted_before_line_says_so(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    campaign_id = planned(shop)
    shop.tick()
    step_narrowcasts(ground(shop))
    shop.clock.advance(seconds=3)
    step_narrowcasts(ground(shop))  # the audience is ready: the request is out
    assert rows(shop)[0].request_id is not None
    shop.tick()
    assert shop.results(campaign_id).deliveries["accepted"] == 0
    assert shop.campaign(campaign_id).state == "sending"
    work(shop, 60)
    assert shop.results(campaign_id).deliveries["accepted"] == 3


def test_what_line_takes_days_for_is_still_asked_about_each_minute(open_shop: OpenShop) -> None:
    shop = open_shop(2)
    campaign_id = planned(shop)
    shop.tick()
    step_narrowcasts(ground(shop))
    shop.clock.advance(seconds=3)
    step_narrowcasts(ground(shop))  # the request is out
    with transaction(shop.engine) as session:
        session.execute(update(table_of(Narrowcast)).values(attempts=5_000, due_at=shop.clock()))
    step_narrowcasts(ground(shop))
    due_at = rows(shop)[0].due_at
    assert due_at is not None
    assert shop.clock() < due_at <= shop.clock() + timedelta(minutes=1)
    work(shop, 120)
    assert shop.results(campaign_id).deliveries["accepted"] == 2


def test_only_the_chosen_are_uploaded(open_shop: OpenShop) -> None:
    shop = open_shop(60)
    keep_audiences(shop)
    campaign_id = planned(shop, holdout_percent=Decimal(40))
    shop.tick()
    with transaction(shop.engine) as session:  # refuses between the freeze and the upload
        refusing = session.scalars(
            select(table_of(Delivery).c.customer_id).where(table_of(Delivery).c.state == "chosen").limit(1)
        ).one()
        session.execute(
            update(table_of(Customer))
            .where(table_of(Customer).c.id == refusing)
            .values(marketing_refused_at=shop.clock())
        )
    work(shop, 60)
    result = shop.results(campaign_id)
    assert result.deliveries["held_out"] > 10
    assert result.skipped == {"refused": 1}
    with reading(shop.engine) as session:
        delivery = table_of(Delivery)
        chosen = set(session.scalars(select(delivery.c.line_user_id).where(delivery.c.state == "chosen")))
    assert uploaded(shop) == chosen == set(shop.got())
    assert max(shop.got().values()) == 1


def test_variants_go_to_audiences_of_their_own(open_shop: OpenShop) -> None:
    shop = open_shop(40)
    two = [StepPlan([VariantPlan(PLAIN, "A"), VariantPlan([{"type": "text", "text": "會員日"}], "B")])]
    campaign_id = shop.plan(steps=two, way="narrowcast")
    shop.tick()
    work(shop, 60)
    assert shop.everyone_once(range(1, 41))
    assert len(shop.line.platform.channels[0].ledger.entries) == 2
    assert shop.results(campaign_id).deliveries["accepted"] == 40
    with reading(shop.engine) as session:
        statistics = session.scalars(select(UnitStatistic)).all()
    assert sorted(s.variant_id for s in statistics) == [row.variant_id for row in rows(shop)]
    assert {s.unit for s in statistics} == {None}


def test_each_language_goes_to_an_audience_of_its_own_and_lines_figures_stay_apart(open_shop: OpenShop) -> None:
    shop = open_shop(6)
    customer = table_of(Customer)
    with transaction(shop.engine) as session:
        for number, language in ((1, "en-US"), (2, "en"), (3, "ja")):
            who = customer.c.id == shop.ids[number - 1]
            session.execute(update(customer).where(who).values(language=language))
    keep_audiences(shop)
    english, korean = (
        [{"type": "text", "text": "Anniversary https://shop.example/en"}],
        [{"type": "text", "text": "기념"}],
    )
    steps = [StepPlan([VariantPlan(LINK, languages={"en": english, "ko": korean})])]
    campaign_id = shop.plan(steps=steps, way="narrowcast")
    shop.tick()
    work(shop, 120)
    assert shop.everyone_once(range(1, 7))
    with shop.line.platform.lock:
        said = {e.messages[0]["text"][:5]: set(e.to) for e in shop.line.platform.channels[0].ledger.entries}
    assert said == {"Anniv": {user_id(1), user_id(2)}, "週年慶 h": {user_id(n) for n in (3, 4, 5, 6)}}
    assert [(row.language, row.state, row.counts["target"]) for row in rows(shop)] == [
        ("", "succeeded", 4),
        ("en", "succeeded", 2),
        ("ko", "succeeded", 0),  # nobody reads it: LINE is not asked
    ]
    result = shop.results(campaign_id)
    assert result.deliveries["accepted"] == 6
    assert [(figures.language, figures.by) for figures in result.line] == [(n, "request") for n in ("", "en", "ko")]
    with reading(shop.engine) as session:
        assert sorted(session.scalars(select(table_of(UnitStatistic).c.language))) == ["", "en"]
    assert shop.campaign(campaign_id).state == "sent"


def test_an_audience_of_nobody_is_over_at_once(open_shop: OpenShop) -> None:
    shop = open_shop(0)
    campaign_id = planned(shop)
    shop.tick()
    work(shop, 20)
    assert shop.campaign(campaign_id).state == "sent"
    assert shop.line.platform.channels[0].audiences.audiences == {}


def test_when_everybody_refuses_before_the_upload_nobody_is_uploaded_or_sent_to(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    campaign_id = planned(shop)
    shop.tick()
    with transaction(shop.engine) as session:
        session.execute(update(table_of(Customer)).values(marketing_refused_at=shop.clock()))
    work(shop, 60)
    assert shop.results(campaign_id).skipped == {"refused": 3}
    assert (shop.campaign(campaign_id).state, shop.got().total()) == ("sent", 0)


def test_the_audience_is_deleted_afterwards_unless_the_brand_keeps_it(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    planned(shop)
    shop.tick()
    work(shop, 60)
    assert shop.line.platform.channels[0].audiences.audiences == {}
    keep_audiences(shop)
    planned(shop)
    shop.tick()
    work(shop, 60)
    assert len(shop.line.platform.channels[0].audiences.audiences) == 1
    assert {row.due_at for row in rows(shop)} == {None}


def test_one_id_that_is_nobody_to_line_is_found_and_the_others_are_sent_to(open_shop: OpenShop) -> None:
    shop = open_shop(9)
    with shop.line.platform.lock:
        del shop.line.platform.channels[0].friends[user_id(4)]
    campaign_id = planned(shop)
    shop.tick()
    work(shop, 200)
    assert shop.everyone_once([n for n in range(1, 10) if n != 4])
    result = shop.results(campaign_id)
    assert result.deliveries["accepted"] == 8
    assert result.failed == {"LINE doesn't know this id": 1}


AUDIENCE_CALLS = ("audience_list", "audience_create", "audience_add", "audience_get", "progress", "narrowcast")


def test_a_limit_that_we_do_not_know_pauses_after_four_tries_with_lines_words(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    campaign_id = planned(shop)
    shop.tick()
    faults(shop, Fault("narrowcast", FaultKind.ERROR_429_OTHER))
    work(shop, 600)
    campaign = shop.campaign(campaign_id)
    assert campaign.state == "paused"
    assert campaign.problem == "LINE refuses with a limit that we don't know (429: Another limit has been exceeded.)"
    assert shop.line.simulator.faults.happened == {"error_429_other": 4}
    faults(shop)
    with transaction(shop.engine) as session:
        schedule.resume(session, campaign_id, zone=ZONE, now=shop.clock())
    work(shop, 600)
    assert shop.everyone_once([1, 2, 3])


BREAKS = [
    FaultKind.TIMEOUT_BEFORE,
    FaultKind.TIMEOUT_AFTER_ACCEPT,
    FaultKind.DROP_BEFORE,
    FaultKind.DROP_AFTER_ACCEPT,
    FaultKind.ERROR_500,
    FaultKind.ERROR_500_AFTER_ACCEPT,
    FaultKind.ERROR_429,
]


@pytest.mark.parametrize("kind", BREAKS)
def test_whatever_breaks_at_any_point_everyone_is_sent_to_once(open_shop: OpenShop, kind: FaultKind) -> None:
    shop = open_shop(5)
    campaign_id = planned(shop)
    shop.tick()
    faults(shop, *(Fault(endpoint, kind, count=1, seconds=1.5) for endpoint in (*AUDIENCE_CALLS, "audience_delete")))
    on = ground(shop, timeout_seconds=1.0)
    for _ in range(30):  # minutes
        work(shop, 60, on=on)
        if rows(shop)[0].due_at is None:
            break
    assert shop.everyone_once(range(1, 6))
    assert shop.results(campaign_id).deliveries["accepted"] == 5
    assert shop.campaign(campaign_id).state == "sent"
    assert len(shop.line.platform.channels[0].audiences.audiences) <= 1  # one that a lost answer made beside ours


def test_a_crash_after_any_step_changes_nothing(open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker dies after each call to LINE, before anything is written down; another takes over after the lease."""
    shop = open_shop(5)
    campaign_id = planned(shop)
    shop.tick()
    on = ground(shop)

    class Died(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Died

    for _ in range(30):
        with monkeypatch.context() as patched:
            for writer in ("_move_on", "_wait", "_note_uploaded", "_note_accepted", "_finish"):
                patched.setattr(narrowcasts, writer, die)
            with pytest.raises(Died):
                step_narrowcasts(on)
        shop.clock.advance(seconds=11)
        with transaction(shop.engine) as session:  # one step by the one that takes over
            taken = take_narrowcast(session, [shop.channel_id], lease=on.lease, now=shop.clock())
        if taken is None:
            break
        narrowcasts._step(on, taken)
        shop.clock.advance(seconds=70)
        if rows(shop)[0].due_at is None:
            break
    shop.tick()
    assert shop.everyone_once(range(1, 6))
    assert shop.results(campaign_id).deliveries["accepted"] == 5
    assert shop.line.platform.channels[0].audiences.audiences == {}


def test_two_workers_at_once_send_once(open_shop: OpenShop, in_threads: Callable[..., None]) -> None:
    shop = open_shop(5)
    planned(shop)
    shop.tick()
    for _ in range(8):
        in_threads(lambda: step_narrowcasts(ground(shop)), lambda: step_narrowcasts(ground(shop)))
        shop.clock.advance(seconds=11)
    assert shop.everyone_once(range(1, 6))
    assert len(rows(shop)) == 1


def test_a_late_worker_changes_nothing(open_shop: OpenShop) -> None:
    shop = open_shop(5)
    planned(shop)
    shop.tick()
    on = ground(shop)
    step_narrowcasts(on)
    shop.clock.advance(seconds=15)
    with transaction(shop.engine) as session:
        late = take_narrowcast(session, [shop.channel_id], lease=on.lease, now=shop.clock())
    assert late is not None
    shop.clock.advance(seconds=15)
    work(shop, 60)
    before = rows(shop)[0].model_dump()
    narrowcasts._finish(on, Taken(late.row, late.channel_id, "sending", None), "failed", "late")
    assert rows(shop)[0].model_dump() == before


def test_what_line_fails_to_send_is_failed_and_says_why(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    campaign_id = planned(shop)
    shop.tick()
    faults(shop, Fault("narrowcast", FaultKind.FAILS_AFTER_ACCEPT))
    work(shop, 60)
    result = shop.results(campaign_id)
    assert (result.deliveries["failed"], shop.got().total()) == (3, 0)
    assert rows(shop)[0].problem == "error 1: internal error"


def test_in_doubt_for_longer_than_a_key_lives_is_unknown_and_never_repeated(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    campaign_id = planned(shop)
    shop.tick()
    faults(shop, Fault("narrowcast", FaultKind.DROP_AFTER_ACCEPT))
    work(shop, 60)
    faults(shop)
    shop.clock.advance(hours=24)
    work(shop, 20)
    assert shop.results(campaign_id).deliveries["unknown"] == 3
    assert shop.got().total() <= 3
    assert rows(shop)[0].state == "unknown"


def test_a_paused_run_gets_no_further_and_goes_on_when_resumed(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    campaign_id = planned(shop)
    shop.tick()
    step_narrowcasts(ground(shop))
    with transaction(shop.engine) as session:
        schedule.pause(session, campaign_id)
    work(shop, 60)
    assert (shop.got().total(), rows(shop)[0].request_id) == (0, None)
    with transaction(shop.engine) as session:
        schedule.resume(session, campaign_id, zone=ZONE, now=shop.clock())
    work(shop, 60)
    assert shop.everyone_once([1, 2, 3])


def test_a_cancelled_run_is_not_sent_and_its_audience_is_deleted(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    campaign_id = planned(shop)
    shop.tick()
    step_narrowcasts(ground(shop))
    with transaction(shop.engine) as session:
        schedule.cancel(session, campaign_id)
    work(shop, 60)
    assert shop.results(campaign_id).skipped == {"cancelled": 3}
    assert (shop.got().total(), rows(shop)[0].state) == (0, "cancelled")
    assert shop.line.platform.channels[0].audiences.audiences == {}


def test_what_line_has_accepted_cannot_be_cancelled_and_is_told_as_it_is(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    campaign_id = planned(shop)
    shop.tick()
    step_narrowcasts(ground(shop))
    shop.clock.advance(seconds=3)
    step_narrowcasts(ground(shop))
    with transaction(shop.engine) as session:
        schedule.cancel(session, campaign_id)
    shop.tick()
    assert shop.results(campaign_id).deliveries["skipped"] == 0
    work(shop, 60)
    assert shop.results(campaign_id).deliveries["accepted"] == 3
    assert shop.everyone_once([1, 2, 3])


def test_cancelled_while_in_doubt_is_unknown(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    campaign_id = planned(shop)
    shop.tick()
    step_narrowcasts(ground(shop))
    faults(shop, Fault("narrowcast", FaultKind.DROP_BEFORE))
    shop.clock.advance(seconds=3)
    step_narrowcasts(ground(shop))
    with transaction(shop.engine) as session:
        schedule.cancel(session, campaign_id)
    faults(shop)
    work(shop, 120)
    assert shop.results(campaign_id).deliveries["unknown"] == 3
    assert (rows(shop)[0].state, shop.got().total()) == ("unknown", 0)


def test_without_quota_for_all_of_them_the_campaign_pauses_and_says_so(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    channel = shop.line.platform.channels[0]
    object.__setattr__(channel.options, "quota", 2)
    campaign_id = planned(shop)
    shop.tick()
    work(shop, 60)
    campaign = shop.campaign(campaign_id)
    assert (campaign.state, shop.got().total()) == ("paused", 0)
    assert "monthly quota" in (campaign.problem or "")
    object.__setattr__(channel.options, "quota", 3)
    with transaction(shop.engine) as session:
        schedule.resume(session, campaign_id, zone=ZONE, now=shop.clock())
    work(shop, 120)
    assert shop.everyone_once([1, 2, 3])


def test_a_refused_token_stops_the_channel(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    campaign_id = planned(shop)
    shop.tick()
    work(shop, 20, on=ground(shop, token="wrong"))
    assert shop.campaign(campaign_id).state == "paused"
    assert "refuses" in (shop.campaign(campaign_id).problem or "")


def test_an_audience_deleted_by_hand_is_made_anew(open_shop: OpenShop) -> None:
    shop = open_shop(3)
    planned(shop)
    shop.tick()
    step_narrowcasts(ground(shop))
    with shop.line.platform.lock:
        shop.line.platform.channels[0].audiences.audiences.clear()
    work(shop, 200)
    assert shop.everyone_once([1, 2, 3])


def test_a_big_audience_is_uploaded_in_parts(open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrowcast_claims, "UPLOAD_SIZE", 4)
    monkeypatch.setattr(narrowcasts, "UPLOAD_SIZE", 4)
    shop = open_shop(11)
    shop.line.platform.add_friends([Friend(user_id(99), "陌生人")])
    keep_audiences(shop)
    planned(shop)
    shop.tick()
    work(shop, 120)
    (audience,) = shop.line.platform.channels[0].audiences.audiences.values()
    assert [len(job.people) for job in audience.jobs] == [4, 4, 3]
    assert shop.everyone_once(range(1, 12))
    with reading(shop.engine) as session:
        assert session.scalar(select(func.count()).select_from(table_of(SendBatch))) == 1
        assert session.scalars(select(CampaignRun)).one().state == "sent"
