"""Making the links that go out, and the page of LINE's (LIFF) that tells who taps."""

from collections.abc import Callable, Mapping
from typing import Literal

from campaigns.content.parts import BUTTON
from campaigns.links.tokens import TokenSigner

LIFF = "https://liff.line.me"  # LINE's address, which opens the LIFF app inside LINE

MARK = "&rt="  # before the token behind a button's data

LiffLinks = Literal["multicast", "all"]


class LinkMaker:
    """Makes tracked links that begin with `base`, the brand's own https domain.

    With a LIFF app (`liff_id`) a link that is the same for everyone goes through its page, which proves the tapper;
    with `liff_links` "all" personal links too, so that a forward is proven. The page asks people for consent once, so
    personal links go straight to the shop unless it is wanted.
    """

    def __init__(
        self, signer: TokenSigner, base: str, *, liff_id: str = "", liff_links: LiffLinks = "multicast"
    ) -> None:
        self._signer = signer
        plain = f"{base}/r/"
        self._shared = f"{LIFF}/{liff_id}/" if liff_id else plain
        self._personal = self._shared if liff_links == "all" else plain

    def tracker(self, link_ids: Mapping[str, int], run_id: int, customer_id: int | None) -> Callable[[str], str]:
        """A function from a link or a button's data, as a run names them (CampaignRun.link_ids), to what goes out."""

        def track(url: str) -> str:
            if not url.startswith(BUTTON):
                return self.link(link_ids[url], run_id, customer_id)
            link_id = link_ids.get(url)  # none in a campaign made before buttons were marked
            # LINE tells who taps a button: the mark is the same for everyone.
            return url if link_id is None else url + MARK + self._signer.sign(link_id, run_id, None)

        return track

    def link(self, link_id: int, run_id: int | None, customer_id: int | None) -> str:
        """The link of one customer; None: the same for everyone. `run_id` None: a shop's code."""
        begin = self._shared if customer_id is None else self._personal
        return begin + self._signer.sign(link_id, run_id, customer_id)
