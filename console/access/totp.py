"""The second factor: codes of an authenticator app (RFC 6238), each good for once, and recovery codes."""

import hashlib
import hmac
import secrets
from datetime import datetime

import pyotp
import segno

STEP = 30  # seconds, as authenticator apps have it
RECOVERY_CODES = 8


def new_secret() -> str:
    """A secret in base32, as apps take it."""
    return pyotp.random_base32()


def picture_of(secret: str, email: str, issuer: str) -> str:
    """An inline SVG of the QR code that an app scans."""
    address = pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=issuer)
    return segno.make(address, error="m").svg_inline(scale=4, border=2, dark="#18211d", light="#ffffff")


def step_of(secret: str, code: str, now: datetime, last_step: int | None) -> int | None:
    """The step of `code`: the present one, or the one before or after it (clocks differ), but later than `last_step`;
    None for a wrong or used code."""
    present = int(now.timestamp()) // STEP
    given = "".join(code.split())
    for step in (present - 1, present, present + 1):
        expected = pyotp.TOTP(secret).at(step * STEP)
        if hmac.compare_digest(expected.encode(), given.encode()) and (last_step is None or step > last_step):
            return step
    return None


def new_recovery_codes() -> list[str]:
    """Codes that each work once in place of the app's."""
    return [f"{secrets.token_hex(3)}-{secrets.token_hex(3)}" for _ in range(RECOVERY_CODES)]


def recovery_hash(code: str) -> str:
    """What is stored of a recovery code: 48 random bits need no slow hash against guessing within the lock-out."""
    return hashlib.sha256("".join(code.lower().split()).encode()).hexdigest()
