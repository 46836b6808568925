"""GET /r/<token>, in front of the web framework: the tap on disk first, then the redirect.

Flask costs 200 µs a request and this needs 40, so it is answered before Flask sees it; all other paths go on. 302 says
that the tap is stored. When the database can't take it the person still gets to the shop, by 307, and the log says so:
a tap that can't be counted must not cost the brand the visit.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog

from campaigns.links.book import LinkBook
from campaigns.links.clicks import Append, record_tap
from campaigns.links.kinds import ClickKind, kind_of_fetch
from campaigns.links.tokens import Tap, TokenSigner, UnknownToken
from store.clock import Clock
from store.journal import JournalFailed

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/r/"

log = structlog.get_logger()


class LinkDoor:
    """A WSGI application: tracked links are followed here, everything else goes to `inner_wsgi`.

    Answers: 302 stored; 307 not stored, see above; 404 not one of our links; 405 neither GET nor HEAD.
    """

    def __init__(
        self, inner_wsgi: "WSGIApplication", signer: TokenSigner, book: LinkBook, journal: Append, clock: Clock
    ) -> None:
        self._inner, self._signer, self._book = inner_wsgi, signer, book
        self._journal, self._clock = journal, clock

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not path.startswith(PATH):
            return self._inner(environ, start_response)
        method = environ["REQUEST_METHOD"]
        if method not in ("GET", "HEAD"):
            return _words(
                "405 Method Not Allowed", b"a link is followed with GET", start_response, ("Allow", "GET, HEAD")
            )
        try:
            tap = self._signer.read(path[len(PATH) :])
            address = self._book.find(tap)
        except UnknownToken as error:
            return _words("404 Not Found", str(error).encode(), start_response)
        agent = environ.get("HTTP_USER_AGENT", "")
        purpose = environ.get("HTTP_SEC_PURPOSE") or environ.get("HTTP_PURPOSE") or ""
        try:
            kind = kind_of_fetch(method, agent, purpose)
            self._record(tap, kind, agent)
            status = "302 Found"
        except JournalFailed:
            log.error("tap_not_stored", link_id=tap.link_id, run_id=tap.run_id)
            status = "307 Temporary Redirect"
        start_response(
            status,
            [
                ("Location", address),
                ("Content-Length", "0"),
                ("Cache-Control", "no-store"),  # a cached redirect would hide the next tap
                ("Referrer-Policy", "no-referrer"),  # the token is the person's own
            ],
        )
        return [b""]

    def _record(self, tap: Tap, kind: ClickKind, agent: str) -> None:
        now = self._clock()
        try:
            record_tap(self._journal, tap, kind=kind, user_agent=agent, now=now)
        except JournalFailed:
            again = self._book.with_owner_now(tap)
            if again is None:
                raise
            record_tap(self._journal, again, kind=kind, user_agent=agent, now=now)


def _words(status: str, text: bytes, start_response: "StartResponse", *headers: tuple[str, str]) -> Iterable[bytes]:
    plain = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text))), *headers]
    start_response(status, plain)
    return [text]
