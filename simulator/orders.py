"""The demo's orders: CDNOW's real purchases, moved in time so that they end on a given day. See data/README.md."""

from datetime import date
from importlib.resources import files
from io import BytesIO

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.compute as pc  # type: ignore[import-untyped, unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

LAST_DAY = 545  # 1998-06-30, in days since 1997-01-01
TWD = 30  # for the source's dollars, so that these orders and those of simulated people are of one kind


def demo_orders(end: date, zone: str = "Asia/Taipei") -> pa.Table:
    """69,659 purchases of 23,570 customers in the order of the file (by customer, then day), the last ones on `end`.

    Columns: `customer_id` and `order_id` (text, five digits and "C" + five digits, no nulls), `ordered_at` (timestamp,
    UTC: the beginning of the purchase's day in `zone`, as the source knows days only), `amount` (decimal(12, 2), TWD;
    80 purchases are worth 0.00).
    """
    source = pq.read_table(BytesIO(files("simulator").joinpath("data/cdnow.parquet").read_bytes()))
    days = source["days"].to_numpy().astype(np.int64) + ((end - date(1970, 1, 1)).days - LAST_DAY)
    midnight = pc.assume_timezone(pa.array(days * 86_400_000_000, pa.timestamp("us")), timezone=zone)
    numbers = pc.utf8_lpad(pa.array(np.arange(1, len(days) + 1)).cast(pa.string()), 5, "0")
    cents = pc.multiply(source["cents"], pa.scalar(TWD, pa.int32())).cast(pa.decimal128(12, 0))
    return pa.table(
        {
            "customer_id": pc.utf8_lpad(source["customer"].cast(pa.string()), 5, "0"),
            "order_id": pc.binary_join_element_wise("C", numbers, ""),
            "ordered_at": midnight.cast(pa.timestamp("us", "UTC")),
            "amount": pc.multiply(cents, pa.scalar("0.01").cast(pa.decimal128(3, 2))).cast(pa.decimal128(12, 2)),
        }
    )
