// Draws every element with data-chart: an option of ECharts made by console/frame/charts.py.
// What JSON can't say is done here: formats, intervals, the colours of the page's theme, keys.
import { answerKeys } from "./chart_keys.js";

const still = matchMedia("(prefers-reduced-motion: reduce)");
const shown = {
  whole: (value) => Math.round(value).toLocaleString("en"),
  money: (value) => document.body.dataset.money + " " + Math.round(value).toLocaleString("en"),
  percent: (value) => (value * 100).toFixed(1) + "%",
  times: (value) => "× " + Number(value.toPrecision(3)),
  plain: (value) => String(value),
};

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue("--" + name).trim();
  return {
    ink: of("ink"), soft: of("soft"), line: of("line"), card: of("card"), green: of("green"), red: of("red"),
    series: of("series").split(/\s+/),
  };
}

// A line from low to high with a point at the estimate; `sign` colours it: sure gain, sure loss, or open.
function drawInterval(series, theme) {
  const colour = (sign) => (sign > 0 ? theme.green : sign < 0 ? theme.red : theme.soft);
  return {
    ...series,
    type: "custom",
    encode: { x: [1, 2, 3], y: 0 },
    renderItem: (params, api) => {
      const row = api.value(0);
      const [low, mid, high] = [1, 2, 3].map((place) => api.coord([api.value(place), row]));
      const stroke = colour(series.data[params.dataIndex].sign);
      return {
        type: "group",
        children: [
          { type: "line", shape: { x1: low[0], y1: low[1], x2: high[0], y2: high[1] }, style: { stroke, lineWidth: 3, opacity: 0.55 } },
          { type: "circle", shape: { cx: mid[0], cy: mid[1], r: 5 }, style: { fill: stroke } },
        ],
      };
    },
    markLine: {
      silent: true, symbol: "none", label: { show: false },
      lineStyle: { color: theme.soft, type: "dashed" }, data: [{ xAxis: series.none }],
    },
  };
}

function axis(option, theme, format) {
  const isNumber = option.type === "value" || option.type === "log";
  return {
    ...option,
    axisLine: { lineStyle: { color: theme.line } },
    axisTick: { show: false },
    splitLine: { show: isNumber, lineStyle: { color: theme.line }, ...(option.splitLine || {}) },
    nameTextStyle: { color: theme.soft, ...(option.nameTextStyle || {}) },
    axisLabel: { color: theme.soft, hideOverlap: true, ...(isNumber ? { formatter: shown[format] } : {}), ...(option.axisLabel || {}) },
  };
}

function prepared(option, format, theme) {
  const made = { ...option, color: theme.series, backgroundColor: "transparent", animation: !still.matches, animationDuration: 300 };
  made.textStyle = { color: theme.ink, fontFamily: getComputedStyle(document.body).fontFamily };
  if (made.legend) made.legend = { ...made.legend, textStyle: { color: theme.ink }, pageTextStyle: { color: theme.soft } };
  for (const name of ["xAxis", "yAxis"]) if (made[name]) made[name] = [made[name]].flat().map((one) => axis(one, theme, format));
  made.series = made.series.map((series) => {
    if (series.type === "interval") return drawInterval(series, theme);
    const label = { color: theme.ink, ...(series.label || {}) };
    if (series.type === "bar") label.formatter = (point) => point.data.text;
    if (series.type === "sankey") label.formatter = (point) => point.data.shown;
    return { ...series, label };
  });
  made.tooltip = {
    ...made.tooltip,
    confine: true,
    className: "chart-tip",
    backgroundColor: theme.card,
    borderColor: theme.line,
    textStyle: { color: theme.ink },
    ...(made.tooltip.trigger === "axis" ? { valueFormatter: (value) => (value == null ? "–" : shown[format](value)) } : { formatter: said }),
  };
  return made;
}

function said(point) {
  const name = (text) => echarts.format.encodeHTML(String(text));
  if (point.dataType === "edge")
    return name(point.data.source.slice(2)) + " → " + name(point.data.target.slice(2)) + ": " + shown.whole(point.value);
  if (point.dataType === "node") return name(point.data.shown) + ": " + shown.whole(point.value);
  return "<b>" + name(point.name) + "</b> " + name(point.data.text ?? point.value);
}

function draw(element) {
  const chart = echarts.getInstanceByDom(element) || echarts.init(element, null, { renderer: "svg" });
  chart.setOption(prepared(JSON.parse(element.dataset.chart), element.dataset.format, colours()), true);
  if (!element.observed) {
    answerKeys(element, chart);
    element.observed = new ResizeObserver(() => chart.resize());
    element.observed.observe(element);
  }
}

function drawAll(root) {
  if (typeof echarts !== "undefined") root.querySelectorAll("[data-chart]").forEach(draw);
}

drawAll(document);
document.addEventListener("htmx:load", (event) => drawAll(event.detail.elt.parentElement || document));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(document));
