"""What a whole population was measured with, so that a few customers can later be measured the same way alone."""

from dataclasses import dataclass
from typing import Any

from segmentation.rfm import Cuts


@dataclass(frozen=True)
class Population:
    """The values that hold for everyone of a run. `cuts` of None: nobody had an order that counts."""

    cuts: Cuts | None
    cycle_days: int  # the brand's
    usual_gap_days: int  # between two days with an act, the median of all customers
    loyalty_points: tuple[int, ...]  # see loyalty.percentile_points

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        cuts = self.cuts and {"points": {k: list(v) for k, v in self.cuts.points.items()}, "high": self.cuts.high_from}
        return {
            "cuts": cuts,
            "cycle_days": self.cycle_days,
            "usual_gap_days": self.usual_gap_days,
            "loyalty_points": list(self.loyalty_points),
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Population":
        """From what `as_dict` gave."""
        cuts = stored["cuts"]
        return cls(
            cuts and Cuts({name: tuple(points) for name, points in cuts["points"].items()}, dict(cuts["high"])),
            int(stored["cycle_days"]),
            int(stored["usual_gap_days"]),
            tuple(stored["loyalty_points"]),
        )
