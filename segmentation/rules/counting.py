"""Events counted by place: for each condition a row of counters, one for every customer id. Where ids lie close
together, as ours do, that is far cheaper than grouping: no event is looked for among groups, and one table is joined to
the customers in place of one for each kind."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

PLACES_A_CUSTOMER = 4  # at most; ids that lie wider apart are grouped
MOST_COUNTERS = 64_000_000  # 256 MB; more are grouped, which can be spilled
ONE = np.int32(1)

Table = Any
Expression = Any


def places(customers: Table, conditions: int) -> range | None:
    """The ids of `customers` from the least to the most; None for nobody, or where they lie too far apart, or are too
    many, to be counted for so many conditions."""
    ids = customers.customer_id
    query = customers.aggregate(least=ids.min(), most=ids.max(), people=ids.count())
    least, most, people = _execute(query).fetchall()[0]
    most_places = min(PLACES_A_CUSTOMER * people, MOST_COUNTERS // conditions)
    return range(least, most + 1) if people and most - least < most_places else None


def counts_by_place(rows: Table, tests: Mapping[str, Expression | None], ids: range) -> dict[str, NDArray[np.int32]]:
    """For each of `tests` (of `rows`, which have customer_id; None: no test) how many rows of each of `ids` fit it."""
    counts = {name: np.zeros(len(ids), np.int32) for name in tests}
    columns = {name: test for name, test in tests.items() if test is not None}
    asked = rows.filter(rows.customer_id.between(ids.start, ids.stop - 1)).select("customer_id", **columns)
    for batch in _relation(asked).to_arrow_reader():
        who = batch["customer_id"].to_numpy() - ids.start
        for name, counted in counts.items():
            fits = who[batch[name].fill_null(False).to_numpy(zero_copy_only=False)] if name in columns else who
            np.add.at(counted, fits, ONE)
    return counts


def _relation(table: Table) -> Any:
    connection = table.get_backend()
    return connection.con.sql(connection.compile(table))


def _execute(table: Table) -> Any:
    connection = table.get_backend()
    return connection.con.execute(connection.compile(table))
