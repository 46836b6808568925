"""Who may see the console: whoever knows its password (HTTP Basic), or anybody on this machine in development."""

import hmac
from ipaddress import ip_address

from flask import Blueprint, Response, abort, request


def require_access(blueprint: Blueprint, *, password: str | None, allow_without: bool) -> None:
    """Guard every page of `blueprint`.

    With a password set: 401 until HTTP Basic brings it (any user name). Without one: shown only when `allow_without`
    and the request comes from this machine; else 404, as if there were no console.
    """

    @blueprint.before_request
    def check() -> Response | None:
        if password:
            given = request.authorization.password if request.authorization else None
            if given is not None and hmac.compare_digest(given.encode(), password.encode()):
                return None
            challenge = {"WWW-Authenticate": 'Basic realm="retarget", charset="UTF-8"'}
            return Response("請輸入密碼 Password needed\n", 401, challenge, mimetype="text/plain")
        if not (allow_without and _is_this_machine(request.remote_addr)):
            abort(404)
        return None


def _is_this_machine(address: str | None) -> bool:
    # A proxy on this machine looks like this machine: whoever it speaks for is not let in.
    if not address or "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
