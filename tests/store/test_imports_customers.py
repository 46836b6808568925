"""Customers and products from files, on both databases."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from time import sleep
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, text
from sqlmodel import Session, select

from store.engine import open_engine, reading, transaction
from store.errors import BadInput
from store.imports import ImportReport, import_customers, import_products
from store.models import (
    BehaviourEvent,
    CampaignRun,
    Channel,
    ConsentChange,
    Customer,
    CustomerTag,
    Delivery,
    Enrolment,
    LineAccount,
    Product,
    ProductLabel,
    SalesOrder,
    Tag,
)
from tests.conftest import StillClock
from tests.factories import LONG_AGO, make_account, make_campaign, make_channel, make_customer, make_order

TAIPEI = ZoneInfo("Asia/Taipei")
ANNA, BEN = "U" + "a" * 32, "U" + "b" * 32
Importer = Callable[..., ImportReport]


@pytest.fixture
def channel_id(engine: Engine) -> int:
    with transaction(engine) as session:
        return make_channel(session).id or 0


@pytest.fixture
def importer(engine: Engine, tmp_path: Path, clock: StillClock, channel_id: int) -> Importer:
    def run(text: str, name: str = "customers.csv") -> ImportReport:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return import_customers(engine, tmp_path / name, channel_id=channel_id, zone=TAIPEI, clock=clock)

    return run


def one(session: Session, member_id: str) -> Customer:
    return session.exec(select(Customer).where(Customer.member_id == member_id)).one()


def everything(engine: Engine) -> list[Any]:
    with reading(engine) as session:
        return [
            [row.model_dump() for row in session.exec(select(model))]
            for model in (Customer, LineAccount, CustomerTag, Tag)
        ]


def test_columns_attributes_account_and_tags_arrive_and_twice_is_once(engine: Engine, importer: Importer) -> None:
    text = (
        "customer_id,line_user_id,name,birthday,city,tags,Shoe Size,vip\n"
        f"00004,{ANNA},王小美,1990/1/31,臺北,老客戶; VIP;VIP,38,\n"
        "5,,,,,,,yes\n"
    )
    report = importer(text)
    assert (report.added, report.refused) == (2, [])
    with reading(engine) as session:
        anna = one(session, "00004")
        assert (anna.name, anna.birthday, anna.city, anna.gender) == ("王小美", date(1990, 1, 31), "臺北", None)
        assert anna.attributes == {"Shoe Size": "38"}
        account = session.exec(select(LineAccount)).one()
        assert (account.customer_id, account.line_user_id, account.is_following) == (anna.id, ANNA, None)
        names = session.exec(select(Tag.name).join(CustomerTag).where(CustomerTag.customer_id == anna.id)).all()
        assert sorted(names) == ["VIP", "老客戶"]
        why = {(tag.source, tuple(tag.evidence.items())) for tag in session.exec(select(CustomerTag))}
        assert why == {("import", (("by", "command line"),))}
        assert one(session, "5").attributes == {"vip": "yes"}
    before = everything(engine)
    assert importer(text).unchanged == 2
    assert everything(engine) == before


def test_a_refusal_in_a_file_is_obeyed_at_once_and_never_taken_back_by_one(
    engine: Engine, importer: Importer, clock: StillClock
) -> None:
    with transaction(engine) as session:
        campaign = make_campaign(session, make_channel(session))
        known = make_customer(session, member_id="1")
        entered: dict[str, Any] = {"entry_key": "k", "entered_at": clock(), "due_at": clock()}
        session.add(Enrolment(campaign_id=campaign.id or 0, customer_id=known.id or 0, **entered))
    report = importer("customer_id,refuses_marketing\n1,是\n2,yes\n3,no\n4,\n5,maybe\n")
    assert (report.added, report.changed) == (3, 1)
    assert report.refused == [(6, "refuses_marketing is neither yes nor no")]
    importer("customer_id,refuses_marketing\n1,no\n2,yes\n", "later.csv")  # an older file takes nothing back
    with reading(engine) as session:
        refused = {n: one(session, n).marketing_refused_at for n in "1234"}
        assert refused == {"1": clock(), "2": clock(), "3": None, "4": None}
        assert one(session, "1").attributes == {}
        changes = session.exec(select(ConsentChange.customer_id, ConsentChange.refuses, ConsentChange.actor)).all()
        assert sorted(changes) == sorted((one(session, n).id, True, "command line") for n in "12")
        enrolment = session.exec(select(Enrolment)).one()
        assert (enrolment.state, enrolment.reason) == ("left", "refused")


def test_agreement_to_marketing_is_recorded_of_who_does_not_refuse_and_taken_back_by_a_no(
    engine: Engine, importer: Importer, clock: StillClock
) -> None:
    importer("customer_id,refuses_marketing\n4,yes\n", "refusals.csv")
    report = importer("customer_id,agrees_marketing\n1,yes\n2,是\n3,\n4,yes\n5,perhaps\n")
    assert (report.added, report.unchanged) == (3, 1)
    assert report.refused == [(6, "agrees_marketing is neither yes nor no")]
    with reading(engine) as session:
        agreed = {n: one(session, n).marketing_agreed_at for n in "1234"}
    assert agreed == {"1": clock(), "2": clock(), "3": None, "4": None}
    report = importer("customer_id,agrees_marketing\n1,no\n2,yes\n3,no\n", "later.csv")
    assert (report.changed, report.unchanged) == (1, 2)
    with reading(engine) as session:
        assert [one(session, n).marketing_agreed_at for n in "12"] == [None, clock()]
        changes = session.exec(select(ConsentChange.customer_id, ConsentChange.refuses)).all()
        assert sorted(changes) == sorted([(one(session, n).id, n == "4") for n in "124"])
    both = importer("customer_id,agrees_marketing,refuses_marketing\n1,yes,yes\n", "both.csv")
    assert both.refused == [(2, "nobody both refuses marketing and agrees to it")]
    importer("customer_id,refuses_marketing\n2,yes\n", "again.csv")
    with reading(engine) as session:
        assert one(session, "2").marketing_agreed_at is None


def test_an_empty_cell_leaves_what_is_stored(engine: Engine, importer: Importer) -> None:
    importer('{"customer_id": 4, "name": "Anna", "points": 3.5, "tags": ["a"], "likes": ["x", "y"]}', "c.jsonl")
    report = importer("customer_id,name,city,points,level\n4,,Taipei,,2\n")
    assert (report.added, report.changed) == (0, 1)
    with reading(engine) as session:
        anna = one(session, "4")
        assert (anna.name, anna.city) == ("Anna", "Taipei")
        assert anna.attributes == {"points": 3.5, "likes": ["x", "y"], "level": "2"}


def test_ids_from_line_are_opaque(engine: Engine, importer: Importer) -> None:
    importer("customer_id,line_user_id\n1,u1\n2,測試-2\n")
    with reading(engine) as session:
        found = set(session.exec(select(LineAccount.line_user_id)))
    assert found == {"u1", "測試-2"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",王,,", "customer_id is empty"),
        ("c" * 101 + ",,,", "customer_id is longer than 100 characters"),
        (f"1,{'u' * 101},,", "line_user_id is longer than 100 characters"),
        ("1,,1899-12-31,", "birthday is not a day such as 1990-01-31, from 1900 up to today"),
        ("1,,2026-11-03,", "birthday is not a day such as 1990-01-31, from 1900 up to today"),
        ("1,,2001-02-29,", "birthday is not a day such as 1990-01-31, from 1900 up to today"),
        ("1,,," + "t" * 101, "a tag is longer than 100 characters"),
        ("1,,,a;黃金　會員", "a tag holds a full-width space or a sign that can't be seen"),
        ("1,,,VIP\u200b", "a tag holds a full-width space or a sign that can't be seen"),
    ],
)
def test_a_bad_customer_is_refused_and_the_good_one_goes_in(
    engine: Engine, importer: Importer, row: str, reason: str
) -> None:
    report = importer(f"customer_id,line_user_id,birthday,tags\n{row}\nG,,2026-11-02,\n")
    assert report.refused == [(2, reason)]
    with reading(engine) as session:
        assert [c.member_id for c in session.exec(select(Customer))] == ["G"]


def test_a_tag_that_is_there_under_an_unseen_name_is_put_on(engine: Engine, importer: Importer) -> None:
    with transaction(engine) as session:
        session.add(Tag(name="黃金　會員", created_at=LONG_AGO))
    assert importer("customer_id,tags\n1,黃金　會員\n").added == 1
    with reading(engine) as session:
        assert session.exec(select(Tag.name).join(CustomerTag)).all() == ["黃金　會員"]


def test_archived_tags_are_told_and_put_on_nobody(engine: Engine, importer: Importer) -> None:
    with transaction(engine) as session:
        session.add_all(Tag(name=name, created_at=LONG_AGO, is_active=name == "新") for name in ("舊", "新", "更舊"))
    report = importer("customer_id,tags\n1,舊;新\n2,更舊\n3,舊\n")
    assert (report.added, report.to_json()["archived_tags"]) == (3, ["更舊", "舊"])
    with reading(engine) as session:
        assert session.exec(select(Tag.name).join(CustomerTag)).all() == ["新"]


def test_a_tag_that_somebody_puts_on_meanwhile_is_on_once(
    new_database_url: Callable[[str], str], tmp_path: Path, clock: StillClock
) -> None:
    engine = open_engine(new_database_url("postgresql"))
    with transaction(engine) as session:
        tag = Tag(name="有", created_at=LONG_AGO)
        session.add(tag)
        make_customer(session, member_id="2")
        who = make_customer(session, member_id="1")
        session.flush()
        tag_id, customer_id = tag.id or 0, who.id or 0
    path = tmp_path / "c.csv"
    path.write_text("customer_id,tags\n1,有;新\n2,有\n", encoding="utf-8")
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as session:
            session.add(CustomerTag(tag_id=tag_id, customer_id=customer_id, since=LONG_AGO, source="link"))
            session.add(Tag(name="新", created_at=LONG_AGO))
            session.flush()
            done = pool.submit(import_customers, engine, path, channel_id=None, zone=TAIPEI, clock=clock)
            with engine.connect() as other:
                waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
                while not done.done() and not other.scalar(waits):
                    sleep(0.02)
        assert done.result().refused == []
    with reading(engine) as session:
        rows = session.exec(select(Tag.name, CustomerTag.source).join(CustomerTag))
        assert sorted(map(tuple, rows)) == [("新", "import"), ("有", "import"), ("有", "link")]
    engine.dispose()


def test_rows_that_disagree_are_refused_together(engine: Engine, importer: Importer) -> None:
    report = importer(
        f"customer_id,line_user_id,x\n1,{ANNA},1\n2,{ANNA},1\n3,,1\n3,,2\n4,,1\n4,,1\n",
    )
    assert (report.added, [row for row, _ in report.refused]) == (1, [2, 3, 4, 5])
    assert set(report.refused_by_reason) == {
        "several customers of this file have this line_user_id",
        "several rows of this customer_id have different values",
    }


def test_a_webhook_made_customer_becomes_the_member(
    engine: Engine, importer: Importer, channel_id: int, clock: StillClock
) -> None:
    with transaction(engine) as session:
        stranger = make_customer(session, member_id=None, marketing_refused_at=clock())
        session.add(LineAccount(channel_id=channel_id, line_user_id=ANNA, customer_id=stranger.id or 0))
    assert importer(f"customer_id,line_user_id,name\nM1,{ANNA},Anna\n").changed == 1
    assert importer(f"customer_id,line_user_id,name\nM1,{ANNA},Anna\n").unchanged == 1
    with reading(engine) as session:
        anna = session.exec(select(Customer)).one()
        assert (anna.id, anna.member_id, anna.name, anna.marketing_refused_at) == (stranger.id, "M1", "Anna", clock())


def test_everything_of_a_webhook_made_customer_moves_to_a_member_who_was_there(
    engine: Engine, importer: Importer, channel_id: int, clock: StillClock
) -> None:
    with transaction(engine) as session:
        member = make_customer(session, member_id="M1", city="Tainan", attributes={"a": 1})
        stranger = make_customer(
            session, member_id=None, name="小安", city="x", attributes={"a": 2, "b": 3}, marketing_refused_at=clock()
        )
        bystander = make_customer(session)
        session.add(LineAccount(channel_id=channel_id, line_user_id=ANNA, customer_id=stranger.id or 0))
        event: dict[str, Any] = {"source": "line", "kind": "message", "channel_id": channel_id, "received_at": LONG_AGO}
        session.add(BehaviourEvent(event_key="e1", customer_id=stranger.id, occurred_at=LONG_AGO, **event))
        make_order(session, member)
        make_order(session, stranger)
        tag = Tag(name="t", created_at=LONG_AGO)
        session.add(tag)
        session.flush()
        for who in (member, stranger, bystander):
            session.add(CustomerTag(tag_id=tag.id or 0, customer_id=who.id or 0, since=LONG_AGO, source="import"))
        run = CampaignRun(
            campaign_id=make_campaign(session, session.get_one(Channel, channel_id)).id or 0,
            scheduled_for=LONG_AGO,
            way="push",
            fired_at=LONG_AGO,
        )
        session.add(run)
        session.flush()
        states = ((member, "skipped"), (stranger, "accepted"), (bystander, "skipped"))
        session.add_all(Delivery(run_id=run.id or 0, customer_id=who.id or 0, state=state) for who, state in states)
    report = importer(f"customer_id,line_user_id,city\nM1,{ANNA},\n")
    assert (report.changed, report.refused) == (1, [])
    with reading(engine) as session:
        anna = one(session, "M1")
        assert (anna.id, anna.name, anna.city, anna.attributes) == (member.id, "小安", "Tainan", {"a": 1, "b": 3})
        assert anna.marketing_refused_at == clock()
        assert session.get(Customer, stranger.id) is None
        for model, count in ((LineAccount, 1), (BehaviourEvent, 1), (SalesOrder, 2), (CustomerTag, 1), (Delivery, 1)):
            mine = session.exec(select(model).where(model.customer_id == member.id)).all()
            assert len(mine) == count, model.__name__
        assert session.exec(select(Delivery.state).where(Delivery.customer_id == member.id)).one() == "accepted"
        assert len(session.exec(select(Delivery)).all()) == 2
    assert importer(f"customer_id,line_user_id,city\nM1,{ANNA},\n").unchanged == 1


def test_an_account_of_another_member_and_a_second_account_are_refused(
    engine: Engine, importer: Importer, channel_id: int
) -> None:
    importer(f"customer_id,line_user_id\nM1,{ANNA}\n")
    report = importer(f"customer_id,line_user_id,name\nM2,{ANNA},x\nM1,{BEN},y\nM3,,z\n")
    assert report.refused == [
        (2, "line_user_id belongs to another customer"),
        (3, "this customer already has another LINE account on the channel"),
    ]
    with transaction(engine) as session:
        assert {c.member_id: c.name for c in session.exec(select(Customer))} == {"M1": None, "M3": "z"}
        other = make_channel(session)
        make_account(session, other, one(session, "M1"))
        stranger = make_customer(session, member_id=None)
        make_account(session, other, stranger)
        member = make_customer(session, member_id="M9")
        make_account(session, other, member)
        session.add(LineAccount(channel_id=channel_id, line_user_id=BEN, customer_id=stranger.id or 0))
    report = importer(f"customer_id,line_user_id\nM9,{BEN}\n")
    assert [reason for _, reason in report.refused] == ["this customer already has another LINE account on the channel"]


def test_line_accounts_need_a_channel(engine: Engine, tmp_path: Path, clock: StillClock) -> None:
    (tmp_path / "c.csv").write_text(f"customer_id,line_user_id\n1,{ANNA}\n")
    with pytest.raises(BadInput, match="which channel"):
        import_customers(engine, tmp_path / "c.csv", channel_id=None, zone=TAIPEI, clock=clock)


def test_more_customers_than_one_chunk(engine: Engine, importer: Importer) -> None:
    text = "customer_id,name\n" + "\n".join(f"{i:05},n{i}" for i in range(5_001))
    assert importer(text).added == 5_001
    report = importer(text.replace("n5000", "new"))
    assert (report.changed, report.unchanged) == (1, 5_000)


def test_a_label_that_a_person_approved_outlives_the_next_file(
    engine: Engine, tmp_path: Path, clock: StillClock
) -> None:
    def importer(labels: str) -> ImportReport:
        (tmp_path / "p.csv").write_text(f"sku,name,labels\n1,洗髮精,{labels}\n", encoding="utf-8")
        return import_products(engine, tmp_path / "p.csv", zone=TAIPEI, clock=clock)

    def labels() -> list[str]:
        with reading(engine) as session:
            return session.exec(select(Product)).one().labels

    importer("抗油")
    with transaction(engine) as session:
        article = session.exec(select(Product)).one()
        article.labels = ["抗油", "去屑"]
        for label, state in (("去屑", "approved"), ("染護", "rejected"), ("香氛", "proposed")):
            session.add(ProductLabel(product_id=article.id or 0, label=label, state=state, proposed_at=clock()))
    assert importer("抗油").unchanged == 1
    assert labels() == ["抗油", "去屑"]
    assert importer("染護").changed == 1
    assert labels() == ["染護", "去屑"]
    assert importer("去屑").changed == 1
    assert labels() == ["去屑"]


def test_products_arrive_change_and_stay(engine: Engine, tmp_path: Path, clock: StillClock) -> None:
    def run(text: str) -> ImportReport:
        (tmp_path / "p.csv").write_text(text, encoding="utf-8")
        return import_products(engine, tmp_path / "p.csv", zone=TAIPEI, clock=clock)

    header = "sku,name,categories,labels,price,in_stock,url"
    text = f"{header}\n001,洗髮精,髮品;頭皮,去屑;抗油,399.5,是,https://x.example/1\n002,染劑,,,,no,\n003,b,,,,maybe,\n"
    text += "004,c,,,,,javascript:alert(1)\n005,,,,,,\n006,d,,,9.99999,,\n"
    report = run(text)
    assert (report.added, [row for row, _ in report.refused]) == (2, [4, 5, 6, 7])
    assert run(text).unchanged == 2
    assert run(f"{header}\n001,洗髮精,,染護,450,,\n").changed == 1
    with reading(engine) as session:
        shampoo = session.exec(select(Product).where(Product.sku == "001")).one()
        assert (shampoo.categories, shampoo.labels, shampoo.price) == (["髮品", "頭皮"], ["染護"], Decimal(450))
        assert (shampoo.in_stock, shampoo.url) == (True, "https://x.example/1")
        dye = session.exec(select(Product).where(Product.sku == "002")).one()
        assert (dye.in_stock, dye.price, dye.labels) == (False, None, [])


def test_a_new_customer_is_dated_by_the_clock(engine: Engine, importer: Importer) -> None:
    importer("customer_id\n1\n")
    with reading(engine) as session:
        assert one(session, "1").created_at == datetime(2026, 11, 2, 4, 0, tzinfo=UTC)


def test_more_tags_than_a_statement_takes_are_put_on(engine: Engine, importer: Importer) -> None:
    rows = [f"m{n}," + ";".join(f"t{n}-{k}" for k in range(100)) for n in range(340)]
    report = importer("\n".join(["customer_id,tags", *rows]))
    assert (report.added, report.refused_count) == (340, 0)
    with reading(engine) as session:
        assert session.scalar(text("SELECT count(*) FROM customer_tag")) == 34_000


SHEET_ROWS = [
    ("#N/A,,,", "customer_id holds an error of Excel, such as #N/A"),
    ("A,#REF!,,", "name holds an error of Excel, such as #N/A"),
    ("A,,VIP;#VALUE!,", "a tag is an error of Excel, such as #N/A"),
    ("A,,,#DIV/0!", "another column holds an error of Excel, such as #N/A"),
    ("1.23457E+14,,,", "customer_id was rounded by Excel: format the column as text"),
]


@pytest.mark.parametrize(("row", "reason"), SHEET_ROWS)
def test_what_a_spreadsheet_spoilt_is_refused(engine: Engine, importer: Importer, row: str, reason: str) -> None:
    report = importer(f"customer_id,name,tags,店別,,\n{row},,\n,,,,,\n00004,E+1 王,VIP,N/A,,\n , ,,,,\n")
    assert report.refused == [(2, reason)]
    assert (report.read, report.added) == (2, 1)
    with reading(engine) as session:
        assert one(session, "00004").attributes == {"店別": "N/A"}
        assert [found.name for found in session.exec(select(Tag))] == ["VIP"]


def test_cells_beside_the_named_columns_are_refused(importer: Importer) -> None:
    assert importer("customer_id,name,,\nA,王,,\nB,李,,x\n").refused == [(3, "4 cells where the header has 2")]


def test_two_names_of_one_column_in_a_line_are_refused(importer: Importer) -> None:
    lines = '{"customer_id": "A", "Tags": "a", "tags": "b"}\n{"customer_id": "B", "tags": "b"}\n'
    report = importer(lines, "customers.jsonl")
    assert report.refused == [(1, "two names in this line are the same column")]
    assert report.added == 1


@pytest.mark.parametrize(
    ("coding", "line"), [("big5", 3), ("utf-16", 1), ("utf-8", 3)], ids=["big5", "utf-16", "cut off"]
)
def test_another_encoding_is_told_with_its_line_and_nothing_is_imported(
    engine: Engine, tmp_path: Path, clock: StillClock, coding: str, line: int
) -> None:
    path = tmp_path / "customers.csv"
    content = "customer_id,name\r\nA,Amy\r\nB,王小明".encode(coding)
    path.write_bytes(content[:-1] if coding == "utf-8" else content)
    with pytest.raises(BadInput, match=f"is not UTF-8 text: line {line} is another encoding"):
        import_customers(engine, path, channel_id=None, zone=TAIPEI, clock=clock)
    assert everything(engine) == [[], [], [], []]


def test_line_breaks_in_quotes_and_of_every_kind_are_read(engine: Engine, importer: Importer, tmp_path: Path) -> None:
    report = importer('customer_id,name,note\r\nA,王,"one\ntwo"\n\n"B",李,"a ""b"""\r\nC,x\r\n00004,陳,"=1+1"\n')
    assert report.refused == [(5, "2 cells where the header has 3")]
    with reading(engine) as session:
        assert one(session, "A").attributes == {"note": "one\ntwo"}
        assert one(session, "B").attributes == {"note": 'a "b"'}
        assert one(session, "00004").attributes == {"note": "=1+1"}
