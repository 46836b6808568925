"""Who may come in, and what each may do there."""

from collections.abc import Callable

import pyotp
import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, select, update

from console.access import users
from console.access.browsers import browser_words
from console.access.guard import OPEN, SAFE
from console.access.lockout import FREE, account_subject, note_failure
from console.access.passwords import check_strength, hash_of, is_right
from console.access.roles import Role
from store.engine import reading, table_of, transaction
from store.errors import BadInput
from store.models import AuditEntry, ConsoleSession, ConsoleUser
from tests.conftest import StillClock
from tests.console.conftest import console_app, page, send, sign_in, token_of

PASSWORD = "紅茶 with lemon 7"
EMAIL = "mei@example.com"
KIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {KIT} Chrome/130.0.0.0 Safari/537.36"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605"


@pytest.fixture
def mei(engine: Engine, clock: StillClock) -> int:
    """An account with a password."""
    with transaction(engine) as session:
        made = users.make_user(
            session,
            email="Mei@Example.com",
            name="美",
            role=Role.OWNER,
            actor="t",
            now=clock(),
            password_hash=hash_of(PASSWORD),
        )
        return made.id or 0


@pytest.fixture
def stranger(engine: Engine, clock: StillClock) -> FlaskClient:
    """A browser that hasn't signed in."""
    return console_app(engine, clock).test_client()


def come_in(client: FlaskClient, password: str = PASSWORD, email: str = EMAIL, **more: str) -> int:
    token = token_of(client, "/console/login")
    fields = {"csrf_token": token, "email": email, "password": password, **more}
    return client.post("/console/login", data=fields).status_code


def test_nobody_sees_a_page_before_signing_in_and_comes_back_to_it_afterwards(stranger: FlaskClient, mei: int) -> None:
    answer = stranger.get("/console/customers?q=a")
    assert answer.status_code == 302
    assert answer.location == "/console/login?next=/console/customers?q%3Da"
    token = token_of(stranger, answer.location)
    fields = {"csrf_token": token, "email": " MEI@example.com", "password": PASSWORD, "next": "/console/customers?q=a"}
    answer = stranger.post("/console/login", data=fields)
    assert (answer.status_code, answer.location) == (303, "/console/customers?q=a")
    assert "美" in page(stranger, "/console/customers")


@pytest.mark.parametrize("elsewhere", ["https://evil.example/console/", "//evil.example", "/console//evil", "/other"])
def test_nobody_is_led_away_after_signing_in(stranger: FlaskClient, mei: int, elsewhere: str) -> None:
    token = token_of(stranger, "/console/login")
    fields = {"csrf_token": token, "email": EMAIL, "password": PASSWORD, "next": elsewhere}
    assert stranger.post("/console/login", data=fields).location == "/console/"


def test_every_route_asks_who_it_is_and_refuses_readers_what_changes_things(
    engine: Engine, clock: StillClock, mei: int, client_of: Callable[[Role], FlaskClient]
) -> None:
    app = console_app(engine, clock)
    nobody, reader = app.test_client(), client_of(Role.READER)
    token = token_of(reader)
    own = {"console.sign_out", "console.set_password", "console.offer_totp", "console.set_totp", "console.drop_totp"}
    own |= {"console.end_session", "console.keep_view", "console.change_view", "console.delete_view"}
    own.add("console.ask_moves")  # whoever may look may have it counted
    walked = 0
    for rule in app.url_map.iter_rules():
        if rule.endpoint in OPEN or not rule.endpoint.startswith("console."):
            continue
        values = {name: 1 if "int" in str(converter).lower() else "x" for name, converter in rule._converters.items()}
        address = app.url_map.bind("localhost").build(rule.endpoint, values)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            walked += 1
            alone = nobody.open(address, method=method, data={"csrf_token": token_of(nobody, "/console/login")})
            assert (alone.status_code, "/console/login" in (alone.location or "")) == (302, True), address
            if method not in SAFE and rule.endpoint not in own:
                refused = reader.open(address, method=method, data={"csrf_token": token})
                assert refused.status_code == 403, (method, address)
    assert walked > 25


def test_a_form_without_its_token_changes_nothing(client: FlaskClient, stranger: FlaskClient, mei: int) -> None:
    assert client.post("/console/people", data={"email": "a@b.example"}).status_code == 400
    foreign = token_of(stranger, "/console/login")
    answer = client.post("/console/people", data={"email": "a@b.example", "csrf_token": foreign})
    assert answer.status_code == 400
    text = answer.get_data(as_text=True)
    assert "過期" in text
    assert 'href="/console/people"' in text  # the way on: the menu of whom it knows
    assert stranger.post("/console/login", data={"email": EMAIL, "password": PASSWORD}).status_code == 400


def test_wrong_passwords_lock_the_account_for_longer_each_time_and_the_right_one_too(
    stranger: FlaskClient, clock: StillClock, mei: int
) -> None:
    for _ in range(FREE["account"]):
        assert come_in(stranger, "wrong password") == 401
    assert come_in(stranger) == 429  # even the right one, so that guessing tells nothing
    clock.advance(seconds=31)
    assert come_in(stranger, "wrong password") == 401
    clock.advance(seconds=31)
    assert come_in(stranger) == 429
    clock.advance(seconds=30)
    assert come_in(stranger) == 303
    assert come_in(stranger, "wrong password") == 401  # the count began anew


def test_nobody_waits_for_a_password_being_verified(
    stranger: FlaskClient, engine: Engine, mei: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def while_another_writes(stored: str | None, password: str) -> bool:
        with transaction(engine) as session:
            session.execute(update(ConsoleUser).where(table_of(ConsoleUser).c.id == mei).values(name="written"))
        return is_right(stored, password)

    monkeypatch.setattr("store.engine.SQLITE_BUSY_SECONDS", 1)
    monkeypatch.setattr("console.access.login.is_right", while_another_writes)
    assert come_in(stranger) == 303
    with reading(engine) as session:
        assert session.get_one(ConsoleUser, mei).name == "written"


def test_an_answer_that_comes_after_the_lock_out_tells_nothing(
    stranger: FlaskClient, engine: Engine, clock: StillClock, mei: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def while_others_guess(stored: str | None, password: str) -> bool:
        with transaction(engine) as session:
            for _ in range(FREE["account"]):
                note_failure(session, account_subject(EMAIL), clock())
        return is_right(stored, password)

    monkeypatch.setattr("console.access.login.is_right", while_others_guess)
    assert come_in(stranger) == 429


def test_an_owner_who_signs_somebody_out_is_noted(
    client: FlaskClient, stranger: FlaskClient, engine: Engine, mei: int
) -> None:
    assert come_in(stranger) == 303
    assert send(client, f"/console/people/{mei}/sign-out").status_code == 303
    assert stranger.get("/console/account").status_code == 302
    assert send(client, "/console/people/999/sign-out").status_code == 404
    with reading(engine) as session:
        noted = session.scalars(select(AuditEntry).order_by(table_of(AuditEntry).c.id.desc())).first()
    assert noted is not None
    assert (noted.actor, noted.action) == ("owner@example.com", "sign out console user")
    assert noted.detail == {"user_id": mei}


def test_an_address_with_a_nul_is_no_account(stranger: FlaskClient, client: FlaskClient, mei: int) -> None:
    assert come_in(stranger, email="me\x00i@example.com") == 401
    assert send(client, "/console/people", email="me\x00i@example.com", role="reader").status_code == 400


def test_an_unknown_account_is_refused_in_the_same_words_and_locked_as_well(stranger: FlaskClient, mei: int) -> None:
    for _ in range(FREE["account"]):
        assert come_in(stranger, email="nobody@example.com") == 401
    assert come_in(stranger, email="nobody@example.com") == 429
    assert come_in(stranger) == 303  # others come in


def test_sessions_end_by_sign_out_idleness_age_and_disabling(
    engine: Engine, clock: StillClock, client_of: Callable[[Role], FlaskClient]
) -> None:
    client = client_of(Role.OWNER)
    clock.advance(hours=11)
    page(client, "/console/account")
    clock.advance(hours=11)
    page(client, "/console/account")  # each use counts
    clock.advance(hours=13)
    assert client.get("/console/account").status_code == 302
    client = sign_in(client, engine, clock)
    for _ in range(14 * 24 // 11):
        clock.advance(hours=11)
        page(client, "/console/account")
    clock.advance(hours=11)
    assert client.get("/console/account").status_code == 302
    client = sign_in(client, engine, clock)
    with client.session_transaction("/console/") as cookie:
        stolen = dict(cookie)
    assert send(client, "/console/logout").status_code == 303
    with client.session_transaction("/console/") as cookie:
        cookie.update(stolen)
    assert client.get("/console/account").status_code == 302  # the cookie alone is worth nothing
    marketer = client_of(Role.MARKETER)
    page(marketer, "/console/account")
    with transaction(engine) as session:
        one = users.user_by_email(session, "marketer@example.com")
        assert one is not None
        users.disable(session, one.id or 0, actor="t", now=clock())
    assert marketer.get("/console/account").status_code == 302
    with reading(engine) as session:
        assert stolen["token"] not in {row.token_hash for row in session.scalars(select(ConsoleSession))}


def test_signing_in_begins_a_new_session_whatever_the_browser_brought(stranger: FlaskClient, mei: int) -> None:
    with stranger.session_transaction("/console/") as cookie:
        cookie["token"] = "planted by somebody else"
    assert come_in(stranger) == 303
    with stranger.session_transaction("/console/") as cookie:
        assert cookie["token"] != "planted by somebody else"


def offered_app(client: FlaskClient) -> pyotp.TOTP:
    """The authenticator that scanned what the page offers after the password."""
    assert "<svg" in send(client, "/console/account/totp/new", old=PASSWORD).get_data(as_text=True)
    with client.session_transaction("/console/") as cookie:
        return pyotp.TOTP(cookie["totp"][0])


def test_a_browser_left_open_is_no_leave_to_set_another_second_factor(
    stranger: FlaskClient, engine: Engine, clock: StillClock, mei: int
) -> None:
    come_in(stranger)
    for guess in ({}, {"old": "a guess"}):
        answer = send(stranger, "/console/account/totp/new", **guess)
        assert (answer.status_code, "<svg" in answer.get_data(as_text=True)) == (422, False)
    app = offered_app(stranger)
    clock.advance(minutes=11)  # whoever comes by later finds the offer gone
    assert send(stranger, "/console/account/totp", code=app.at(clock())).status_code == 422
    app, other = offered_app(stranger), stranger.application.test_client()
    come_in(other)
    later = offered_app(other)
    assert send(stranger, "/console/account/totp", code=app.at(clock())).status_code == 200
    assert send(other, "/console/account/totp", code=later.at(clock())).status_code == 422
    assert send(other, "/console/account/totp/new", old=PASSWORD).status_code == 422  # turned off first
    with reading(engine) as session:
        assert session.get_one(ConsoleUser, mei).totp_secret == app.secret


def test_the_second_factor_is_asked_for_and_no_code_works_twice(
    stranger: FlaskClient, engine: Engine, clock: StillClock, mei: int
) -> None:
    assert come_in(stranger) == 303
    app = offered_app(stranger)
    assert send(stranger, "/console/account/totp", code="000000").status_code == 422
    shown = send(stranger, "/console/account/totp", code=app.at(clock())).get_data(as_text=True)
    recovery = shown.split("<code>")[1].split("<")[0]
    send(stranger, "/console/logout")
    clock.advance(seconds=30)

    def give(code: str) -> int:
        token = token_of(stranger, "/console/login/code")
        return stranger.post("/console/login/code", data={"csrf_token": token, "code": code}).status_code

    assert come_in(stranger) == 303
    assert stranger.get("/console/").location.startswith("/console/login")  # half in is not in
    assert give("123456") == 401
    code = app.at(clock())
    assert give(code) == 303
    page(stranger, "/console/account")
    send(stranger, "/console/logout")
    assert come_in(stranger) == 303
    assert give(code) == 401
    assert give(recovery) == 303
    send(stranger, "/console/logout")
    assert come_in(stranger) == 303
    assert give(recovery) == 401
    clock.advance(minutes=6)
    assert stranger.get("/console/login/code").status_code == 303  # the half of it has expired
    with reading(engine) as session:
        assert len(session.get_one(ConsoleUser, mei).recovery_hashes) == 7


def test_an_invitation_works_once_and_for_two_days(
    client: FlaskClient, stranger: FlaskClient, clock: StillClock
) -> None:
    answer = send(client, "/console/people", email="lin@example.com", name="林", role="analyst").get_data(as_text=True)
    link = answer.split('readonly value="')[1].split('"')[0].removeprefix("http://127.0.0.1:8000")
    token = token_of(stranger, link)

    def take(password: str, again: str | None = None) -> int:
        fields = {"csrf_token": token, "name": "林", "password": password, "again": again or password}
        return stranger.post(link, data=fields).status_code

    assert take("short") == 422
    assert take("long enough 1", "but not the same") == 422
    assert take("lin is my name 1") == 422
    assert take("a fine long one 1") == 303
    assert "分析" in page(stranger, "/console/account")
    assert stranger.get(link).status_code == 404
    assert stranger.get("/console/people").status_code == 403
    later = send(client, "/console/people", email="wu@example.com", role="reader").get_data(as_text=True)
    link = later.split('readonly value="')[1].split('"')[0].removeprefix("http://127.0.0.1:8000")
    clock.advance(hours=49)
    assert stranger.get(link).status_code == 404


def test_the_last_owner_stays(client: FlaskClient, engine: Engine, clock: StillClock) -> None:
    with reading(engine) as session:
        me = users.all_users(session)[0].id
    assert send(client, f"/console/people/{me}/role", role="reader").status_code == 409
    assert send(client, f"/console/people/{me}/disable").status_code == 409
    with transaction(engine) as session:
        users.make_user(
            session, email="b@example.com", name="", role=Role.OWNER, actor="t", now=clock(), password_hash="x"
        )
    assert send(client, f"/console/people/{me}/role", role="marketer").status_code == 303
    assert client.get("/console/people").status_code == 403


def test_the_first_owner_is_made_here_and_only_while_there_is_nobody(engine: Engine, clock: StillClock) -> None:
    assert "retarget user invite" in page(console_app(engine, clock).test_client(), "/console/login")
    client = console_app(engine, clock, allow_first_owner=True).test_client()
    assert client.get("/console/first", headers={"X-Forwarded-For": "1.2.3.4"}).status_code == 404
    assert client.get("/console/first", environ_base={"REMOTE_ADDR": "192.0.2.9"}).status_code == 404
    assert client.get("/console/").location == "/console/first"
    token = token_of(client, "/console/first")
    fields = {"csrf_token": token, "email": EMAIL, "name": "美", "password": PASSWORD, "again": PASSWORD}
    assert client.post("/console/first", data={**fields, "email": "no address"}).status_code == 422
    assert client.post("/console/first", data=fields).status_code == 303
    assert "擁有者" in page(client, "/console/account")
    assert client.get("/console/first").status_code == 404


def test_what_accounts_did_is_noted_without_their_secrets(stranger: FlaskClient, engine: Engine, mei: int) -> None:
    come_in(stranger)
    new = "another one 22"
    changed = send(stranger, "/console/account/password", old=PASSWORD, password=new, again=new)
    assert changed.status_code == 303
    assert send(stranger, "/console/account/password", old="x", password="y", again="y").status_code == 422
    other = stranger.application.test_client()
    assert come_in(other, "a wrong guess") == 401
    assert come_in(other, "a wrong guess", "nobody@example.com") == 401  # no account: nothing to note it under
    assert come_in(other, new) == 303
    with reading(engine) as session:
        here = max(session.scalars(select(table_of(ConsoleSession).c.id)))
    for _ in range(2):  # once is enough
        send(stranger, f"/console/account/sessions/{here}/end")
    send(stranger, "/console/logout")
    with reading(engine) as session:
        noted = session.scalars(select(AuditEntry).order_by(table_of(AuditEntry).c.id)).all()
        stored = session.get_one(ConsoleUser, mei).password_hash
    assert [(one.actor, one.action) for one in noted] == [
        ("t", "make console user"),
        (EMAIL, "sign in"),
        (EMAIL, "change console password"),
        (EMAIL, "fail to confirm own password"),
        ("not signed in", "fail to sign in"),
        (EMAIL, "sign in"),
        (EMAIL, "sign out another browser"),
        (EMAIL, "sign out"),
    ]
    assert {one.detail["user_id"] for one in noted} == {mei}
    assert not any(word in str(one) for one in noted for word in (PASSWORD, new, "a wrong guess"))
    assert stored is not None
    assert stored.startswith("$argon2id$")


@pytest.mark.parametrize(("form", "done"), [("totp/new", 200), ("totp/off", 303), ("password", 303)])
def test_a_browser_left_open_is_no_leave_to_guess_the_password(
    stranger: FlaskClient, engine: Engine, clock: StillClock, mei: int, form: str, done: int
) -> None:
    come_in(stranger)
    form, new = f"/console/account/{form}", "another one 22"
    fields = {"password": new, "again": new}
    for _ in range(6):
        assert send(stranger, form, old="a guess", **fields).status_code == 422
    told = send(stranger, form, old=PASSWORD, **fields)  # right, but too late
    assert told.status_code == 422
    assert "試太多次了" in told.get_data(as_text=True)
    clock.advance(seconds=61)
    assert send(stranger, form, old=PASSWORD, **fields).status_code == done


def test_who_has_not_taken_their_invitation_is_no_other_owner(engine: Engine, clock: StillClock, mei: int) -> None:
    with transaction(engine) as session:
        email = "never@example.com"
        users.make_user(session, email=email, name="\x00", role=Role.OWNER, actor="t", now=clock())
    with pytest.raises(users.LastOwner), transaction(engine) as session:
        users.disable(session, mei, actor="t", now=clock())
    with pytest.raises(users.LastOwner), transaction(engine) as session:
        users.set_role(session, mei, Role.READER, actor="t", now=clock())


@pytest.mark.parametrize(
    ("method", "address", "status", "words"),
    [
        ("GET", "/console/guide/nothing", 404, {"zh": "找不到這一頁", "en": "There is no such page"}),
        ("GET", "/console/first", 404, {"zh": "找不到這一頁", "en": "There is no such page"}),
        ("GET", "/console/static/nothing.css", 404, {"zh": "找不到這一頁", "en": "There is no such page"}),
        ("POST", "/console/guide", 405, {"zh": "不是這樣用的", "en": "used this way"}),
        ("DELETE", "/console/campaigns", 405, {"zh": "不是這樣用的", "en": "used this way"}),
        ("POST", "/console/nothing/here", 405, {"zh": "不是這樣用的", "en": "used this way"}),
    ],
)
def test_what_the_frame_refuses_is_told_on_our_own_page_in_both_languages(
    client: FlaskClient, method: str, address: str, status: int, words: dict[str, str]
) -> None:
    token = token_of(client)
    for language, said in words.items():
        headers = {"X-CSRFToken": token}
        answer = client.open(f"{address}?lang={language}", method=method, headers=headers)
        assert answer.status_code == status
        assert said in answer.get_data(as_text=True)
        assert "Content-Security-Policy" in answer.headers
        assert answer.headers.get("Allow") == ("GET, HEAD, OPTIONS" if status == 405 else None)


def test_an_unknown_address_has_the_same_door_and_headers(client: FlaskClient, stranger: FlaskClient) -> None:
    assert stranger.get("/console/nothing/here").status_code == 302
    found = client.get("/console/nothing/here")
    assert found.status_code == 404
    assert "找不到這一頁" in found.get_data(as_text=True)
    assert found.headers["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("password", ["short", "password123", "aaaaaaaaaaaa", "x" * 201, "I am mei today"])
def test_weak_passwords_are_refused(password: str) -> None:
    with pytest.raises(BadInput):
        check_strength(password, EMAIL)


def test_a_hash_is_of_its_password_alone() -> None:
    stored = hash_of(PASSWORD)
    assert is_right(stored, PASSWORD)
    assert not is_right(stored, PASSWORD + " ")
    assert not is_right(None, "nobody's password")


def test_cookies_keep_to_the_console_and_to_https_where_there_is_some(
    client: FlaskClient, stranger: FlaskClient
) -> None:
    cookie = stranger.get("/console/login").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "Path=/console" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie


def test_a_part_whose_session_ended_sends_the_whole_page_to_the_door(stranger: FlaskClient) -> None:
    page = "http://localhost/console/customers?q=a&page=2"
    answer = stranger.get("/console/today/waiting", headers={"HX-Request": "true", "HX-Current-URL": page})
    door = "/console/login?next=/console/customers?q%3Da%26page%3D2"  # where they were
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, door)
    nowhere = stranger.get("/console/customers", headers={"HX-Request": "true"})
    assert (nowhere.status_code, nowhere.headers["HX-Redirect"]) == (401, "/console/login")


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (f"{WINDOWS} Edg/130.0.0.0", "Edge · Windows"),
        (WINDOWS, "Chrome · Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605 Version/17 Safari/605", "Safari · macOS"),
        (f"{PHONE} Safari/604 Line/14.1", "LINE · iPhone"),
        (f"Mozilla/5.0 (Linux; Android 14; SM-S911B) {KIT} SamsungBrowser/23 Chrome/115", "Samsung Internet · Android"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0", "Firefox · Linux"),
        ("curl/8", "不認得的瀏覽器"),
        ("", "不認得的瀏覽器"),
    ],
)
def test_a_browser_that_is_signed_in_is_named_in_words(agent: str, words: str) -> None:
    assert browser_words(agent, "zh") == words


def test_the_page_of_the_account_names_browsers_and_keeps_what_they_call_themselves(client: FlaskClient) -> None:
    text = page(client, "/console/account")
    assert '<td title="tests">不認得的瀏覽器</td>' in text
