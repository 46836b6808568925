"""What may be done with a customer on their page."""

from collections.abc import Callable
from datetime import date

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from console.access.roles import Role
from segmentation.tags.catalogue import create_tag
from segmentation.tags.history import tags_of
from store.engine import reading, transaction
from store.models import Customer
from tests.conftest import StillClock
from tests.console.conftest import page, send
from tests.factories import make_customer


def test_a_customer_is_refused_exported_and_erased(
    client: FlaskClient, engine: Engine, clock: StillClock, client_of: Callable[[Role], FlaskClient]
) -> None:
    with transaction(engine) as session:
        one = make_customer(session, member_id="M1", name="林小姐").id
    address = f"/console/customers/{one}"

    def now() -> Customer:
        with reading(engine) as session:
            return session.get_one(Customer, one)

    send(client, f"{address}/refusal", press="refuse")
    assert now().marketing_refused_at == clock()
    send(client, f"{address}/refusal", press="resume")
    assert now().marketing_refused_at is None
    answer = send(client, f"{address}/export")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="customer-{one}.json"'
    assert answer.get_json()["customer"]["name"] == "林小姐"
    assert send(client_of(Role.MARKETER), f"{address}/erase", sure="ERASE").status_code == 403
    send(client, f"{address}/erase", sure="yes")
    assert "請照樣輸入 ERASE" in page(client, address)
    assert now().name == "林小姐"
    send(client, f"{address}/erase", sure="ERASE")
    assert now().name is None
    assert "林小姐" not in page(client, address)
    send(client, f"{address}/tag", tag="沒有的", press="on")
    assert "無法執行" in page(client, address)
    assert send(client, "/console/customers/999/export").status_code == 404


def test_a_tag_put_on_by_hand_has_a_note_and_a_last_day(client: FlaskClient, engine: Engine, clock: StillClock) -> None:
    with transaction(engine) as session:
        one = make_customer(session).id or 0
        create_tag(session, "講座", now=clock())
    address = f"/console/customers/{one}"
    for wrong in ("soon", "2026-11-02", "9999-12-31"):  # no day, today, and too far
        send(client, f"{address}/tag", tag="講座", press="on", until=wrong)
        assert "無法執行" in page(client, address)
    send(client, f"{address}/tag", tag="講座", press="on", note="五月場", until="2026-12-01")
    with reading(engine) as session:
        (held,) = tags_of(session, one)
    assert (held.evidence["note"], held.falls_off_on) == ("五月場", date(2026, 12, 1))
    text = page(client, address)
    assert "五月場" in text
    assert "2026-12-01" in text
    send(client, f"{address}/tag", tag="講座", press="on", until="2026-12-31")
    assert "已經有「講座」這個標籤，沒有任何更動" in page(client, address), "its last day is as it was"
    send(client, f"{address}/tag", tag="講座", press="off", note="誤加")
    assert "標籤已取下" in page(client, address)
    send(client, f"{address}/tag", tag="講座", press="off")
    assert "沒有「講座」這個標籤，沒有任何更動" in page(client, address)
    with reading(engine) as session:
        assert [one.off_evidence and one.off_evidence["note"] for one in tags_of(session, one)] == ["誤加"]


@pytest.mark.parametrize(("written", "shown"), [("M", "男"), ("女性", "女"), ("Female", "女"), ("其他", "其他")])
def test_a_gender_is_told_in_one_way_however_a_file_writes_it(
    client: FlaskClient, engine: Engine, written: str, shown: str
) -> None:
    with transaction(engine) as session:
        one = make_customer(session, gender=written).id
    assert f"<dt>性別</dt><dd>{shown}</dd>" in page(client, f"/console/customers/{one}")
