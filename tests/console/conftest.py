"""The console served to whoever asks, and its pages read."""

from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine

from console.pages import create_console
from tests.conftest import StillClock

TAIPEI = ZoneInfo("Asia/Taipei")


@pytest.fixture
def client(engine: Engine, clock: StillClock) -> FlaskClient:
    app = Flask(__name__)
    app.register_blueprint(create_console(engine, zone=TAIPEI, clock=clock, allow_without=True))
    return app.test_client()


def page(client: FlaskClient, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, address
    return answer.get_data(as_text=True)
