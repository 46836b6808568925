"""The LIFF page: GET /liff/<token> shows it inside LINE, POST /liff/<token> takes the ID token that it hands in.

Set the LIFF app's endpoint URL to PUBLIC_BASE_URL/liff, with the scope openid. Without LIFF_ID and
LINE_LOGIN_CHANNEL_ID there is no page, and everything works by redirects. Whatever goes wrong on the page, the person
goes on by /r/<token>, which counts the tap without a name.

Answers of POST, in JSON: 200 `{"address"}`, the tap is stored; 401 LINE does not vouch for the token; 404 not one of
our links; 503 LINE can't be asked just now, or the tap was not stored.
"""

import json
import secrets
from threading import BoundedSemaphore

import msgspec
import structlog
from flask import Flask, Response, jsonify, request
from sqlalchemy import Engine

from campaigns.links.book import LinkBook
from campaigns.links.liff import IdTokens, record_proven_tap
from campaigns.links.tokens import TokenSigner
from store.clock import Clock
from store.errors import ExpectedError
from store.journal import Journal, JournalFailed

MAX_BODY_BYTES = 8_192
AT_ONCE = 8  # questions to LINE under way: the web server's other threads stay free for webhooks
SDK = "https://static.line-scdn.net/liff/edge/2/sdk.js"  # LINE's own, as "Developing a LIFF app" asks for

log = structlog.get_logger()

_PAGE = """<!doctype html>
<html lang="zh-Hant"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>前往 · Opening</title>
<script nonce="%(nonce)s">
const token = location.pathname.split("/liff/")[1];
const named = token || (new URLSearchParams(location.search).get("liff.state") || "").split("/")[1];
const go = (address) => location.replace(address);
const plainly = () => named && go("/r/" + encodeURIComponent(named));
const late = setTimeout(plainly, 6000);  // before the SDK is asked for: it may never come
</script>
<script nonce="%(nonce)s" charset="utf-8" src="%(sdk)s"></script></head>
<body><p>正在前往… Opening…</p><script nonce="%(nonce)s">
(async () => {
  await liff.init({liffId: %(liff_id)s, withLoginOnExternalBrowser: false});
  if (!token) return;  // LINE's first stop: init leads on to /liff/<token>
  const idToken = liff.isLoggedIn() ? liff.getIDToken() : null;
  if (!idToken) return plainly();
  const answer = await fetch("/liff/" + token, {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({id_token: idToken})});
  if (!answer.ok) return plainly();
  clearTimeout(late);
  go((await answer.json()).address);
})().catch(plainly);
</script></body></html>
"""


class _Handed(msgspec.Struct):
    id_token: str


def add_liff_page(
    app: Flask,
    engine: Engine,
    journal: Journal,
    *,
    liff_id: str,
    id_tokens: IdTokens,
    signer: TokenSigner,
    book: LinkBook,
    clock: Clock,
) -> None:
    """Add the routes to `app`."""
    free = BoundedSemaphore(AT_ONCE)

    def show_page() -> Response:
        nonce = secrets.token_urlsafe(16)
        answer = Response(_PAGE % {"nonce": nonce, "sdk": SDK, "liff_id": json.dumps(liff_id)}, mimetype="text/html")
        answer.headers["Content-Security-Policy"] = (
            f"script-src 'nonce-{nonce}' 'strict-dynamic'; object-src 'none'; base-uri 'none'"
        )
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["Referrer-Policy"] = "no-referrer"
        return answer

    @app.get("/liff")
    def liff_first_stop() -> Response:
        return show_page()

    @app.get("/liff/<token>")
    def liff_page(token: str) -> Response:
        book.find(signer.read(token))
        return show_page()

    @app.post("/liff/<token>")
    def take_id_token(token: str) -> tuple[Response, int]:
        tap = signer.read(token)
        address = book.find(tap)
        request.max_content_length = MAX_BODY_BYTES
        try:
            handed = msgspec.json.decode(request.get_data(cache=False), type=_Handed)
        except (ValueError, RecursionError):
            return jsonify({"problem": "the body must be a JSON object with id_token"}), 400
        if not free.acquire(blocking=False):
            return jsonify({"problem": "too many at once; go on without"}), 503
        try:
            user_id = id_tokens.user_of(handed.id_token, now=clock())
        except ExpectedError as error:
            log.warning("id_token_not_checked", problem=str(error))
            return jsonify({"problem": "LINE can't be asked just now"}), 503
        finally:
            free.release()
        if user_id is None:
            return jsonify({"problem": "LINE does not vouch for this ID token"}), 401
        agent = request.headers.get("User-Agent") or ""
        try:
            record_proven_tap(engine, journal, tap, user_id, user_agent=agent, now=clock())
        except JournalFailed:
            log.error("tap_not_stored", link_id=tap.link_id, run_id=tap.run_id)
            return jsonify({"problem": "not stored"}), 503
        return jsonify({"address": address}), 200
