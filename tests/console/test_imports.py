"""匯入資料: a file is handed in, looked at, asked for, and what became of it is told."""

import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, func, select
from werkzeug.test import TestResponse

from console.access.roles import Role
from console.frame.site import Site
from console.pages import create_console
from store.engine import reading, table_of, transaction
from store.imports.kinds import LAYOUTS
from store.imports.uploads import import_waiting
from store.models import AuditEntry, FileImport, SalesOrder, Tag
from tests.conftest import StillClock
from tests.console.auditing import watch
from tests.console.conftest import TAIPEI, page, send, sign_in, token_of
from tests.factories import make_channel

ORDERS = "order_id,customer_id,ordered_at,amount,note\nA,1,2026-01-05,100,好\nB,2,2026-01-06,x,\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


@pytest.fixture
def web(engine: Engine, clock: StillClock, folder: Path) -> Callable[..., FlaskClient]:
    """A client signed in as somebody, of a console that takes files of up to 1 MiB; None: nobody."""

    def made(role: Role | None = Role.MARKETER) -> FlaskClient:
        from flask import Flask

        app = Flask(__name__)
        app.secret_key = "a key of tests"
        site = Site(engine, TAIPEI, clock, upload_folder=folder, upload_max_bytes=6 * 1024**2)
        app.register_blueprint(create_console(site))
        watch(app, engine)
        client = app.test_client()
        return sign_in(client, engine, clock, role) if role else client

    return made


def hand_in(client: FlaskClient, content: bytes | str = ORDERS, **fields: Any) -> TestResponse:
    raw = content.encode() if isinstance(content, str) else content
    given = {"kind": "orders", "file": (BytesIO(raw), "訂單.csv"), **fields}
    return client.post("/console/import", data={"csrf_token": token_of(client), **given})


def counted(engine: Engine, model: Any) -> int:
    with reading(engine) as session:
        return session.scalar(select(func.count()).select_from(table_of(model))) or 0


def test_from_the_file_to_the_rows_that_were_refused(
    web: Callable[..., FlaskClient], engine: Engine, clock: StillClock, folder: Path
) -> None:
    client = web()
    assert "還沒有匯入過檔案" in page(client, "/console/import")
    shown = hand_in(client)
    assert shown.status_code == 303
    address = shown.headers["Location"]
    preview = page(client, address)
    assert "訂單.csv" in preview
    assert "<td>好</td>" in preview
    assert "不會用到" in preview
    assert "<th>下單時間<br><code>ordered_at</code></th>" in preview
    assert "<th>note</th>" in preview  # not one that it knows
    assert counted(engine, SalesOrder) == 0
    assert send(client, f"{address}/begin", address).status_code == 303
    waiting = client.get(f"{address}/progress")
    assert 'hx-trigger="every 2s"' in waiting.get_data(as_text=True)
    assert "HX-Refresh" not in waiting.headers
    import_waiting(engine, folder, zone=TAIPEI, clock=clock)
    assert client.get(f"{address}/progress").headers["HX-Refresh"] == "true"
    done = page(client, address)
    assert "amount 不是單純的數字" in done
    assert counted(engine, SalesOrder) == 1
    refused = send(client, f"{address}/refused", address)
    assert refused.headers["Content-Disposition"] == 'attachment; filename="orders-1-refused.csv"'
    assert "amount is not a plain number,3,B,2" in refused.get_data(as_text=True)
    with reading(engine) as session:
        actions = [one.action for one in session.scalars(select(AuditEntry).order_by(table_of(AuditEntry).c.id))]
    assert actions[-4:] == ["upload file to import", "ask for import", "import orders", "export refused rows"]
    listed = page(client, "/console/import?lang=en")
    assert "Done" in listed


def test_the_tags_that_nobody_got_are_named(
    web: Callable[..., FlaskClient], engine: Engine, clock: StillClock, folder: Path
) -> None:
    client = web()
    with transaction(engine) as session:
        session.add_all(Tag(name=name, created_at=clock.now, is_active=False) for name in ("舊客", "來過門市"))
    address = hand_in(client, "customer_id,tags\n1,舊客;新\n2,來過門市\n", kind="customers").headers["Location"]
    send(client, f"{address}/begin", address)
    import_waiting(engine, folder, zone=TAIPEI, clock=clock)
    assert "已封存的標籤，沒有貼上：來過門市、舊客</p>" in page(client, address)
    assert "Archived tags, put on nobody: 來過門市, 舊客</p>" in page(client, f"{address}?lang=en")


def test_the_same_file_leads_to_the_same_page(web: Callable[..., FlaskClient], engine: Engine) -> None:
    client = web()
    assert hand_in(client).headers["Location"] == hand_in(client).headers["Location"]
    assert counted(engine, FileImport) == 1


def test_a_missing_column_is_told_before_anything_is_asked(web: Callable[..., FlaskClient]) -> None:
    client = web()
    shown = page(client, hand_in(client, "order_id,amount\nA,1\n").headers["Location"])
    assert "少了必要的欄位：會員編號 customer_id、下單時間 ordered_at" in shown
    assert "/begin" not in shown


def test_what_is_no_table_is_told_on_its_page(web: Callable[..., FlaskClient]) -> None:
    client = web()
    assert "訂單.csv 不是 UTF-8 文字" in page(client, hand_in(client, "訂單,顧客\n".encode("big5")).headers["Location"])


def test_a_bad_ending_or_no_file_keeps_the_form(web: Callable[..., FlaskClient], engine: Engine) -> None:
    client = web()
    wrong = hand_in(client, file=(BytesIO(b"x"), "orders.exe"))
    assert wrong.status_code == 422
    assert "檔名要以" in wrong.get_data(as_text=True)
    none = client.post("/console/import", data={"csrf_token": token_of(client), "kind": "orders"})
    assert (none.status_code, "請選擇一個檔案" in none.get_data(as_text=True)) == (422, True)
    assert counted(engine, FileImport) == 0


def test_only_who_may_import_makes_us_take_a_large_body(web: Callable[..., FlaskClient], engine: Engine) -> None:
    def post(role: Role | None, size: int) -> int:
        client = web(role)
        parts = {"csrf_token": token_of(client) if role else "", "kind": "orders"}
        form = "".join(f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in parts.items())
        file = '--b\r\nContent-Disposition: form-data; name="file"; filename="o.csv"\r\n\r\n'
        body = f"{form}{file}{'x' * size}\r\n--b--\r\n".encode()  # by hand: the client's own way leaves files open
        return client.post("/console/import", data=body, content_type="multipart/form-data; boundary=b").status_code

    large = 5 * 1024**2
    assert [post(role, large) for role in (None, Role.ANALYST, Role.MARKETER)] == [413, 413, 303]
    assert post(Role.MARKETER, 2 * large) == 413
    assert hand_in(web(Role.READER)).status_code == 403
    assert counted(engine, FileImport) == 1


def test_several_channels_are_asked_for(web: Callable[..., FlaskClient], engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        ids = [make_channel(session, name=name).id for name in ("first", "second")]
    client = web()
    csv = "customer_id,line_user_id\n1,U1\n"
    address = hand_in(client, csv, kind="customers", file=(BytesIO(csv.encode()), "c.csv")).headers["Location"]
    assert "line_user_id 屬於哪個頻道" in page(client, address)
    send(client, f"{address}/begin", address, channel="99")
    with reading(engine) as session:
        assert session.scalars(select(FileImport)).one().state == "uploaded"
    send(client, f"{address}/begin", address, channel=str(ids[1]))
    with reading(engine) as session:
        asked = session.scalars(select(FileImport)).one()
    assert (asked.state, asked.channel_id) == ("waiting", ids[1])


def test_templates_are_files_to_fill_in(web: Callable[..., FlaskClient]) -> None:
    client = web()
    got = client.get("/console/import/template/orders")
    assert got.headers["Content-Disposition"] == 'attachment; filename="orders.csv"'
    assert got.get_data(as_text=True).startswith("\ufefforder_id,customer_id,ordered_at,amount")
    assert client.get("/console/import/template/people").status_code == 404
    assert client.get("/console/import/99").status_code == 404


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_column_says_what_it_means(web: Callable[..., FlaskClient], language: str) -> None:
    text = page(web(), f"/console/import?lang={language}")
    for layout in LAYOUTS.values():
        for column in layout.known:
            assert re.search(rf"<li>[^<]{{2,}} <code>{column}</code></li>", text), column
    for words in ("商品名稱", "姓名"):
        assert (f"{words} <code>name</code>" in text) == (language == "zh")
