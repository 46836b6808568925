"""The intake over its real WSGI callable, with the real journal on both databases."""

import io
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from werkzeug.test import Client, run_wsgi_app

from bot.webhook import ChannelKeys, WebhookIntake
from store.clock import Clock
from store.engine import transaction
from store.journal import Journal
from store.models import WebhookBody
from tests.bot.conftest import LIMIT, SECRET, Chat, body_of, sample_event, sign

OLD_SECRET = "fedcba9876543210fedcba9876543210"
BODY = body_of(sample_event("message_text"))


def client_for(channels: dict[str, ChannelKeys], journal: Journal, clock: Clock) -> Client:
    return Client(WebhookIntake(Flask("behind"), channels, journal, clock, 10_000))


def test_signed_body_is_stored_byte_for_byte_before_the_200(chat: Chat) -> None:
    spaced = b"  " + BODY.replace(b", ", b" ,\n ")
    assert chat.post(spaced).status_code == 200
    (row,) = chat.rows(WebhookBody)
    assert bytes(row.body) == spaced
    assert (row.channel_id, row.received_at, row.problem) == (chat.channel_id, chat.clock(), None)


def test_missing_signature_is_401_and_nothing_is_stored(chat: Chat) -> None:
    assert chat.client.post("/webhook/main", data=BODY).status_code == 401
    assert chat.client.post("/webhook/main", data=BODY, headers={"X-Line-Signature": ""}).status_code == 401
    assert chat.rows(WebhookBody) == []


@pytest.mark.parametrize(
    "signature",
    [
        sign(BODY, OLD_SECRET),
        sign(BODY, ""),
        sign(BODY + b" "),
        sign(BODY)[:-1],
        sign(BODY) + "=",
        " ",
        "é" * 44,
    ],
    ids=["other secret", "empty secret", "other body", "cut", "padded", "blank", "not ASCII"],
)
def test_forged_signature_is_401_and_nothing_is_stored(chat: Chat, signature: str) -> None:
    answer = chat.client.post("/webhook/main", data=BODY, environ_overrides={"HTTP_X_LINE_SIGNATURE": signature})
    assert answer.status_code == 401
    assert chat.rows(WebhookBody) == []


@pytest.mark.parametrize("secrets", [(), ("",), ("", "")])
def test_channel_without_a_secret_has_no_webhook(
    chat: Chat, journal: Journal, clock: Clock, secrets: tuple[str, ...]
) -> None:
    client = client_for({"main": ChannelKeys(chat.channel_id, secrets)}, journal, clock)
    for path in ("/webhook/main", "/webhook"):
        headers = {"X-Line-Signature": sign(BODY, "")}
        assert client.post(path, data=BODY, headers=headers).status_code == 404
    assert chat.rows(WebhookBody) == []


def test_both_secrets_are_accepted_while_one_is_being_changed(chat: Chat, journal: Journal, clock: Clock) -> None:
    client = client_for({"main": ChannelKeys(chat.channel_id, (SECRET, OLD_SECRET))}, journal, clock)
    for secret, status in ((SECRET, 200), (OLD_SECRET, 200), ("some other secret", 401)):
        headers = {"X-Line-Signature": sign(BODY, secret)}
        assert client.post("/webhook/main", data=BODY, headers=headers).status_code == status
    assert len(chat.rows(WebhookBody)) == 2


def test_unknown_channel_is_404(chat: Chat) -> None:
    for path in ("/webhook/other", "/webhook/", "/webhook/main/", "/webhook/main/more", "/webhook/MAIN"):
        assert chat.post(BODY, path=path).status_code == 404
    assert chat.rows(WebhookBody) == []


def test_path_without_a_name_means_the_only_channel(chat: Chat, journal: Journal, clock: Clock) -> None:
    assert chat.post(BODY, path="/webhook").status_code == 200
    keys = ChannelKeys(chat.channel_id, (SECRET,))
    two = client_for({"main": keys, "second": ChannelKeys(chat.channel_id, ())}, journal, clock)
    assert two.post("/webhook", data=BODY, headers={"X-Line-Signature": sign(BODY)}).status_code == 404
    assert two.post("/webhook/main", data=BODY, headers={"X-Line-Signature": sign(BODY)}).status_code == 200


def test_verify_button_gets_200_and_stores_nothing(chat: Chat) -> None:
    assert chat.post(body_of()).status_code == 200
    assert chat.rows(WebhookBody) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"events": {}}', b'{"destination": "U1"}', b'{"events": [], }', b"\xff", b"[" * 3000],
)
def test_malformed_json_with_a_good_signature_is_400_and_kept_with_its_problem(chat: Chat, body: bytes) -> None:
    assert chat.post(body).status_code == 400
    (row,) = chat.rows(WebhookBody)
    assert bytes(row.body) == body
    assert row.problem


def test_problem_does_not_quote_the_body(chat: Chat) -> None:
    assert chat.post('{"text": "王小明的電話" nope}'.encode()).status_code == 400
    assert "王" not in chat.rows(WebhookBody)[0].problem


@pytest.mark.parametrize(("length", "status"), [(LIMIT, 200), (LIMIT + 1, 413)])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_body_limit_holds_to_the_byte(chat: Chat, length: int, status: int, is_chunked: bool) -> None:
    body = BODY + b" " * (length - len(BODY))
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/webhook/main",
        "HTTP_X_LINE_SIGNATURE": sign(body),
        "wsgi.input": _Dripping(body),
    }
    environ |= {"wsgi.input_terminated": True} if is_chunked else {"CONTENT_LENGTH": str(length)}
    assert run_wsgi_app(chat.client.application, environ)[1].startswith(f"{status} ")
    assert len(chat.rows(WebhookBody)) == (status == 200)


def test_too_large_body_is_never_read_beyond_the_limit(chat: Chat) -> None:
    stream = _Dripping(b"x" * 1_000_000)
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/webhook/main",
        "HTTP_X_LINE_SIGNATURE": "x",
        "wsgi.input": stream,
        "wsgi.input_terminated": True,
    }
    assert run_wsgi_app(chat.client.application, environ)[1].startswith("413")
    assert stream.tell() <= LIMIT + 1


@pytest.mark.parametrize("stated", ["-1", "ten", "1e3"])
def test_content_length_that_is_no_number_is_refused(chat: Chat, stated: str) -> None:
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/webhook/main",
        "HTTP_X_LINE_SIGNATURE": "x",
        "CONTENT_LENGTH": stated,
        "wsgi.input": io.BytesIO(BODY),
    }
    assert run_wsgi_app(chat.client.application, environ)[1].startswith("413")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_other_methods_are_405_and_say_what_is_allowed(chat: Chat, method: str) -> None:
    answer = chat.client.open("/webhook/main", method=method, data=BODY, headers={"X-Line-Signature": sign(BODY)})
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    assert chat.rows(WebhookBody) == []


def test_everything_else_goes_to_the_application_behind(chat: Chat) -> None:
    assert chat.client.get("/behind").text == "from Flask"
    assert chat.client.get("/webhooks").status_code == 404
    assert "Not Found" in chat.client.get("/webhooks").text  # Flask's own page


def test_journal_failure_is_503_so_that_line_sends_it_again(chat: Chat) -> None:
    rename(chat, "webhook_body", "away")
    assert chat.post(BODY).status_code == 503
    rename(chat, "away", "webhook_body")
    assert chat.rows(WebhookBody) == []
    assert chat.post(BODY).status_code == 200


def rename(chat: Chat, table: str, name: str) -> None:
    with transaction(chat.bodies) as session:
        session.execute(text(f"ALTER TABLE {table} RENAME TO {name}"))


def test_closed_journal_is_503(chat: Chat, journal: Journal) -> None:
    journal.close()
    assert chat.post(BODY).status_code == 503


class _Dripping(io.BytesIO):
    """A stream that gives at most 1,000 bytes a time, as a network does."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size if size is not None and size >= 0 else 1000, 1000))
