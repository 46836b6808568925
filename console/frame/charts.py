"""Charts that answer to the pointer, as ECharts takes them, each with the table that says the same in text.

An option is plain JSON: what a script must do (formats, intervals, colours of the theme) is named here and done in
static/scripts/charts.js. https://echarts.apache.org/en/option.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Format = Literal["whole", "money", "percent", "times", "plain"]

ROW_HEIGHT = 26  # px of one row of a lying chart
AROUND = 90  # px that axes, their names and the legend take
MARKED_STEPS = 31  # with more steps a point of its own each would be clutter


@dataclass(frozen=True)
class Chart:
    """An option for ECharts, its height in px, and the same figures as a table: column names and rows of text."""

    option: Mapping[str, Any]
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    height: int = 280
    format: Format = "whole"

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.rows


@dataclass(frozen=True)
class Bar:
    """One row of a lying bar chart: its name, length, and text beside it."""

    name: str
    value: float
    text: str


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, in the units of the chart."""

    name: str
    low: float
    value: float
    high: float
    text: str
    is_sure: bool = field(default=False)  # whether the interval lies on one side of the line of no effect


def lines(
    steps: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    *,
    step: str,
    value: str,
    right: str | None = None,
    format: Format = "whole",  # noqa: A002 - the word of the option
    is_stacked: bool = False,
) -> Chart:
    """Lines over equal steps (days, hours); None leaves a gap. `step` and `value` name the axes; `right` that of the
    last line, where it counts something else. `is_stacked` fills the parts of a whole."""
    drawn = [
        {
            "name": name,
            "type": "line",
            "data": list(values),
            "showSymbol": len(steps) <= MARKED_STEPS,  # a point between two gaps has no line
            "smooth": 0.2,
            "smoothMonotone": "x",
            **({"stack": "all", "areaStyle": {"opacity": 0.35}} if is_stacked else {}),
        }
        for name, values in series.items()
    ]
    heights: list[dict[str, Any]] = [
        {"type": "value", "min": 0, "name": value, "nameTextStyle": {"align": "left"}},
    ]
    if format == "whole":
        heights[0] |= {"minInterval": 1}  # else 0.5 and 1 would both read 1
    if right is not None:
        drawn[-1] |= {"yAxisIndex": 1}
        heights.append({"type": "value", "min": 0, "minInterval": 1, "name": right, "splitLine": {"show": False}})
    below = 58 if len(series) > 1 else 30  # the legend, and the name of the axis
    option = {
        "tooltip": {"trigger": "axis"},
        "legend": {"show": len(series) > 1, "type": "scroll", "bottom": 0},
        "grid": {"left": 16, "right": 44, "top": 34, "bottom": below, "containLabel": True},
        "xAxis": {"type": "category", "data": list(steps), "boundaryGap": False, **_named_below(step)},
        "yAxis": heights,
        "series": drawn,
    }
    rows = [[name, *(_shown(values[place], format) for values in series.values())] for place, name in enumerate(steps)]
    return Chart(option, [step, *series], rows, format=format)


def bars(
    found: Sequence[Bar],
    *,
    name: str,
    value: str,
    format: Format = "whole",  # noqa: A002
) -> Chart:
    """Lying bars, the first on top."""
    option = {
        "tooltip": {"trigger": "item"},
        "grid": {"left": 16, "right": 110, "top": 8, "bottom": 30, "containLabel": True},
        "xAxis": {"type": "value", "splitNumber": 4, **_named_below(value)},
        "yAxis": {"type": "category", "inverse": True, "data": [bar.name for bar in found]},
        "series": [
            {
                "type": "bar",
                "barMaxWidth": 18,
                "data": [{"value": bar.value, "text": bar.text} for bar in found],
                "label": {"show": True, "position": "right"},
            }
        ],
    }
    rows = [[bar.name, bar.text] for bar in found]
    return Chart(option, [name, value], rows, height=_height(len(found)), format=format)


def intervals(
    found: Sequence[Interval],
    *,
    name: str,
    value: str,
    none: float,
    format: Format = "times",  # noqa: A002
) -> Chart:
    """Estimates with their intervals, the first on top, and the line of no effect at `none`."""
    scale = {"type": "log" if format == "times" else "value", "logBase": 2, "scale": True, "splitNumber": 5}
    option = {
        "tooltip": {"trigger": "item"},
        "grid": {"left": 16, "right": 24, "top": 8, "bottom": 30, "containLabel": True},
        "xAxis": {**scale, **_named_below(value)},
        "yAxis": {"type": "category", "inverse": True, "data": [one.name for one in found]},
        "series": [
            {
                "type": "interval",  # charts.js draws it: a line from low to high and a point
                "none": none,
                "data": [
                    {
                        "value": [place, one.low, one.value, one.high],
                        "text": one.text,
                        "sign": 0 if not one.is_sure else 1 if one.value > none else -1,
                    }
                    for place, one in enumerate(found)
                ],
            }
        ],
    }
    rows = [[one.name, one.text] for one in found]
    return Chart(option, [name, value], rows, height=_height(len(found)), format=format)


def sankey(flows: Sequence[tuple[str, str, int]], *, source: str, target: str, people: str) -> Chart:
    """Who moved from where to where: (from, to, people), drawn from left to right; the two sides keep their names."""
    left = list(dict.fromkeys(flow[0] for flow in flows))
    right = list(dict.fromkeys(flow[1] for flow in flows))
    option = {
        "tooltip": {"trigger": "item"},
        "series": [
            {
                "type": "sankey",
                "left": 8,
                "right": 120,
                "top": 8,
                "bottom": 8,
                "nodeGap": 16,
                "emphasis": {"focus": "adjacency"},
                "lineStyle": {"color": "gradient", "opacity": 0.35},
                # ECharts tells nodes by their names: a side's own mark keeps "E" before apart from "E" after
                "data": [
                    *({"name": f"0 {name}", "shown": name, "depth": 0} for name in left),
                    *({"name": f"1 {name}", "shown": name, "depth": 1} for name in right),
                ],
                "links": [{"source": f"0 {a}", "target": f"1 {b}", "value": count} for a, b, count in flows],
            }
        ],
    }
    rows = [[a, b, f"{count:,}"] for a, b, count in flows]
    return Chart(option, [source, target, people], rows, height=max(280, 40 * max(len(left), len(right))))


def _named_below(name: str) -> dict[str, Any]:
    """The name of a lying axis, under the middle of its labels."""
    return {"name": name, "nameLocation": "middle", "nameGap": 26}


def _height(rows: int) -> int:
    return AROUND + ROW_HEIGHT * rows


def _shown(value: float | None, format: Format) -> str:  # noqa: A002
    if value is None:
        return "–"
    if format == "percent":
        return f"{value:.1%}"
    if format == "times":
        return f"× {value:.2f}"
    return f"{value:,.0f}" if format in ("whole", "money") else f"{value:g}"
