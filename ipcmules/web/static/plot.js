/* Plots of the last hour. */
import { h } from "./building.js";
import { state } from "./state.js";
import { clock, now } from "./texts.js";

export class Plot {
  /** series: [name, the place in a point, unit(value)]. least: what the scale shows at least. */
  constructor(title, series, least = 0) {
    this.series = series;
    this.least = least;
    this.svg = h("svg:svg", { class: "plot", role: "img", "aria-label": title });
    this.legend = h("p", { class: "legend" });
    this.element = h("section", { class: "card" }, h("h3", { text: title }), this.svg, this.legend);
    this.at = null;
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => ((this.at = null), this.draw()));
  }
  point(event) {
    const box = this.svg.getBoundingClientRect();
    this.at = (event.clientX - box.left - this.left) / (box.width - this.left - 4);
    this.draw();
  }
  draw() {
    const box = this.svg.getBoundingClientRect();
    const width = box.width || 300, height = box.height || 150, left = (this.left = 46), bottom = height - 18;
    const points = state.points, end = points.length ? points[points.length - 1][0] : now();
    const span = [300, 900, 1800, 3600].find((each) => points.length && end - points[0][0] <= each) ?? (points.length ? 3600 : 300);
    const shown = points.filter((each) => each[0] >= end - span);
    const most = Math.max(...shown.flatMap((each) => this.series.map(([, at]) => each[at] ?? 0)), 0);
    const top = Math.max(most > 0 ? nice(most) : 1, this.least);
    const x = (time) => left + ((time - end + span) / span) * (width - left - 4);
    const y = (value) => bottom - (value / top) * (bottom - 8);
    const drawn = [];
    for (const share of [0, 0.5, 1]) {
      const level = y(share * top);
      drawn.push(h("svg:line", { class: "grid", x1: left, x2: width - 4, y1: level, y2: level }));
      drawn.push(h("svg:text", { x: left - 6, y: level + 4, "text-anchor": "end", text: this.series[0][2](share * top) }));
    }
    for (const share of [0, 0.5, 1]) {
      const anchor = ["start", "middle", "end"][share * 2];
      drawn.push(h("svg:text", { x: left + share * (width - left - 4), y: height - 3, "text-anchor": anchor, text: clock(end - span * (1 - share)) }));
    }
    const chosen = this.at == null || !shown.length ? null : shown.reduce((best, each) => (Math.abs(x(each[0]) - x(end - span + this.at * span)) < Math.abs(x(best[0]) - x(end - span + this.at * span)) ? each : best));
    if (chosen) drawn.push(h("svg:line", { class: "cursor", x1: x(chosen[0]), x2: x(chosen[0]), y1: 8, y2: bottom }));
    this.series.forEach(([, at], place) => {
      let path = "", last = null;
      for (const each of shown) {
        const value = each[at];
        if (value == null) {
          last = null;
          continue;
        }
        path += `${last === null ? "M" : "L"}${x(each[0]).toFixed(1)} ${y(value).toFixed(1)}`;
        last = value;
      }
      drawn.push(h("svg:path", { class: `c${place + 1}`, d: path }));
      // What stands alone is no line.
      shown.forEach((each, number) => {
        const alone = each[at] != null && shown[number - 1]?.[at] == null && shown[number + 1]?.[at] == null;
        if (alone) drawn.push(h("svg:circle", { class: `c${place + 1}`, cx: x(each[0]), cy: y(each[at]), r: 2 }));
      });
    });
    this.svg.replaceChildren(...drawn);
    const told = chosen ?? shown[shown.length - 1];
    const entries = this.series.map(([name, at, unit], place) => h("span", {}, h("i", { class: `c${place + 1}` }), name + " ", h("b", { text: told ? unit(told[at]) : "–" })));
    this.legend.replaceChildren(...entries, ...(chosen ? [h("span", { text: "at " + new Date(chosen[0] * 1e3).toLocaleTimeString() })] : []));
  }
}
export function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((each) => each * power >= value) * power;
}
