"""BG/NBD against published numbers, simulation and sums done the slow way."""

from io import BytesIO

import numpy as np
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]
import pytest
from scipy.integrate import quad

from segmentation.predict.bgnbd import (
    Parameters,
    Purchases,
    chance_alive,
    chance_to_buy,
    expected_purchases,
    fit,
    log_likelihood,
    purchases_of,
)
from segmentation.predict.history import Floats, History, known_at
from simulator import orders as simulator_orders

PUBLISHED = Parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)  # Fader, Hardie and Lee (2005), table 2; weeks


def cdnow() -> History:
    from importlib.resources import files

    table = pq.read_table(BytesIO(files("simulator").joinpath("data/cdnow.parquet").read_bytes()))
    customer = table["customer"].to_numpy().astype(np.int64)
    return History(customer, table["days"].to_numpy().astype(np.int64), table["cents"].to_numpy() / 100)


def simulated(p: Parameters, people: int, weeks: float, seed: int) -> tuple[Purchases, Floats]:
    """Customers who live by the model, watched for `weeks`, and how often each buys in as many weeks again."""
    random = np.random.default_rng(seed)
    seen = np.zeros((people, 3))
    later = np.zeros(people)
    for i in range(people):
        rate, lost = random.gamma(p.r, 1 / p.alpha), random.beta(p.a, p.b)
        now, x, last = 0.0, 0, 0.0
        while random.random() >= lost or now == 0.0:
            now += random.exponential(1 / rate) if rate > 1e-12 else np.inf
            if now > 2 * weeks:
                break
            if now <= weeks:
                x, last = x + 1, now
            else:
                later[i] += 1
        seen[i] = x, last, weeks
    return Purchases(*seen.T), later
