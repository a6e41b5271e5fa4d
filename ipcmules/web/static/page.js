/* The page of a bus. No framework, no build step. Whatever comes from a bus becomes text nodes and attributes of
   ours alone (h), never markup: Trusted Types forbid the rest. The token stays in this tab (sessionStorage) and
   goes out in a header. */
"use strict";

const PAGES = ["overview", "processes", "tasks", "letters", "events", "log"];
const TITLES = { letters: "dead letters" };
const OFTEN = 2500;
const state = { token: "", page: "overview", read_only: false, seen: null, rates: null, points: [], view: null, generation: "" };
const $ = (id) => document.getElementById(id);

/* Building */

const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu;
const written = (each) => "\\u{" + each.codePointAt(0).toString(16) + "}";
/** What cannot be seen, or turns text around, is written out. */
const plain = (value) => String(value ?? "").replace(HIDDEN, written);
const lines = (value) => String(value ?? "").replace(HIDDEN, (each) => (each === "\n" || each === "\t" ? each : written(each)));

/** An element. given: attributes; functions are listeners; text: its text; children: nodes and texts. */
function h(name, given = {}, ...children) {
  const made = name.startsWith("svg:") ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (key === "text") made.textContent = plain(value);
    else if (value !== false && value != null) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((each) => each != null));
  return made;
}

function number(value, digits = 1) {
  if (value == null) return "–";
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e4]])
    if (Math.abs(value) >= size) return (value / (unit === "k" ? 1e3 : size)).toFixed(1) + unit;
  return Number.isInteger(value) || Math.abs(value) >= 100 ? String(Math.round(value)) : value.toFixed(digits);
}
function bytes(value) {
  for (const [unit, size] of [["G", 2 ** 30], ["M", 2 ** 20], ["K", 2 ** 10]])
    if (value >= size) return (value / size).toFixed(value >= 10 * size ? 0 : 1) + " " + unit;
  return value + " B";
}
function duration(seconds) {
  if (seconds == null) return "–";
  const s = Math.max(seconds, 0);
  if (s === 0) return "0 s";
  if (s < 1e-3) return Math.round(s * 1e6) + " µs";
  if (s < 1) return (s * 1e3).toFixed(s < 0.01 ? 1 : 0) + " ms";
  if (s < 60) return s.toFixed(s < 10 ? 1 : 0) + " s";
  if (s < 7200) return Math.floor(s / 60) + " min";
  return s < 172800 ? (s / 3600).toFixed(1) + " h" : Math.round(s / 86400) + " d";
}
const now = () => Date.now() / 1000;
const ago = (moment) => (moment ? duration(now() - moment) + " ago" : "–");
const moment = (value) => (value ? new Date(value * 1e3).toLocaleString() : "–");
const near = (value) => (value == null ? "–" : value >= now() ? "in " + duration(value - now()) : ago(value));
const clock = (value) => new Date(value * 1e3).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
const plural = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

/** A table whose rows stay where they are: cells get new texts, so that focus and selection stay too. */
class Table {
  /** columns: {title, text(row)} or {title, build(get, key), refresh(element, row)}; key(row) is a row's name. */
  constructor(columns, key, empty) {
    this.columns = columns;
    this.key = key;
    this.rows = new Map();
    this.body = h("tbody");
    this.none = h("p", { class: "quiet", text: empty });
    const titles = columns.map((each) => h("th", { class: each.class ?? "", scope: "col", text: each.title }));
    this.table = h("table", { class: "rows" }, h("thead", {}, h("tr", {}, ...titles)), this.body);
    this.element = h("div", { class: "scroll" }, this.table, this.none);
  }
  update(rows) {
    const gone = new Set(this.rows.keys());
    let before = null;
    for (const row of rows) {
      const key = this.key(row);
      gone.delete(key);
      const known = this.rows.get(key) ?? this.add(key, row);
      known.row = row;
      for (const [at, column] of this.columns.entries()) this.fill(known.cells[at], column, row);
      const place = before ? before.nextSibling : this.body.firstChild;
      if (place !== known.line) this.body.insertBefore(known.line, place);
      before = known.line;
    }
    for (const key of gone) {
      this.rows.get(key).line.remove();
      this.rows.delete(key);
    }
    this.none.hidden = rows.length > 0;
    this.table.hidden = rows.length === 0;
  }
  add(key, row) {
    const known = { row, cells: [] };
    known.cells = this.columns.map((column) => {
      const label = column.title ? { "data-label": column.title } : {};
      const cell = h("td", { class: column.class ?? "", ...label });
      if (column.build) cell.append(...[column.build(() => known.row, key)].flat());
      return cell;
    });
    known.line = h("tr", {}, ...known.cells);
    this.rows.set(key, known);
    return known;
  }
  fill(cell, column, row) {
    if (column.refresh) column.refresh(cell, row);
    if (column.build) return;
    const text = plain(column.text(row));
    if (cell.textContent !== text) cell.textContent = text;
    cell.className = [column.class ?? "", column.style?.(row) ?? "", text === "" ? "empty" : ""].join(" ").trim();
  }
}

function button(text, act, kind = "") {
  return h("button", { type: "button", class: kind, text, click: act });
}
const card = (title, ...children) => h("section", { class: "card" }, h("h2", { text: title }), ...children);

/* Asking */

async function ask(path, body) {
  const headers = { Authorization: `Bearer ${state.token}` };
  const given = { headers, cache: "no-store", credentials: "omit" };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    Object.assign(given, { method: "POST", body: JSON.stringify(body) });
  }
  let answer;
  try {
    answer = await fetch("api/" + path, given);
  } catch {
    throw new Error("the page's process does not answer: does the bus run?");
  }
  const said = await answer.json().catch(() => ({ error: "this is no answer" }));
  if (answer.status === 401) login(state.token ? said.error : "");
  if (!answer.ok) throw new Error(said.error);
  return said;
}

function toast(text, wrong = false) {
  const shown = $("toast");
  shown.textContent = plain(text);
  shown.hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => (shown.hidden = true), wrong ? 12000 : 5000);
}

/** Do something, say what came of it, and look again. */
async function act(path, body, said) {
  try {
    const told = await ask(path, body);
    toast(typeof said === "function" ? said(told) : said, told.failures > 0);
  } catch (error) {
    toast(error.message, true);
  }
  refresh(true);
}
const outcome = (what) => (told) => {
  const failed = told.failures ? `; ${told.failures} not: ${told.failed.map((each) => `${each.id} ${each.reason}`.trim()).slice(0, 3).join("; ")}` : "";
  return `${told.done} ${what}${failed}${told.more ? "; there are more" : ""}`;
};

/** A dialog; buttons: [text, value, kind]. Returns the value of the one that is chosen, "" for none. */
function dialog(title, body, buttons) {
  const shown = $("dialog");
  if (shown.open) shown.close("");
  $("dialog-title").textContent = plain(title);
  $("dialog-body").replaceChildren(...body);
  const made = buttons.map(([text, value, kind]) => h("button", { value, class: kind ?? "", text }));
  $("dialog-buttons").replaceChildren(h("button", { value: "", text: "Close", autofocus: !buttons.length }), ...made);
  shown.returnValue = "";
  shown.showModal();
  shown.scrollTop = 0; // the button that has the focus is below
  return new Promise((done) => shown.addEventListener("close", () => done(shown.returnValue), { once: true }));
}
async function sure(title, text, yes, kind = "danger") {
  return (await dialog(title, [h("p", { text })], [[yes, "yes", kind]])) === "yes";
}
function facts(pairs) {
  const shown = pairs.filter(([, value]) => value != null && value !== "");
  return h("dl", { class: "facts" }, ...shown.flatMap(([name, value]) => [h("dt", { text: name }), h("dd", { text: value })]));
}

/* Plots */

class Plot {
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
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((each) => each * power >= value) * power;
}

/* What is wrong, in words */

function wrongs(seen) {
  const found = [];
  if (seen.state !== "ready") found.push(`the bus is ${seen.state}`);
  if (seen.reload_failed) found.push("the last reload failed: the old code runs");
  for (const [role, list] of [["mule", seen.mules], ["spooler", seen.spoolers], ["worker", seen.workers]])
    for (const each of list) {
      if (!each.pid && each.state === "absent" && role !== "spooler" && !(role === "worker" && !each.launched)) found.push(`${role} ${each.id} does not run` + (each.last_death ? `: the last one ${each.last_death}` : ""));
      else if (each.doing && each.doing_since > 60) found.push(`${role} ${each.id} has been at ${each.doing} for ${duration(each.doing_since)}`);
    }
  for (const each of seen.queues) if (each.waiting) found.push(`queue ${each.endpoint} is full, and ${plural(each.waiting, "message")} behind it`);
  for (const each of seen.queues) if (each.oldest > 300) found.push(`queue ${each.endpoint}: ${each.endpoint.startsWith("spool.") ? "nobody takes what" : "what"} has been there for ${duration(each.oldest)}`);
  for (const each of seen.tasks.directories) {
    if (each.paused.length) found.push(`${each.path}: paused: ${each.paused.map((one) => (one === "*" ? "everything" : one)).join(", ")}`);
    if (each.dead) found.push(`${each.path}: ${plural(each.dead, "dead task")}`);
    if (each.oldest > 300) found.push(`${each.path}: a task has been waiting for ${duration(each.oldest)}`);
  }
  if (seen.dead_letters.dead) found.push(plural(seen.dead_letters.dead, "dead letter"));
  return found;
}

/* The pages: each has element, show() with what state has, and perhaps load() for more */

const flow = (found, what) => (found ? number(found[what]) : "");
const sum = (list, key) => list.reduce((all, each) => all + (each[key] ?? 0), 0);

class Overview {
  constructor() {
    this.wrong = h("section", { class: "card wrong" });
    this.numbers = h("dl", { class: "numbers" });
    this.plots = [
      new Plot("A second", [["messages", 1, number], ["signals", 2, number], ["tasks", 3, number], ["exceptions", 4, number]]),
      new Plot("Waiting", [["messages", 5, number], ["tasks", 6, number]], 2),
      new Plot("Tasks take", [["half of them", 7, duration], ["95%", 8, duration]]),
      new Plot("The oldest task waits", [["for", 9, duration]]),
    ];
    this.functions = new Table(
      [
        { title: "function", class: "id", text: (row) => row.function },
        { title: "a second", class: "number", text: (row) => number(state.rates.functions[row.function] ?? 0) },
        { title: "running", class: "number", text: (row) => row.running },
        { title: "done", class: "number", text: (row) => number(row.done) },
        { title: "failed", class: "number", text: (row) => number(row.failed + row.killed), style: (row) => (row.failed + row.killed ? "busy" : "") },
        { title: "given up", class: "number", text: (row) => row.dead, style: (row) => (row.dead ? "bad" : "") },
        { title: "half take", class: "number", text: (row) => duration(row.p50) },
        { title: "95% take", class: "number", text: (row) => duration(row.p95) },
      ],
      (row) => row.function,
      "No task has run yet.",
    );
    this.queues = new Table(
      [
        { title: "queue", class: "id", text: (row) => row.endpoint },
        { title: "in it", class: "number", text: (row) => `${row.messages} of ${row.depth}` },
        { title: "behind it", class: "number", text: (row) => number(row.waiting), style: (row) => (row.waiting ? "busy" : "") },
        { title: "oldest", class: "number", text: (row) => (row.oldest == null ? "" : duration(row.oldest)), style: (row) => (row.oldest > 60 ? "bad" : "") },
        { title: "in a second", class: "number", text: (row) => flow(state.rates.queues[row.endpoint], "come") },
        { title: "out a second", class: "number", text: (row) => flow(state.rates.queues[row.endpoint], "gone") },
      ],
      (row) => row.endpoint,
      "There is no queue.",
    );
    this.element = h("div", {}, this.wrong, this.numbers, h("div", { class: "plots" }, ...this.plots.map((each) => each.element)),
      card("Tasks by function", this.functions.element), card("Queues", this.queues.element));
  }
  show() {
    const { seen, rates } = state;
    const found = wrongs(seen);
    this.wrong.hidden = !found.length;
    this.wrong.replaceChildren(h("h2", { class: "bad", text: "Look at this" }), h("ul", {}, ...found.map((text) => h("li", { text }))));
    const all = [...seen.mules, ...seen.spoolers, ...seen.workers.filter((each) => each.launched)];
    const tasks = seen.tasks.directories;
    const cells = [
      ["processes", all.filter((each) => each.pid).length, `${all.filter((each) => each.doing).length} at work`],
      ["messages", number(rates.messages), "a second"],
      ["signals", number(rates.signals), "a second"],
      ["tasks", number(rates.tasks), "a second"],
      ["waiting", number(sum(tasks, "waiting")), `tasks, ${number(sum(tasks, "scheduled"))} scheduled`],
      ["running", number(sum(tasks, "running")), `tasks, ${number(sum(tasks, "failing"))} failing`],
      ["dead tasks", number(sum(tasks, "dead")), "given up"],
      ["dead letters", number(seen.dead_letters.dead), `${number(seen.dead_letters.waiting)} kept`],
    ];
    this.numbers.replaceChildren(...cells.map(([name, value, more]) => h("div", {}, h("dt", { text: name }), h("dd", { text: value }, h("small", { text: more })))));
    this.plots.forEach((each) => each.draw());
    this.functions.update(seen.tasks.functions);
    this.queues.update(seen.queues);
  }
}

class Processes {
  constructor() {
    this.table = new Table(
      [
        { title: "process", class: "id", text: (row) => row.name },
        { title: "pid", class: "number", text: (row) => row.pid || "–" },
        { title: "state", text: (row) => (row.doing ? row.doing : row.pid ? row.state : "does not run"), style: (row) => (!row.pid ? "bad" : row.doing ? "busy" : "") },
        { title: "for", class: "number", text: (row) => duration(row.doing ? row.doing_since : row.since) },
        { title: "a second", class: "number", text: (row) => number(rateOf(row).messages + rateOf(row).signals) },
        { title: "CPU", class: "number", text: (row) => Math.round(rateOf(row).cpu * 100) + "%" },
        { title: "memory", class: "number", text: (row) => bytes(row.memory) },
        { title: "exceptions", class: "number", text: (row) => row.all_exceptions, style: (row) => (row.all_exceptions ? "busy" : "") },
        { title: "restarts", class: "number", text: (row) => row.respawns },
        { title: "runs", class: "wide", text: (row) => (row.program ?? row.directory ?? "") + (row.farms?.length ? ` (farms ${row.farms.join(", ")})` : "") },
        { title: "", class: "acts", build: (get) => this.buttons(get), refresh: (cell, row) => [...cell.children].forEach((each) => (each.hidden = !row.pid || row.launched === false)) },
      ],
      (row) => row.name,
      "No process is there.",
    );
    this.programs = new Table(
      [
        { title: "program", class: "id", text: (row) => row.name },
        { title: "pid", class: "number", text: (row) => row.pid },
        { title: "memory", class: "number", text: (row) => bytes(row.memory) },
        { title: "CPU in all", class: "number", text: (row) => duration(row.cpu) },
      ],
      (row) => `${row.name} ${row.pid}`,
      "",
    );
    const reload = state.read_only ? [] : [h("div", { class: "tools" }, button("Reload the bus", () => this.reload(), "main"))];
    this.element = h("div", {}, ...reload, card("Processes", this.table.element), card("Beside them", this.programs.element));
  }
  buttons(get) {
    if (state.read_only) return [];
    return [button("Stacks", () => this.stacks(get())), button("Restart", () => this.restart(get()))];
  }
  show() {
    const named = (role, list) => list.map((each) => ({ ...each, role, name: `${role} ${each.id}`, file: `${role}${each.id}` }));
    const { seen } = state;
    this.table.update([...named("mule", seen.mules), ...named("spooler", seen.spoolers), ...named("worker", seen.workers)]);
    this.programs.update(seen.programs);
  }
  async stacks(row) {
    try {
      const told = await ask("stacks", { process: row.file });
      const chosen = await dialog(`Stacks of ${row.name}`, [h("p", { class: "quiet", text: "The newest call stands first." }), pre(told.text)], [["Again", "again"]]);
      if (chosen === "again") this.stacks(row);
    } catch (error) {
      toast(error.message, true);
    }
  }
  async restart(row) {
    const text = `It ends when it has done what it has in hand, and is killed if that takes longer than the mercy of a reload. Another ${row.role} takes its place.`;
    if (await sure(`Restart ${row.name}?`, text, "Restart", "main")) act("restart", { process: row.file }, `${row.name} is replaced`);
  }
  async reload() {
    if (!(await sure("Reload the bus?", "The code is loaded anew, and every process is replaced, one after the other. If the new code does not load, the old one stays.", "Reload", "main"))) return;
    toast("The bus loads its code …");
    act("reload", {}, "the bus runs the new code");
  }
}
const rateOf = (row) => state.rates.processes[row.name] ?? { messages: 0, signals: 0, exceptions: 0, cpu: 0 };
function pre(text) {
  const made = h("pre", { tabindex: 0 });
  made.textContent = lines(text);
  return made;
}

/** A list with search, a choice of rows and what can be done with them. */
class List {
  constructor(columns, key, empty, tools, actions) {
    this.chosen = new Set();
    this.actions = state.read_only ? [] : actions;
    this.search = h("input", { type: "search", placeholder: "Search  ( / )", "aria-label": "Search", input: () => this.later() });
    this.all = h("input", { type: "checkbox", "aria-label": "Choose all that are shown", change: () => this.chooseAll() });
    this.count = h("span", { class: "quiet" });
    this.bulk = this.actions.map(([text, run, kind]) => button(text, () => run([...this.chosen]), kind));
    const box = { title: "", class: "pick", build: (_get, name) => this.box(name), refresh: (cell, row) => this.mark(cell, row) };
    this.table = new Table(this.actions.length ? [box, ...columns] : columns, key, empty);
    this.key = key;
    const chooser = this.actions.length ? [h("label", {}, this.all, "all"), ...this.bulk] : [];
    this.element = h("div", { class: "card" }, h("div", { class: "tools" }, this.search, ...tools),
      h("div", { class: "tools" }, ...chooser, this.count), this.table.element);
    this.rows = [];
  }
  box(name) {
    return h("input", { type: "checkbox", "aria-label": "Choose it", change: (event) => this.choose(name, event.target.checked) });
  }
  mark(cell, row) {
    const on = this.chosen.has(this.key(row));
    cell.firstChild.checked = on;
    cell.parentElement?.classList.toggle("chosen", on);
  }
  choose(name, on) {
    if (on) this.chosen.add(name);
    else this.chosen.delete(name);
    this.fill(this.rows, this.more);
  }
  chooseAll() {
    this.chosen = new Set(this.all.checked ? this.rows.map(this.key) : []);
    this.fill(this.rows, this.more);
  }
  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), 250);
  }
  fill(rows, more) {
    this.rows = rows;
    this.more = more;
    const there = new Set(rows.map(this.key));
    for (const each of this.chosen) if (!there.has(each)) this.chosen.delete(each);
    this.table.update(rows);
    this.bulk.forEach((each) => (each.disabled = !this.chosen.size));
    this.all.checked = rows.length > 0 && this.chosen.size === rows.length;
    const shown = more ? `the first ${rows.length}, there are more: search` : `${rows.length}`;
    this.count.textContent = this.chosen.size ? `${this.chosen.size} of ${shown} chosen` : shown;
  }
  show() {}
}

class Tasks extends List {
  constructor() {
    const option = (value, text) => h("option", { value, text });
    const states = h("select", { "aria-label": "State", change: () => this.load() },
      ...[["", "any state"], ["queued", "waiting"], ["scheduled", "scheduled"], ["running", "running"], ["dead", "dead"], ["done", "done"], ["failed", "failed"], ["expired", "expired"], ["cancelled", "cancelled"], ["dropped", "dropped"]].map((each) => option(...each)));
    const everything = state.read_only ? [] : [
      button("Retry all that match", () => this.allOf("tasks/retry", "Run them all now?", "Run", outcome("to be run"))),
      button("Drop all that match", () => this.allOf("tasks/drop", "Drop them all, for good?", "Drop", outcome("dropped")), "danger"),
    ];
    super(
      [
        { title: "state", class: "short", text: (row) => row.state, style: (row) => ({ dead: "bad", failed: "bad", running: "busy", done: "good" })[row.state] ?? "" },
        { title: "task", class: "id", build: (get) => h("button", { type: "button", class: "link", click: () => this.one(get().key) }), refresh: (cell, row) => (cell.firstChild.textContent = plain(row.function || (row.problem ? "no task: " : "") + row.id)) },
        { title: "age", class: "number", text: (row) => duration(now() - row.enqueued) },
        { title: "due", class: "number", text: (row) => (row.due ? near(row.due) : "") },
        { title: "failed", class: "number", text: (row) => row.attempts || "" },
        { title: "reason", class: "wide", text: (row) => row.problem ?? row.reason ?? progress(row) },
      ],
      (row) => row.key,
      "No such task.",
      [states, ...everything],
      [
        ["Retry / run now", (keys) => act("tasks/retry", { keys }, outcome("to be run"))],
        ["Drop", async (keys) => (await sure(`Drop ${plural(keys.length, "task")}?`, "They are removed for good; what is running is left.", "Drop")) && act("tasks/drop", { keys }, outcome("dropped")), "danger"],
      ],
    );
    this.states = states;
    this.directories = h("section", { class: "card" });
    this.list = this.element;
    this.element = h("div", {}, this.list, this.directories);
  }
  wanted() {
    return { state: this.states.value, search: this.search.value };
  }
  async load() {
    const asked = (this.asked = new URLSearchParams(this.wanted()).toString());
    const told = await ask("tasks?" + asked);
    if (asked === this.asked) this.fill(told.tasks, told.more);
  }
  show() {
    const places = state.seen.tasks.directories;
    this.directories.hidden = !places.length;
    if (this.places) return this.places.update(places);
    this.places = new Table(
      [
        { title: "spool directory", class: "id", text: (row) => row.path },
        ...["waiting", "scheduled", "running", "failing", "dead"].map((title) => ({ title, class: "number", text: (row) => number(row[title]) })),
        { title: "oldest", class: "number", text: (row) => duration(row.oldest) },
        { title: "in a second", class: "number", text: (row) => flow(state.rates.directories[row.path], "come") },
        { title: "out a second", class: "number", text: (row) => flow(state.rates.directories[row.path], "gone") },
        { title: "paused", class: "wide", text: (row) => row.paused.map((each) => (each === "*" ? "everything" : each)).join(", "), style: () => "busy" },
        { title: "", class: "acts", build: (get) => (state.read_only ? [] : button("Pause", () => this.pause(get()))), refresh: (cell, row) => cell.firstChild && (cell.firstChild.textContent = row.paused.includes("*") ? "Resume" : "Pause") },
      ],
      (row) => row.path,
      "",
    );
    this.directories.append(h("h2", { text: "Directories" }), this.places.element);
    this.places.update(places);
  }
  pause(row) {
    const paused = !row.paused.includes("*");
    act("tasks/pause", { directory: row.path, function: null, paused }, paused ? "no further task is begun" : "tasks are begun again");
  }
  async allOf(path, title, yes, said) {
    const filter = this.wanted();
    const meant = [filter.state && `in state ${filter.state}`, filter.search && `with “${filter.search}”`].filter(Boolean).join(" ") || "in any state";
    if (await sure(title, `All tasks ${meant}: not only those that are shown, at most 10000 at once.`, yes)) act(path, { filter }, said);
  }
  async one(key) {
    const { task } = await ask("task?" + new URLSearchParams({ key })).catch((error) => (toast(error.message, true), {}));
    if (task === undefined) return;
    if (task === null) return toast("this task is gone: it has run, or somebody dropped it", true);
    const args = Object.entries(task.arguments ?? {});
    const body = [
      facts([["state", task.state + (task.pid > 0 ? `, pid ${task.pid}` : "")], ["id", task.id], ["file", task.path], ["enqueued", `${moment(task.enqueued)}, ${ago(task.enqueued)}`], ["due", task.due && moment(task.due)],
        ["attempts", task.attempts || null], ["last failure", task.failed && moment(task.failed)], ["ended", task.ended && moment(task.ended)], ["reason", task.reason], ["problem", task.problem], ["priority", task.priority], ["progress", progress(task)], ["result", task.result], ["size", `${task.size} bytes`]]),
      ...(args.length ? [h("h3", { text: "Arguments" }), facts(args)] : []),
      ...(task.traceback ? [h("h3", { text: "Traceback" }), pre(task.traceback)] : []),
    ];
    const over = "ended" in task, pausing = task.function && !over;
    const place = state.seen.tasks.directories.find((each) => each.path === task.directory);
    const paused = place?.paused.includes(task.function);
    const buttons = state.read_only ? [] : [...(pausing ? [[paused ? "Resume the function" : "Pause the function", "pause"]] : []), ["Drop", "drop", "danger"], ...(over ? [] : [[task.state === "dead" ? "Retry" : "Run now", "retry", "main"]])];
    const chosen = await dialog(task.function || "A task", body, buttons);
    if (chosen === "retry") act("tasks/retry", { keys: [key] }, outcome("to be run"));
    if (chosen === "drop") act("tasks/drop", { keys: [key] }, outcome("dropped"));
    if (chosen === "pause") act("tasks/pause", { directory: task.directory, function: task.function, paused: !paused }, paused ? "its tasks are begun again" : "no further task of it is begun");
  }
}
function progress(row) {
  const said = row.progress;
  return said ? `${said.done}${said.total == null ? "" : " of " + said.total}${said.note ? ": " + said.note : ""}` : "";
}

class Letters extends List {
  constructor() {
    super(
      [
        { title: "letter", class: "id", build: (get) => h("button", { type: "button", class: "link", click: () => this.one(get().id) }), refresh: (cell, row) => (cell.firstChild.textContent = plain(row.id)) },
        { title: "age", class: "number", text: (row) => duration(now() - row.time) },
        { title: "to", text: (row) => row.target },
        { title: "was at", text: (row) => row.mule },
        { title: "bytes", class: "number", text: (row) => row.length },
        { title: "attempts", class: "number", text: (row) => row.attempts || "" },
        { title: "reason", class: "wide", text: (row) => row.reason },
      ],
      (row) => row.id,
      "No dead letters.",
      [],
      [
        ["Send again", (ids) => act("letters/requeue", { ids }, outcome("sent again"))],
        ["Drop", async (ids) => (await sure(`Drop ${plural(ids.length, "dead letter")}?`, "They are removed for good.", "Drop")) && act("letters/drop", { ids }, outcome("dropped")), "danger"],
      ],
    );
  }
  async load() {
    const asked = (this.asked = this.search.value);
    const told = await ask("letters?" + new URLSearchParams({ search: asked }));
    if (asked === this.asked) this.fill(told.letters, told.more);
  }
  async one(id) {
    const { letter } = await ask("letter?" + new URLSearchParams({ id })).catch((error) => (toast(error.message, true), {}));
    if (letter === undefined) return;
    if (letter === null) return toast("this letter is gone", true);
    const body = [
      facts([["sent to", letter.target], ["was at", letter.mule], ["when", moment(letter.time)], ["reason", letter.reason], ["attempts", letter.attempts], ["length", `${letter.length} bytes`]]),
      h("h3", { text: "Message" }), pre(letter.text), ...(letter.cut ? [h("p", { class: "quiet", text: `${letter.cut} more bytes` })] : []),
    ];
    const buttons = state.read_only ? [] : [["Drop", "drop", "danger"], ["Send again", "requeue", "main"]];
    const chosen = await dialog("A dead letter", body, buttons);
    if (chosen) act("letters/" + chosen, { ids: [id] }, outcome(chosen === "drop" ? "dropped" : "sent again"));
  }
}

class Events {
  constructor() {
    this.table = new Table(
      [
        { title: "when", class: "wide", text: (row) => row.schedule + (row.zone ? ` ${row.zone}` : "") },
        { title: "what", class: "id", text: (row) => row.handler ?? "–" },
        { title: "signal", class: "number", text: (row) => row.signal ?? "" },
        { title: "next", class: "number", text: (row) => (row.paused ? "paused" : near(row.next)), style: (row) => (row.paused ? "busy" : "") },
        { title: "last", class: "number", text: (row) => near(row.last) },
        { title: "took", class: "number", text: (row) => duration(row.last_duration) },
        { title: "late", class: "number", text: (row) => (row.late ? duration(row.late) : ""), style: (row) => (row.late > 5 ? "busy" : "") },
        { title: "runs", class: "number", text: (row) => number(row.runs) },
        { title: "failed", class: "number", text: (row) => row.exceptions || "", style: () => "bad" },
        { title: "skipped", class: "number", text: (row) => row.skips || "" },
        { title: "", class: "acts", build: (get) => this.buttons(get), refresh: (cell, row) => cell.lastChild && (cell.lastChild.textContent = row.paused ? "Resume" : "Pause") },
      ],
      (row) => row.id,
      "No events: no timer, cron or file monitor.",
    );
    this.signals = new Table(
      [
        { title: "signal", class: "number", text: (row) => row.number },
        { title: "handler", class: "id", text: (row) => row.handler || "–" },
        { title: "target", text: (row) => row.target || "–" },
        { title: "pending", class: "number", text: (row) => number(row.pending), style: (row) => (row.pending ? "busy" : "") },
        { title: "running", class: "number", text: (row) => row.running || "" },
        { title: "runs", class: "number", text: (row) => number(row.runs) },
        { title: "failed", class: "number", text: (row) => row.exceptions || "", style: () => "bad" },
        { title: "last", class: "number", text: (row) => near(row.last) },
        { title: "took", class: "number", text: (row) => duration(row.last_duration) },
      ],
      (row) => row.number,
      "No signal is registered.",
    );
    this.element = h("div", {}, card("Events", this.table.element), card("Signals", this.signals.element));
  }
  buttons(get) {
    if (state.read_only) return [];
    const run = button("Run now", () => act("events/run", { id: get().id }, `${get().handler ?? get().schedule}: told to run`));
    const pause = button("Pause", () => act("events/pause", { id: get().id, paused: !get().paused }, get().paused ? "it goes on" : "nothing comes of its ticks, until the bus ends or somebody resumes it"));
    return [run, pause];
  }
  async load() {
    const told = await ask("events");
    if (told.events === null) throw new Error("the master does not answer");
    this.table.update(told.events);
  }
  show() {
    this.signals.update(state.seen.signals.registered);
  }
}

class Log {
  constructor() {
    this.search = h("input", { type: "search", placeholder: "Only lines with …  ( / )", "aria-label": "Search", input: () => this.fill() });
    this.follow = h("input", { type: "checkbox", checked: true });
    this.file = h("span", { class: "quiet mono" });
    this.text = h("pre", { id: "log", tabindex: 0, "aria-label": "The end of the log" });
    this.element = h("div", { class: "card" }, h("div", { class: "tools" }, this.search, h("label", {}, this.follow, "follow"), this.file), this.text);
    this.told = { text: "", file: "", problem: "" };
  }
  async load() {
    const told = await ask("log");
    const same = told.text === this.told.text && told.problem === this.told.problem;
    this.told = told;
    if (!same) this.fill();
  }
  fill() {
    const search = this.search.value.toLowerCase();
    const all = this.told.text.split("\n");
    this.file.textContent = plain(this.told.file);
    this.text.textContent = this.told.problem || lines(all.filter((each) => each.toLowerCase().includes(search)).join("\n"));
    if (this.follow.checked) this.text.scrollTop = this.text.scrollHeight;
  }
  show() {}
}

const VIEWS = { overview: Overview, processes: Processes, tasks: Tasks, letters: Letters, events: Events, log: Log };

/* The whole */

async function look() {
  const last = state.points.length ? state.points[state.points.length - 1][0] : 0;
  const told = await ask("overview?since=" + last);
  state.points.push(...told.points.filter((each) => each[0] > last));
  state.points = state.points.filter((each) => each[0] > now() - 3700);
  state.seen = told.seen;
  state.rates = told.rates;
  state.read_only = told.read_only;
  problem(told.problem);
  $("bus").textContent = plain(told.bus);
  document.title = `${plain(told.bus)} – ipcmules`;
  const shown = $("state");
  shown.textContent = told.seen?.state ?? "";
  shown.className = `pill ${told.seen?.state === "ready" ? "good" : "bad"}`;
  $("clock").textContent = (state.read_only ? "read-only · " : "") + new Date().toLocaleTimeString();
  return told.seen !== null;
}

function problem(text) {
  $("problem").textContent = plain(text);
  $("problem").hidden = !text;
}

let looking = false, again = false;
/** Look at the bus, and show the page that is open. now: also what is looked for seldom, as it takes long. */
async function refresh(now = false) {
  if (!state.token || document.hidden) return;
  if (looking) {
    again ||= now === true;
    return;
  }
  looking = true;
  try {
    if (!(await look())) return;
    if (!state.view) turn(state.page);
    $("tabs").hidden = $("content").hidden = false;
    const { view } = state, began = performance.now();
    // A large directory is read for one part in ten of the time.
    if (view.load && (now === true || began >= (view.next ?? 0))) {
      await view.load();
      view.next = performance.now() + 9 * (performance.now() - began);
    }
    if (view !== state.view) return;
    state.view.show();
    counts();
  } catch (error) {
    if (state.token) problem(error.message);
  } finally {
    looking = false;
    if (again) {
      again = false;
      refresh(true);
    }
  }
}

function turn(page) {
  state.page = PAGES.includes(page) ? page : "overview";
  state.view = new VIEWS[state.page]();
  $("content").replaceChildren(state.view.element);
  for (const each of $("tabs").children) {
    const current = each.dataset.page === state.page;
    if (current) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
    if (current) each.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}

function counts() {
  const dead = { tasks: sum(state.seen.tasks.directories, "dead"), letters: state.seen.dead_letters.dead };
  for (const each of $("tabs").children) each.lastChild.textContent = dead[each.dataset.page] ? number(dead[each.dataset.page]) : "";
}

function login(refusal) {
  state.token = "";
  sessionStorage.removeItem("token");
  state.view = null;
  $("content").replaceChildren();
  $("tabs").hidden = $("content").hidden = true;
  $("login").hidden = false;
  $("refusal").textContent = plain(refusal);
  problem("");
  $("token").focus();
}

function enter(token) {
  state.token = token;
  sessionStorage.setItem("token", token);
  $("login").hidden = true;
  refresh();
}

function help() {
  const keys = [["1 – 6", "the pages, in their order"], ["/", "search"], ["r", "look again"], ["Esc", "close what is open"], ["?", "this"]];
  dialog("Keys", [h("dl", { class: "facts" }, ...keys.flatMap(([key, text]) => [h("dt", {}, h("kbd", { text: key })), h("dd", { text })]))], []);
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !state.token || $("dialog").open) return;
  if (event.target.closest("input:not([type=checkbox]), select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "?") help();
  else if (event.key === "r") refresh(true);
  else if (event.key === "/" && state.view?.search) state.view.search.focus();
  else if (PAGES[Number(event.key) - 1]) location.hash = PAGES[Number(event.key) - 1];
  else return;
  event.preventDefault();
}

function start() {
  for (const page of PAGES) $("tabs").append(h("a", { href: "#" + page, "data-page": page }, TITLES[page] ?? page, h("b")));
  $("login").addEventListener("submit", (event) => {
    event.preventDefault();
    enter($("token").value.trim());
    $("token").value = "";
  });
  addEventListener("hashchange", () => {
    if (arrive()) return;
    if (state.seen) turn(location.hash.slice(1));
    else state.page = location.hash.slice(1);
    refresh();
  });
  addEventListener("keydown", pressed);
  addEventListener("resize", () => state.seen && state.view?.plots?.forEach((each) => each.draw()));
  document.addEventListener("visibilitychange", () => refresh());
  setInterval(() => refresh(), OFTEN);
  if (arrive()) return;
  state.page = location.hash.slice(1);
  const known = sessionStorage.getItem("token");
  if (known) enter(known);
  else login("");
}

/** A link that has the token: it does not stay in the address. */
function arrive() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return false;
  history.replaceState(null, "", location.pathname);
  enter(given);
  return true;
}

start();
