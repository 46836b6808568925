// A chart that has the focus is read with the keys: arrows go from point to point, Home and End to the first and the last,
// Escape closes. What the tooltip then says is told to screen readers too.
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };

// How many points on a key leads; undefined for another key, and for one that is the browser's own (Alt and left: back).
export function stepOf(event) {
  return event.altKey || event.ctrlKey || event.metaKey ? undefined : STEPS[event.key];
}

// The points along the chart, each as its series and its place in it; a gap in all lines is none.
function pointsOf(chart) {
  const { series, tooltip } = chart.getOption();
  const places = series[0].data.keys();
  if (tooltip[0].trigger === "item") return [...places].map((dataIndex) => ({ seriesIndex: 0, dataIndex }));
  return [...places].flatMap((dataIndex) => {
    const seriesIndex = series.findIndex((one) => one.data[dataIndex] != null);
    return seriesIndex < 0 ? [] : [{ seriesIndex, dataIndex }];
  });
}

export function answerKeys(element, chart) {
  const told = element.parentElement.querySelector("[data-chart-said]");
  let at = -1;
  function show(place) {
    const points = pointsOf(chart);
    at = Math.min(Math.max(place, 0), points.length - 1);
    chart.dispatchAction({ type: "showTip", ...points[at] });
    told.textContent = element.querySelector(".chart-tip")?.innerText.replace(/\s+/g, " ") ?? "";
  }
  function close() {
    at = -1;
    chart.dispatchAction({ type: "hideTip" });
    told.textContent = "";
  }
  element.tabIndex = 0;
  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    const step = stepOf(event);
    if (step === undefined) return;
    event.preventDefault();
    show(at < 0 && step < 0 ? 0 : at + step);
  });
  element.addEventListener("blur", close);
}
