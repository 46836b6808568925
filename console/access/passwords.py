"""Passwords: kept as argon2id, and refused when they are easily guessed."""

import argon2

from store.errors import BadInput

MIN_LENGTH, MAX_LENGTH = 10, 200  # characters
# Whoever tries passwords begins with these (the commonest of ten and more characters, and this product's own words).
COMMON = frozenset(
    [
        *("1234567890", "0123456789", "0987654321", "1111111111", "0000000000", "qwertyuiop", "1q2w3e4r5t"),
        *("password12", "password123", "passw0rd123", "iloveyou12", "administrator", "administrator1", "1qaz2wsx3edc"),
        *("abcd123456", "abc1234567", "aa12345678", "a123456789", "qwerty1234", "qwerty12345", "changeme123"),
        *("welcome123", "retarget12", "retargeting"),
    ]
)
_hasher = argon2.PasswordHasher()  # RFC 9106's second recommended set: 64 MiB, 3 passes
_NOBODY = _hasher.hash("nobody's password")  # so that an unknown account costs as much time as a known one


def check_strength(password: str, email: str) -> None:
    """Raise BadInput with the reason when `password` is no good for the account `email`."""
    if len(password) < MIN_LENGTH:
        raise BadInput("密碼至少要 10 個字元。")
    if len(password) > MAX_LENGTH:
        raise BadInput("密碼最多 200 個字元。")
    if password.lower() in COMMON or len(set(password)) < 4:
        raise BadInput("這個密碼太常見，請換一個。")
    if email.split("@")[0].lower() in password.lower():
        raise BadInput("密碼不能包含您的電子郵件名稱。")


def hash_of(password: str) -> str:
    """What is stored of it. Takes some 200 ms: not inside a transaction, since on SQLite the webhook would wait."""
    return _hasher.hash(password)


def new_hash(password: str, email: str) -> str:
    """What is stored of a new password of the account `email`, as hash_of. Raises BadInput when it is no good."""
    check_strength(password, email)
    return hash_of(password)


def is_right(stored: str | None, password: str) -> bool:
    """Whether `password` is the one whose hash is `stored`; with no hash it takes as long and is False."""
    try:
        return _hasher.verify(stored or _NOBODY, password) and stored is not None
    except argon2.exceptions.VerifyMismatchError:
        return False


def needs_new_hash(stored: str) -> bool:
    """Whether `stored` was made with weaker settings than today's."""
    return _hasher.check_needs_rehash(stored)
