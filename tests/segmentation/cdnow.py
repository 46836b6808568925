"""CDNOW's orders as a history, for the tests of predictions. Days are counted from 1997-01-01."""

from importlib.resources import files
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

from segmentation.predict.history import History

OCTOBER = 273  # 1997-10-01: 39 weeks behind it, 39 before it


def cdnow() -> History:
    """All 69,659 purchases of 23,570 customers."""
    table = pq.read_table(BytesIO(files("simulator").joinpath("data/cdnow.parquet").read_bytes()))
    customer = table["customer"].to_numpy().astype(np.int64)
    return History(customer, table["days"].to_numpy().astype(np.int64), table["cents"].to_numpy() / 100)


def cdnow_sample() -> History:
    """The purchases of the published sample of 2,357 customers."""
    lines = Path(__file__).with_name("cdnow_sample.txt").read_text(encoding="utf-8").splitlines()
    chosen = [int(number) for line in lines if not line.startswith("#") for number in line.split()]
    whole = cdnow()
    inside = np.isin(whole.customer, chosen)
    return History(whole.customer[inside], whole.day[inside], whole.amount[inside])
