"""Whether a rate lies above a limit: told early, and honestly so. No database.

A run being sent is looked at again and again, and an ordinary test that is repeated cries wolf sooner or later. This
one may be looked at as often as one likes.
"""

from math import exp, log

from scipy.special import betaincc, betaln

ALARM = 0.01  # the chance of ever crying wolf


def evidence_above(count: int, people: int, limit: float) -> float:
    """How much more likely `count` of `people` is under the rates above `limit` (0..1, exclusive) than under the limit.

    The rates above are weighed by a flat prior (Robbins 1970, Annals of Mathematical Statistics 41, 1397-1409). At a
    true rate of at most the limit, the chance that this ever reaches 1/a, however often it is looked at, is at most a
    (Ville's inequality).
    """
    others = people - count
    share_above = float(betaincc(count + 1, others + 1, limit))
    if share_above == 0:  # below what a float can tell
        return 0.0
    above = float(betaln(count + 1, others + 1)) + log(share_above) - log(1 - limit)
    at_limit = count * log(limit) + others * log(1 - limit)
    return exp(min(700.0, above - at_limit))


def is_above(count: int, people: int, limit: float) -> bool:
    """Whether the rate is above `limit`, sure enough to stop for it; never while fewer people are known than `count`,
    as those of a batch that is being sent are counted later than what they do."""
    return people > 0 and count <= people and evidence_above(count, people, limit) >= 1 / ALARM
