"""`retarget campaign check`, `layout`, `send-test` by version, and `retarget link`, on both databases."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from sqlalchemy import select

from service.cli.campaign import app as campaign_app
from service.cli.link import app as link_app
from simulator.channels import ChannelOptions, Friend
from simulator.server import Simulator, SimulatorThread
from store.engine import open_engine, reading
from store.errors import BadInput
from store.models import Campaign
from tests.service.conftest import Retarget

ME = "U" + "a" * 32


@pytest.fixture
def retarget(command_line: Callable[[typer.Typer], Retarget]) -> Retarget:
    return command_line(campaign_app)


@pytest.fixture
def link(command_line: Callable[[typer.Typer], Retarget]) -> Retarget:
    return command_line(link_app)


def test_every_version_is_checked_by_line_and_sent_to_oneself(
    retarget: Retarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    content = tmp_path / "a.json"
    text = {"type": "text", "text": "您好 {{ name or '您' }} https://shop.example/a"}
    coupon = {"type": "coupon", "couponId": "01JYNW8JMQVFBNWF1APF8Z3FS7"}  # one that the account does not have
    content.write_text(json.dumps({"messages": [text], "languages": {"en": [{"type": "text", "text": "Hi"}]}}))
    other = tmp_path / "b.json"
    other.write_text(json.dumps([coupon]))
    with SimulatorThread(Simulator()) as line:
        line.platform.add_friends([Friend(ME, "我")])
        monkeypatch.setenv("LINE_API_BASE", line.url)
        monkeypatch.setenv("LINE_CHANNEL_ACCESS_TOKEN", ChannelOptions().access_token)
        named = ("create", "--name", "n", "--to", "all", "--messages")
        retarget(*named, str(content), "--utm", "source=line", "--json")
        retarget(*named, str(content), "--messages", str(other), "--json")
        verdicts = retarget("check", "1", "--json")
        assert [(v["variant"], v["language"], v["problem"]) for v in verdicts] == [("A", None, None), ("A", "en", None)]
        with pytest.raises(AssertionError):  # exit code 1
            retarget("check", "2")
        retarget("send-test", "2", "--to", ME, "--variant", "A", "--language", "en")
        assert line.platform.channels[0].ledger.entries[0].messages == [{"type": "text", "text": "Hi"}]
        with pytest.raises(BadInput, match="1 A en"):
            retarget("send-test", "2", "--to", ME, "--language", "ja")
    engine = open_engine(database_url)
    with reading(engine) as session:
        assert session.scalars(select(Campaign)).first().utm == {"source": "line"}  # type: ignore[union-attr]
    engine.dispose()
    with pytest.raises(BadInput, match="name=value"):
        retarget(*named, str(content), "--utm", "source")


def test_a_layout_is_printed_as_messages(retarget: Retarget) -> None:
    fields = [
        f"--field={pair}" for pair in ("alt=券", "title=生日禮", "offer=9 折", "until=12/31", "link=https://a.example")
    ]
    made = json.loads(retarget("layout", "coupon", *fields))
    assert (made[0]["type"], made[0]["altText"]) == ("flex", "券")
    lists = [
        f"--field={p}"
        for p in ("alt=x", "names=甲", "prices=1", "links=https://a.example", "images=https://a.example/b")
    ]
    assert json.loads(retarget("layout", "products", *lists))[0]["contents"]["type"] == "carousel"


def test_a_shops_code_is_made_listed_and_printed(link: Retarget, tmp_path: Path) -> None:
    made = link("create", "櫃台", "https://shop.example/a", "--topic", "維他命", "--json")
    assert "/r/" in made["link"]
    (listed,) = link("list", "--json")
    assert (listed["name"], listed["topic"], listed["fetches"], listed["link"]) == ("櫃台", "維他命", {}, made["link"])
    assert "櫃台" in link("list")
    for name, begin in (("code.svg", b"<?xml"), ("code.png", b"\x89PNG")):
        link("qr", "櫃台", "--out", str(tmp_path / name))
        assert (tmp_path / name).read_bytes().startswith(begin)
    with pytest.raises(BadInput, match="svg or"):
        link("qr", "櫃台", "--out", str(tmp_path / "code.pdf"))
