"""Rules, lists and exclusions as audiences, and what a preview says of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from campaigns.audience.freezing import freeze_run, freeze_slice
from campaigns.audience.lists import ListInUse, delete_list, import_list, list_sizes, make_list, members_of
from campaigns.audience.members import find_members
from campaigns.audience.preview import Preview, preview
from campaigns.audience.target import Audience, UnknownTarget, check_audience
from campaigns.settings import change_settings
from segmentation.rules.reading import RuleError
from segmentation.rules.saved import save_rule
from segmentation.snapshot import take_snapshot
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import (
    AuditEntry,
    Campaign,
    CampaignRun,
    Customer,
    CustomerList,
    CustomerSegment,
    Delivery,
    Enrolment,
    LineAccount,
    RunMember,
)
from tests.campaigns.conftest import ZONE
from tests.conftest import StillClock
from tests.factories import LONG_AGO, make_account, make_campaign, make_channel, make_customer, make_order, make_run

BOUGHT = {"type": "orders", "measure": "count", "at_least": 1}
IN_TAIPEI = "rule:" + json.dumps({"type": "attribute", "name": "city", "is": "台北"}, ensure_ascii=False)


class Folk:
    """Six people: the first three have bought, the even ones live in Taipei; 2 and 4 are regular customers of important
    value, 1 to 3 new in the cycle."""

    def __init__(self, engine: Engine, clock: StillClock) -> None:
        self.engine, self.clock = engine, clock
        with transaction(engine) as session:
            self.channel = make_channel(session)
            self.ids = []
            for n in range(1, 7):
                customer = make_customer(
                    session, member_id=f"f{n}", city="台北" if n % 2 == 0 else "花蓮", name=f"人{n}"
                )
                make_account(session, self.channel, customer)
                if n <= 3:
                    make_order(session, customer)
                self.ids.append(customer.id or 0)
            for number, segments in (
                (1, {"nesl": "N", "rf4": "regular"}),
                (2, {"nesl": "N", "rf4": "regular", "rfm8": "important_value"}),
                (3, {"nesl": "N"}),
                (4, {"nesl": "E", "rf4": "regular", "rfm8": "important_value"}),
            ):
                kept: dict[str, Any] = {"nes": "S", "computed_at": clock(), **segments}
                session.add(CustomerSegment(customer_id=self.ids[number - 1], **kept))
            save_rule(session, "買過", BOUGHT, clock(), actor="me")

    def plan(self, audience: Audience, **fields: Any) -> int:
        with transaction(self.engine) as session:
            session.add(self.channel)
            campaign = make_campaign(session, self.channel, audience=audience.to_json(), holdout_percent=0)
            return make_run(session, campaign, **fields).id or 0

    def frozen(self, run_id: int) -> list[int]:
        """The numbers of the people in a run, frozen to its end."""
        freeze_run(self.engine, run_id, zone=ZONE, clock=self.clock)
        delivery = table_of(Delivery)
        with reading(self.engine) as session:
            found = session.scalars(select(delivery.c.customer_id).where(delivery.c.run_id == run_id))
            return sorted(self.ids.index(who) + 1 for who in found)

    def members_left(self) -> int:
        with reading(self.engine) as session:
            return session.scalar(select(func.count()).select_from(table_of(RunMember))) or 0

    def preview(self, audience: Audience, folder: Path) -> Preview:
        return preview(
            self.engine,
            audience,
            snapshot_folder=folder,
            channel_id=self.channel.id or 0,
            zone=ZONE,
            clock=self.clock,
        )

    def list(self, name: str, numbers: list[int]) -> None:
        ids = [self.ids[n - 1] for n in numbers]
        make_list(self.engine, name, ids, origin={}, actor="test", clock=self.clock)


@pytest.fixture
def folk(engine: Engine, clock: StillClock) -> Folk:
    return Folk(engine, clock)


@pytest.mark.parametrize(
    ("audience", "people"),
    [
        (Audience(("rule:買過",)), [1, 2, 3]),
        (Audience((IN_TAIPEI,)), [2, 4, 6]),
        (Audience(("rule:買過", IN_TAIPEI)), [1, 2, 3, 4, 6]),
        (Audience(("rule:買過",), (IN_TAIPEI,)), [1, 3]),
        (Audience(("all",), ("rule:買過",)), [4, 5, 6]),
        (Audience(("list:店員", IN_TAIPEI), ("rule:買過",)), [4, 5, 6]),
        (Audience(("list:店員",)), [1, 5]),
        (Audience(("all",), ("list:店員",)), [2, 3, 4, 6]),
        (Audience(("list:店員", "rfm8=important_value")), [1, 2, 4, 5]),
        (Audience(("list:店員", "rfm8=important_value", "nesl=N")), [1, 2, 3, 4, 5]),
        (Audience(("rfm8=important_value", "nesl=N"), ("rf4=regular", "list:店員")), [3]),
        (Audience(("all", "nesl=N"), ("rf4=regular", "list:店員")), [3, 6]),
        (Audience(("nesl=N",), ("all",)), []),
        (Audience(("all",), ("all",)), []),
    ],
)
def test_rules_lists_and_exclusions_mean_the_same_in_a_preview_and_in_a_run(
    folk: Folk, audience: Audience, people: list[int], tmp_path: Path
) -> None:
    folk.list("店員", [1, 5])
    shown = folk.preview(audience, tmp_path / "none")
    assert (shown.people, [folk.ids.index(p.customer_id) + 1 for p in shown.first]) == (len(people), people)
    take_snapshot(folk.engine, tmp_path / "snapshot", zone=ZONE, now=folk.clock())
    assert folk.preview(audience, tmp_path / "snapshot").people == len(people)
    assert folk.frozen(folk.plan(audience)) == people
    assert folk.members_left() == 0


def test_a_rule_is_asked_of_the_facts_as_they_are_when_it_fires_and_once(folk: Folk, tmp_path: Path) -> None:
    take_snapshot(folk.engine, tmp_path, zone=ZONE, now=folk.clock())
    with transaction(folk.engine) as session:
        make_order(session, session.get_one(Customer, folk.ids[5]), ordered_at=folk.clock())
    run_id = folk.plan(Audience(("rule:買過",)))
    assert find_members(folk.engine, run_id, zone=ZONE, clock=folk.clock)
    with transaction(folk.engine) as session:
        make_order(session, session.get_one(Customer, folk.ids[4]), ordered_at=folk.clock())
    assert folk.frozen(run_id) == [1, 2, 3, 6]


def test_what_a_killed_worker_had_found_is_asked_again_and_nobody_is_in_twice(folk: Folk) -> None:
    run_id = folk.plan(Audience(("rule:買過",)))
    with transaction(folk.engine) as session:
        session.add(RunMember(run_id=run_id, target="買過", customer_id=folk.ids[0]))
    assert folk.frozen(run_id) == [1, 2, 3]


def test_a_run_is_not_frozen_before_its_rules_are_asked(folk: Folk) -> None:
    run_id = folk.plan(Audience(("rule:買過",)))
    with transaction(folk.engine) as session:
        assert not freeze_slice(session, run_id, zone=ZONE, now=folk.clock())
    with reading(folk.engine) as session:
        assert session.get_one(CampaignRun, run_id).state == "planned"


def test_a_run_by_enrolment_is_for_those_it_took(folk: Folk) -> None:
    run_id = folk.plan(Audience(("all",)), by_enrolment=True)
    with transaction(folk.engine) as session:
        campaign_id = session.get_one(CampaignRun, run_id).campaign_id
        for n, taken_by in ((2, run_id), (5, run_id), (6, None)):
            session.add(
                Enrolment(
                    campaign_id=campaign_id,
                    customer_id=folk.ids[n - 1],
                    entry_key=str(n),
                    entered_at=LONG_AGO,
                    due_at=LONG_AGO,
                    run_id=taken_by,
                    state="taken" if taken_by else "waiting",
                )
            )
    assert folk.frozen(run_id) == [2, 5]


@pytest.mark.parametrize(
    ("words", "error"), [("rule:無", UnknownTarget), ("list:無", UnknownTarget), ('rule:{"type": "no"}', RuleError)]
)
def test_a_target_that_there_is_not_is_refused(folk: Folk, words: str, error: type[Exception]) -> None:
    with reading(folk.engine) as session, pytest.raises(error):
        check_audience(session, Audience(("all",), (words,)))


def test_a_preview_says_why_somebody_would_be_skipped(folk: Folk, tmp_path: Path) -> None:
    with transaction(folk.engine) as session:
        session.get_one(Customer, folk.ids[1]).marketing_refused_at = folk.clock()
    shown = folk.preview(Audience((IN_TAIPEI,)), tmp_path)
    assert [(p.name, p.reason) for p in shown.first] == [("人4", None), ("人6", None), ("人2", "refused")]


@pytest.mark.parametrize("audience", [Audience(("all",)), Audience((IN_TAIPEI,)), Audience(("list:十二人",))])
@pytest.mark.parametrize("by_snapshot", [False, True])
def test_the_ten_of_a_preview_are_who_would_be_sent_to_as_far_as_there_are_any(
    folk: Folk, audience: Audience, by_snapshot: bool, tmp_path: Path
) -> None:
    with transaction(folk.engine) as session:
        session.execute(table_of(LineAccount).update().values(is_following=False))
        session.add(folk.channel)
        for n in range(12):
            customer = make_customer(session, name=f"新{n}", city="台北")
            if n >= 10:
                make_account(session, folk.channel, customer)
            folk.ids.append(customer.id or 0)
    folk.list("十二人", list(range(1, 19)))
    if by_snapshot:
        take_snapshot(folk.engine, tmp_path, zone=ZONE, now=folk.clock())
    shown = folk.preview(audience, tmp_path).first
    assert [(p.name, p.reason) for p in shown[:2]] == [("新10", None), ("新11", None)]
    assert len({p.customer_id for p in shown}) == 10
    assert {p.reason for p in shown[2:]} <= {"no_line_account", "blocked"}


def test_recipients_are_found_behind_hundreds_whom_a_cap_holds_for(folk: Folk, tmp_path: Path) -> None:
    with transaction(folk.engine) as session:
        change_settings(session, {"cap_day": "1"}, actor="t", now=folk.clock())
        session.add(folk.channel)
        capped = [make_customer(session) for _ in range(250)]
        run = make_run(session, make_campaign(session, folk.channel), state="sending", frozen_up_to=10**6)
        for customer in capped:
            make_account(session, folk.channel, customer)
        for key in [*folk.ids, *(customer.id or 0 for customer in capped)]:
            session.add(Delivery(run_id=run.id or 0, customer_id=key, state="accepted", sent_at=folk.clock()))
        late = make_customer(session, name="最後")
        make_account(session, folk.channel, late)
    shown = folk.preview(Audience(("all",)), tmp_path / "none").first
    assert [(p.name, p.reason) for p in shown[:2]] == [("最後", None), ("人1", "cap_day")]


def test_a_list_from_a_file_refuses_strangers_and_is_deleted_when_nobody_needs_it(folk: Folk, tmp_path: Path) -> None:
    path = tmp_path / "vip.csv"
    path.write_text("customer_id\nf2\nf4\nf2\nnobody\n", encoding="utf-8")
    report = import_list(folk.engine, "VIP", path, zone=ZONE, clock=folk.clock)
    assert (report.read, report.added, report.refused_count) == (4, 2, 1)
    with reading(folk.engine) as session:
        assert [(one.name, one.people) for one in list_sizes(session)] == [("VIP", 2)]
        assert [member_id for _, member_id, _ in members_of(session, "VIP", limit=5)] == ["f2", "f4"]
    with pytest.raises(BadInput, match="already"):
        import_list(folk.engine, "VIP", path, zone=ZONE, clock=folk.clock)
    folk.plan(Audience(("list:VIP",)))
    with pytest.raises(ListInUse):
        delete_list(folk.engine, "VIP", actor="test", clock=folk.clock)
    with transaction(folk.engine) as session:
        session.execute(table_of(CampaignRun).delete())
        session.execute(table_of(Campaign).update().values(state="sent"))
    assert delete_list(folk.engine, "VIP", actor="test", clock=folk.clock) == 2
    with reading(folk.engine) as session:
        assert session.scalar(select(func.count()).select_from(table_of(CustomerList))) == 0
        actions = list(session.scalars(select(table_of(AuditEntry).c.action).order_by(table_of(AuditEntry).c.id)))
    assert actions == ["make list", "delete list"]
