"""Predictions on CDNOW: 39 weeks to learn from, 39 to be judged on, beside BG/NBD and the plain score; and on other
dates of the same orders. Every figure's peer is measured in the same run. The form of the model was chosen with these
outcomes in view (docs/predictions.md), so only brands not yet seen tell how well it does on new ones.
"""

import time
from importlib.resources import files
from io import BytesIO

import numpy as np
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

from benchmarks.figures import Figure
from segmentation.predict.history import History
from segmentation.predict.model import predict
from segmentation.predict.quality import Quality, judged

OCTOBER, HORIZON_DAYS = 273, 273  # 1997-10-01 in days since 1997-01-01
OTHER_DATES = ((182, 91), (273, 91), (300, 245), (364, 182), (454, 91))
AUC_GOAL, SECONDS_GOAL = 0.775, 60.0


def run(scale: str) -> list[Figure]:
    """Figures at `scale`, "quick" (the stated date only) or "full"."""
    history = _purchase_days()
    start = time.perf_counter()
    predict(history, OCTOBER, HORIZON_DAYS)
    seconds = time.perf_counter() - start
    figures = _figures("39 + 39 weeks", judged(history, OCTOBER, HORIZON_DAYS), has_goals=True)
    figures.append(
        Figure("learning and predicting 23,570 customers", seconds, "s", goal="below 60 s", met=seconds < SECONDS_GOAL)
    )
    for as_of, days in OTHER_DATES if scale == "full" else ():
        figures += _figures(f"day {as_of} + {days} days", judged(history, as_of, days), has_goals=False)
    return figures


def _figures(name: str, quality: Quality, *, has_goals: bool) -> list[Figure]:
    ours, bgnbd, score = quality.learned, quality.bgnbd, quality.rfm_score
    assert ours.auc is not None
    assert bgnbd.auc is not None
    assert score.auc is not None
    assert ours.orders_ratio is not None
    rmse = ours.rmse_orders / bgnbd.rmse_orders
    is_met = (ours.auc >= AUC_GOAL, rmse <= 1, 0.9 <= ours.orders_ratio <= 1.1) if has_goals else (None,) * 3
    goals = ("at least 0.775", "ratio at most 1", "0.9 to 1.1") if has_goals else ("",) * 3
    return [
        Figure(f"{name}: AUC", ours.auc, "", "BG/NBD", bgnbd.auc, ours.auc / bgnbd.auc, goals[0], is_met[0]),
        Figure(f"{name}: AUC", ours.auc, "", "R+F+M score", score.auc, ours.auc / score.auc),
        Figure(f"{name}: RMSE of orders", ours.rmse_orders, "", "BG/NBD", bgnbd.rmse_orders, rmse, goals[1], is_met[1]),
        Figure(
            f"{name}: predicted over actual orders",
            *(ours.orders_ratio, "", "BG/NBD", bgnbd.orders_ratio, None, goals[2], is_met[2]),
        ),
    ]


def _purchase_days() -> History:
    """CDNOW with the purchases of a customer and day as one order, as the literature counts them."""
    table = pq.read_table(BytesIO(files("simulator").joinpath("data/cdnow.parquet").read_bytes()))
    rows = table.group_by(["customer", "days"]).aggregate([("cents", "sum")])
    customer, day = (rows[name].to_numpy().astype(np.int64) for name in ("customer", "days"))
    return History(customer, day, rows["cents_sum"].to_numpy() / 100)
