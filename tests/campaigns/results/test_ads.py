"""Audiences for ads: normalised and hashed as each platform asks, of those who consented, audited."""

import csv
import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from bot.line.audiences import NarrowcastDoor
from campaigns.audience.target import Audience, UnknownTarget
from campaigns.results import ads
from campaigns.results.ads import export_ads, names_of, normal_email, normal_phone, without_gmail_marks
from campaigns.results.line_audience import Uploaded, upload_ads
from campaigns.settings import change_settings
from simulator.channels import Friend
from simulator.server import SimulatorThread
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import AuditEntry, Channel
from tests.campaigns.conftest import TOKEN, ZONE
from tests.conftest import StillClock
from tests.factories import make_account, make_channel, make_customer


def sha(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()


@pytest.mark.parametrize(
    ("given", "meta", "google"),
    [
        (" User.Name+NYC@Example.com ", "user.name+nyc@example.com", "user.name+nyc@example.com"),  # Google's own
        (
            "cloudy.sanfrancisco+shopping@gmail.com",
            "cloudy.sanfrancisco+shopping@gmail.com",
            "cloudysanfrancisco@gmail.com",
        ),
        ("王＠example.com", "王@example.com", "王@example.com"),
        ("not an address", None, None),
        (None, None, None),
    ],
)
def test_addresses(given: Any, meta: str | None, google: str | None) -> None:
    assert normal_email(given) == meta
    assert without_gmail_marks(normal_email(given)) == google


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("0912-345-678", "+886912345678"),
        ("０９１２３４５６７８", "+886912345678"),
        ("+886 912 345 678", "+886912345678"),
        ("(02) 2712-3456", "+886227123456"),
        ("+81 90-1234-5678", "+819012345678"),
        ("12345", None),
        ("", None),
        (None, None),
    ],
)
def test_phone_numbers(given: Any, expected: str | None) -> None:
    assert normal_phone(given, "TW") == expected


@pytest.mark.parametrize(
    ("name", "attributes", "expected"),
    [
        ("王小明", {}, ("小明", "王")),
        ("歐陽娜娜", {}, ("娜娜", "歐陽")),
        ("Amy Chen", {}, ("amy", "chen")),
        ("Amy", {}, ("", "")),
        ("阿明仔店長好", {}, ("", "")),
        ("x", {"first_name": "Mary", "last_name": "O'Neil"}, ("mary", "o'neil")),
        (None, {}, ("", "")),
    ],
)
def test_names(name: str | None, attributes: dict[str, Any], expected: tuple[str, str]) -> None:
    assert names_of(name, attributes) == expected


class Brand:
    def __init__(self, engine: Engine, now: datetime, folder: Path) -> None:
        self.engine, self.now, self.folder = engine, now, folder
        with transaction(engine) as session:
            channel = make_channel(session)
            self.channel_id = channel.id or 0
            yes = {"ads_ok": "yes", "email": "A.b@gmail.com", "phone": "0912345678", "zip": "106"}
            self.amy = make_customer(session, name="王小明", attributes=yes, city="台北")
            make_account(session, channel, self.amy, line_user_id="U" + "a" * 32)
            make_customer(session, name="refused", attributes=yes, marketing_refused_at=now, city="台北")
            make_customer(session, name="never said", attributes={**yes, "ads_ok": None})
            make_customer(session, name="said no", attributes={**yes, "ads_ok": "no"})
            make_customer(session, name="no address", attributes={"ads_ok": True})
            gone = make_customer(session, name="left", attributes={"ads_ok": True, "phone": "0922333444"})
            make_account(session, channel, gone, is_following=False)

    def consent(self, attribute: str | None) -> None:
        with transaction(self.engine) as session:
            change_settings(session, {"ads_consent": attribute}, actor="test", now=self.now)

    def write(self, platform: str, *targets: str) -> tuple[tuple[int, int], list[list[str]]]:
        path = self.folder / "ads.csv"
        counts = export_ads(
            self.engine,
            Audience(targets or ("all",)),
            path,
            platform=platform,
            channel_id=self.channel_id,
            actor="test",
            zone=ZONE,
            clock=lambda: self.now,
        )
        return counts, list(csv.reader(path.read_text(encoding="utf-8").splitlines()))


@pytest.fixture
def brand(engine: Engine, clock: StillClock, tmp_path: Path) -> Brand:
    return Brand(engine, clock(), tmp_path)


def test_meta_gets_hashes_of_those_who_consented(brand: Brand) -> None:
    brand.consent("ads_ok")
    counts, rows = brand.write("meta")
    assert counts == (2, 4)
    assert rows[0] == ["email", "phone", "fn", "ln", "country"]
    assert rows[1] == [sha("a.b@gmail.com"), sha("886912345678"), sha("小明"), sha("王"), sha("tw")]
    assert rows[2] == ["", sha("886922333444"), "", "", sha("tw")]


def test_google_gets_its_own_form(brand: Brand) -> None:
    brand.consent("ads_ok")
    _, rows = brand.write("google")
    assert rows[0] == ["Email", "Phone", "First Name", "Last Name", "Country", "Zip"]
    assert rows[1] == [sha("ab@gmail.com"), sha("+886912345678"), sha("小明"), sha("王"), "TW", "106"]
    assert rows[2] == ["", sha("+886922333444"), "", "", "", ""]


def test_line_gets_user_ids_of_those_who_follow(brand: Brand) -> None:
    brand.consent("ads_ok")
    assert brand.write("line") == ((1, 5), [["U" + "a" * 32]])


def test_a_rule_says_whom_page_by_page(brand: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ads, "PAGE", 2)
    brand.consent("ads_ok")
    lives_in = 'rule:{"type": "attribute", "name": "city", "is": "%s"}'
    assert brand.write("line", lives_in % "台北") == ((1, 1), [["U" + "a" * 32]])
    assert brand.write("line", lives_in % "花蓮") == ((0, 0), [])
    with pytest.raises(UnknownTarget):
        brand.write("meta", "rule:nobody")


def test_nothing_leaves_before_the_brand_says_what_consent_is(brand: Brand) -> None:
    with pytest.raises(BadInput, match="ads_consent"):
        brand.write("meta")
    assert list(brand.folder.glob("*ads*")) == []
    brand.consent("ads_ok")
    with pytest.raises(BadInput, match="none of meta, google, line"):
        brand.write("tiktok")
    with pytest.raises(UnknownTarget):
        brand.write("meta", "list:nobody")
    audit = table_of(AuditEntry)
    with reading(brand.engine) as session:
        actions = select(audit.c.detail).where(audit.c.action == "export ad audience")
        assert session.scalars(actions).all() == []
    brand.write("meta")
    with reading(brand.engine) as session:
        assert session.scalars(actions).all() == [{"audience": "all", "platform": "meta"}]


def upload(brand: Brand, line: SimulatorThread, name: str, *targets: str) -> Uploaded:
    door = NarrowcastDoor(api_base=line.url, access_token=TOKEN, timeout_seconds=5)
    return upload_ads(
        brand.engine,
        Audience(targets or ("all",)),
        name,
        door,
        channel_id=brand.channel_id,
        actor="test",
        zone=ZONE,
        clock=lambda: brand.now,
        wait=lambda _: None,
    )


def people_at(line: SimulatorThread) -> dict[str, set[str]]:
    """Name -> people of LINE's audiences."""
    with line.platform.lock:
        audiences = line.platform.channels[0].audiences.audiences.values()
        return {one.name: {who for job in one.jobs for who in job.people} for one in audiences}


def test_those_who_consented_are_uploaded_to_line_without_ids_that_it_does_not_know(
    brand: Brand, line: SimulatorThread
) -> None:
    brand.consent("ads_ok")
    known = [f"U{n:032x}" for n in range(1, 6)]
    with transaction(brand.engine) as session:
        channel = session.get_one(Channel, brand.channel_id)
        for who in (*known, "U" + "f" * 32):
            make_account(session, channel, make_customer(session, attributes={"ads_ok": "yes"}), line_user_id=who)
    line.platform.add_friends(Friend(who, "朋友") for who in (*known, "U" + "a" * 32))
    found = upload(brand, line, "秋季廣告")
    assert (found.people, found.left_out, found.unknown) == (6, 5, 1)
    assert people_at(line) == {"秋季廣告": {*known, "U" + "a" * 32}}
    with pytest.raises(BadInput, match="nobody can be taken out"):
        upload(brand, line, "秋季廣告")
    audit = table_of(AuditEntry)
    with reading(brand.engine) as session:
        details = session.scalars(select(audit.c.detail).where(audit.c.action == "export ad audience")).all()
    assert details == [{"audience": "all", "platform": "line", "name": "秋季廣告"}]


def test_nothing_is_uploaded_before_the_brand_says_what_consent_is(brand: Brand, line: SimulatorThread) -> None:
    with pytest.raises(BadInput, match="ads_consent"):
        upload(brand, line, "秋季廣告")
    assert people_at(line) == {}
