"""The LIFF page: who tapped is what LINE says of an ID token, and nothing that the page says."""

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select
from werkzeug.test import Client

from bot.line.answers import LineError
from bot.line.login import LoginDoor
from campaigns.links.clicks import make_click_events, who_tapped
from campaigns.links.making import LinkMaker
from campaigns.links.tokens import TokenSigner
from service.app import create_app, serve_with
from service.settings import Settings
from simulator.server import Simulator, SimulatorThread
from store.engine import reading, table_of, transaction
from store.imports.merging import merge_customers
from store.journal import Journal
from store.models import BehaviourEvent, Click, LineAccount, TrackedLink
from tests.conftest import StillClock
from tests.factories import make_campaign, make_channel, make_customer, make_run

KEY = "k" * 40
LOGIN = "1656789012"
LIFF_ID = "1656789012-AbcdEfgh"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari Line/15.2.1"
MINE, FRIEND, STRANGER = (f"U{n:032x}" for n in (1, 2, 3))


@pytest.fixture
def line(clock: StillClock) -> Iterator[SimulatorThread]:
    with SimulatorThread(Simulator(clock=clock)) as running:
        yield running


class World:
    """A campaign's link, the customer it was made for, their friend (a customer too), a browser, a simulated LINE."""

    def __init__(self, engine: Engine, clock: StillClock, line: SimulatorThread, journal: Journal) -> None:
        self.engine, self.clock, self.line = engine, clock, line
        with transaction(engine) as session:
            channel = make_channel(session)
            campaign = make_campaign(session, channel)
            self.customers = [make_customer(session).id or 0 for _ in range(2)]
            for user_id, customer_id in zip((MINE, FRIEND), self.customers, strict=True):
                session.add(LineAccount(channel_id=channel.id or 0, line_user_id=user_id, customer_id=customer_id))
            link = TrackedLink(campaign_id=campaign.id, url="https://shop.example/a?b=1", topic="維他命 C")
            session.add(link)
            session.flush()
            self.link_id, self.run_id = link.id or 0, make_run(session, campaign).id or 0
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            secret_key=KEY,  # type: ignore[arg-type]
            liff_id=LIFF_ID,
            line_login_channel_id=LOGIN,
            line_api_base=line.url,
        )
        app = create_app(settings, engine, journal, clock)
        self.browser = Client(serve_with(app, settings, engine, journal, journal, clock))

    def token(self, customer_id: int | None) -> str:
        return TokenSigner(KEY).sign(self.link_id, self.run_id, customer_id)

    def hand_in(self, token: str, id_token: Any, **more: Any) -> Any:
        body = {"id_token": id_token, **more}
        return self.browser.post(f"/liff/{token}", json=body, headers={"User-Agent": PHONE})

    def id_token(self, user_id: str, channel_id: str = LOGIN, **claims: Any) -> str:
        return self.line.simulator.login.id_token(user_id, channel_id, **claims)

    def clicks(self) -> list[tuple[str, int | None, int | None]]:
        click = table_of(Click)
        with reading(self.engine) as session:
            rows = session.execute(select(click.c.kind, click.c.customer_id, who_tapped()).order_by(click.c.id)).all()
        return [(row[0], row[1], row[2]) for row in rows]

    def events(self) -> list[int | None]:
        event = table_of(BehaviourEvent)
        with transaction(self.engine) as session:
            make_click_events(session, now=self.clock())
            return list(session.scalars(select(event.c.customer_id).order_by(event.c.id)))


@pytest.fixture
def world(engine: Engine, clock: StillClock, line: SimulatorThread) -> Iterator[World]:
    journal = Journal(engine)
    yield World(engine, clock, line, journal)
    journal.close()


def test_a_tap_on_a_link_for_everyone_becomes_the_tappers(world: World) -> None:
    answer = world.hand_in(world.token(None), world.id_token(FRIEND))
    assert (answer.status_code, answer.json) == (200, {"address": "https://shop.example/a?b=1"})
    assert world.clicks() == [("person", None, world.customers[1])]
    assert world.events() == [world.customers[1]]


def test_a_tap_on_ones_own_link_is_a_persons_and_on_anothers_a_forward(world: World) -> None:
    mine, friend = world.customers
    for user_id in (MINE, FRIEND, STRANGER):
        assert world.hand_in(world.token(mine), world.id_token(user_id)).status_code == 200
    assert world.clicks() == [("person", mine, mine), ("forward", mine, friend), ("forward", mine, mine)]
    assert world.events() == [mine, friend]  # a stranger's tap is nobody's behaviour


def test_a_link_sent_before_its_owner_was_found_to_be_a_member_is_still_their_own(world: World) -> None:
    token = world.token(world.customers[0])
    with transaction(world.engine) as session:
        member_id = make_customer(session).id or 0
        merge_customers(session.connection(), {world.customers[0]: member_id})
    assert world.hand_in(token, world.id_token(MINE)).status_code == 200
    assert world.clicks() == [("person", member_id, member_id)]


def test_a_user_id_sent_by_the_page_is_never_trusted(world: World) -> None:
    answer = world.hand_in(world.token(None), "", userId=MINE, sub=MINE, profile={"userId": MINE})
    assert answer.status_code == 401
    unsigned = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in (
            {"alg": "none"},
            {"iss": "https://access.line.me", "sub": MINE, "aud": LOGIN, "exp": 2**40},
        )
    ]
    assert world.hand_in(world.token(None), ".".join((*unsigned, ""))).status_code == 401
    assert world.clicks() == []


def test_tokens_that_line_does_not_vouch_for_are_401(world: World) -> None:
    good = world.id_token(MINE)
    world.clock.now += timedelta(hours=2)
    wrong = [
        good,  # expired
        world.id_token(MINE, channel_id="999"),
        world.id_token(MINE, iss="https://evil.example"),
        world.id_token("not a user id"),
        world.id_token(MINE)[:-2] + "xx",
        "x" * 5_000,
        "a.b.c",
    ]
    assert [world.hand_in(world.token(None), token).status_code for token in wrong] == [401] * 7
    assert world.clicks() == []


def test_nonsense_and_unknown_links_are_refused(world: World) -> None:
    for body in (b"", b"[]", b'{"id_token": 5}', b"x" * 10_000):
        assert world.browser.post(f"/liff/{world.token(None)}", data=body).status_code in (400, 413)
    assert world.hand_in("A" * 32, world.id_token(MINE)).status_code == 404
    assert world.browser.get(f"/liff/{'A' * 32}").status_code == 404


def test_the_page_loads_lines_own_sdk_and_runs_nothing_else(world: World) -> None:
    for path in ("/liff", f"/liff/{world.token(None)}"):
        page = world.browser.get(path)
        assert page.status_code == 200
        assert 'src="https://static.line-scdn.net/liff/edge/2/sdk.js"' in page.text
        assert LIFF_ID in page.text
        assert page.text.index("setTimeout(plainly") < page.text.index("static.line-scdn.net")  # it may never come
        assert page.text.count("<script") == page.text.count("<script nonce=")
        assert "'strict-dynamic'" in page.headers["Content-Security-Policy"]
    assert world.clicks() == []  # looking at the page is no tap


def test_line_that_cant_be_asked_is_told_from_a_wrong_token(clock: StillClock, line: SimulatorThread) -> None:
    door = LoginDoor(api_base="http://127.0.0.1:9", channel_id=LOGIN, timeout_seconds=1)
    with pytest.raises(LineError) as caught:
        door.user_of(line.simulator.login.id_token(MINE, LOGIN), now=clock())
    assert caught.value.may_try_again


def test_without_liff_there_is_no_page_and_links_are_plain(engine: Engine, clock: StillClock) -> None:
    journal = Journal(engine)
    settings = Settings(_env_file=None, secret_key=KEY)  # type: ignore[call-arg, arg-type]
    app = create_app(settings, engine, journal, clock)
    assert app.test_client().get("/liff").status_code == 404
    journal.close()
    signer = TokenSigner(KEY)
    plain = LinkMaker(signer, "https://b.example")
    assert plain.link(1, 2, None) == f"https://b.example/r/{signer.sign(1, 2, None)}"
    through = LinkMaker(signer, "https://b.example", liff_id=LIFF_ID)
    assert through.link(1, 2, None) == f"https://liff.line.me/{LIFF_ID}/{signer.sign(1, 2, None)}"
    assert through.link(1, 2, 3) == f"https://b.example/r/{signer.sign(1, 2, 3)}"
    everyone = LinkMaker(signer, "https://b.example", liff_id=LIFF_ID, liff_links="all")
    assert everyone.link(1, 2, 3) == f"https://liff.line.me/{LIFF_ID}/{signer.sign(1, 2, 3)}"
