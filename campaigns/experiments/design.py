"""How a campaign's variants compete: `Campaign.experiment`, a checked JSON object. Null there: a fixed split.

`fixed`: all people at once, shared by the variants' weights. `test_then_winner`: a part of the people first; the rest
wait for a clear winner. `thompson`: equal waves, each shared by what the waves before have shown. Nothing waits for
ever: at the deadline the rest goes with what is known by then.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from campaigns.experiments.stopping import ALPHA
from store.errors import BadInput

Minutes = Annotated[int, Field(ge=1, le=30 * 24 * 60)]


class Experiment(BaseModel):
    """What was chosen. A person's outcome is whether they tapped (or ordered) within `wait_minutes` after it was sent;
    before that time is over they don't count, so that looking early doesn't favour whoever was sent first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    choice: Literal["fixed", "test_then_winner", "thompson"] = "fixed"
    outcome: Literal["clicks", "orders"] = "clicks"
    test_percent: Annotated[int, Field(ge=1, le=90)] = 20  # test_then_winner: the people of the first wave
    waves: Annotated[int, Field(ge=2, le=20)] = 5  # thompson
    wait_minutes: Minutes = 240
    deadline_minutes: Minutes = 1_440  # after the run fires (or after free replies are no longer waited for)
    alpha: Annotated[float, Field(gt=0, le=0.5)] = ALPHA
    learned_targeting: bool = False  # half of the people are chosen by expected gain: campaigns/experiments/arms.py

    @model_validator(mode="after")
    def _has_time_to_learn(self) -> "Experiment":
        if self.choice != "fixed" and self.deadline_minutes < self.wait_minutes:
            raise ValueError("the deadline comes before the first outcome is known")
        return self

    @property
    def chooses(self) -> bool:
        """Whether a winner is chosen while the run is sent."""
        return self.choice != "fixed"

    def parts(self) -> list[float]:
        """The waves' parts of the people; one alone for a fixed split."""
        if self.choice == "test_then_winner":
            return [self.test_percent / 100, 1 - self.test_percent / 100]
        return [1 / self.waves] * self.waves if self.choice == "thompson" else [1.0]


def experiment_of(stored: Mapping[str, Any] | None) -> Experiment:
    """The experiment of Campaign.experiment. Raises BadInput that names what is wrong."""
    try:
        return Experiment.model_validate(dict(stored or {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise BadInput(f"an experiment has no {where!r}; it has {', '.join(Experiment.model_fields)}") from error
        raise BadInput(f"the experiment can't be so: {where + ': ' if where else ''}{first['msg']}") from error


def check_experiment(
    stored: Mapping[str, Any] | None,
    *,
    variants: int,
    steps: int,
    way: str,
    taps: Literal["by person", "counted", "none"],
    has_trigger: bool,
) -> None:
    """Raise BadInput unless a campaign may have this experiment: with so many variants in its first step, sent by `way`
    with `taps` known so (campaigns/sending/ways.py)."""
    experiment = experiment_of(stored)
    if experiment.learned_targeting and has_trigger:
        raise BadInput("learned targeting chooses among an audience: a campaign that people enter one by one has none")
    if experiment.learned_targeting and steps > 1:
        raise BadInput("learned targeting runs against an audience: in a campaign of one step")
    if not experiment.chooses:
        return
    if variants < 2:
        raise BadInput("a winner is chosen among at least two variants")
    if has_trigger:
        raise BadInput(
            "a winner is learned from the first people of one run for the rest of it; with a trigger people enter "
            "one by one, each a run of a few: leave the split fixed, and compare the variants in the results"
        )
    if way == "narrowcast":
        raise BadInput("LINE tells of a narrowcast only counts, no people: no winner can be learned")
    if experiment.outcome == "clicks" and taps == "none":
        raise BadInput("the content has nothing to tap: let orders decide")
    if experiment.outcome == "clicks" and taps == "counted":
        raise BadInput(f"a {way}'s links tell not who tapped: let orders decide, or send by push")
    if steps > 1:
        raise BadInput("a winner is learned inside one run of an audience: in a campaign of one step")
