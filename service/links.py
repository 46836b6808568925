"""What tracked links need of the settings."""

from campaigns.links.making import LinkMaker
from campaigns.links.tokens import TokenSigner
from service.settings import Settings


def token_signer(settings: Settings) -> TokenSigner:
    """The signer of link tokens."""
    return TokenSigner(settings.secret_key.get_secret_value())


def link_maker(settings: Settings) -> LinkMaker:
    """The maker of the links that go out: through the LIFF page where one is set up."""
    return LinkMaker(
        token_signer(settings),
        settings.public_base_url,
        liff_id=settings.liff_id if settings.line_login_channel_id else "",
        liff_links=settings.liff_links,
    )
