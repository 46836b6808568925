"""How far ahead a brand's customers are predicted, and which number comes from which horizon."""

CHURN_CYCLES = 3  # nothing for longer is 流失 in NESL too
BUY, CHURN, SPEND_90, SPEND_365 = "buy", "churn", "spend_90", "spend_365"
HORIZONS = (BUY, CHURN, SPEND_90, SPEND_365)


def horizon_days(cycle_days: int) -> dict[str, int]:
    """Horizon -> its days: the chance to buy is of one purchase cycle, churn is no order within three."""
    return {BUY: cycle_days, CHURN: CHURN_CYCLES * cycle_days, SPEND_90: 90, SPEND_365: 365}
