/* The page "tasks". */
import { act, ask, dialog, outcome, sure, toast } from "./asking.js";
import { button, facts, h, pre } from "./building.js";
import { List } from "./list.js";
import { state } from "./state.js";
import { Table } from "./table.js";
import { ago, duration, flow, moment, near, now, number, plain, plural } from "./texts.js";

export class Tasks extends List {
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
export function progress(row) {
  const said = row.progress;
  return said ? `${said.done}${said.total == null ? "" : " of " + said.total}${said.note ? ": " + said.note : ""}` : "";
}
