"""Tokens of tracked links can't be forged."""

import pytest

from campaigns.links.tokens import Tap, TokenSigner, UnknownToken

KEY = "k" * 40


@pytest.mark.parametrize("customer_id", [1, 2**40, None])
@pytest.mark.parametrize("run_id", [1, 2**31, None])
def test_a_token_says_what_was_signed(customer_id: int | None, run_id: int | None) -> None:
    signer = TokenSigner(KEY)
    token = signer.sign(7, run_id, customer_id)
    assert len(token) == 32
    assert signer.read(token) == Tap(7, run_id, customer_id)


def test_no_other_character_anywhere_in_a_token_is_accepted() -> None:
    signer = TokenSigner(KEY)
    token = signer.sign(1, 2, 3)
    for place in range(len(token)):
        for other in "Aa0-_+/= é":
            if other != token[place]:
                with pytest.raises(UnknownToken):
                    signer.read(token[:place] + other + token[place + 1 :])


@pytest.mark.parametrize("token", ["", "a", "=" * 32, "A" * 31, "A" * 33, "冬" * 32, "A" * 10_000])
def test_nonsense_is_an_unknown_token(token: str) -> None:
    with pytest.raises(UnknownToken):
        TokenSigner(KEY).read(token)


def test_a_token_of_another_key_is_unknown() -> None:
    with pytest.raises(UnknownToken):
        TokenSigner(KEY).read(TokenSigner("other").sign(1, 1, 1))
