"""What a renewal of segments and tags needs, for all who renew: the worker, the command line and the demonstration."""

from collections.abc import Sequence

from sqlalchemy import Engine

from segmentation.renew import Ground
from segmentation.settings import SegmentSettings, read_settings
from service.brand_words import tokenize_for_brand
from service.settings import Settings
from store.clock import Clock
from store.engine import reading


def renewal_ground(engine: Engine, settings: Settings, clock: Clock) -> Ground:
    """What renewals need, with the tokenizer that knows the brand's words, made when somebody's words are read."""

    def tokenize(texts: Sequence[str]) -> Sequence[Sequence[str]]:
        with reading(engine) as session:
            terms = tokenize_for_brand(session)
        return terms(texts)

    return Ground(engine, settings.zone, clock, tokenize, settings.spark_master)


def segment_settings(engine: Engine, settings: Settings) -> SegmentSettings:
    """What segments are computed by now: the brand's choice over the environment."""
    with reading(engine) as session:
        return read_settings(session, settings.segment_defaults)
