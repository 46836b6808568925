"""Whether a request comes from the machine that serves it."""

from ipaddress import ip_address

from flask import request


def is_this_machine() -> bool:
    """Whether the present request was made here, by nobody on another's behalf."""
    # A proxy on this machine looks like this machine: whoever it speaks for is not let in.
    if not request.remote_addr or "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ip_address(request.remote_addr).is_loopback
    except ValueError:
        return False
