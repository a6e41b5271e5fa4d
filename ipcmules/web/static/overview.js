/* The page "overview". A page has element, show() with what state has, and perhaps load() for more. */
import { card, h } from "./building.js";
import { Plot } from "./plot.js";
import { state } from "./state.js";
import { Table } from "./table.js";
import { duration, flow, number, sum } from "./texts.js";
import { wrongs } from "./wrongs.js";

export class Overview {
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
    // Those in which something happens come first: there may be many mules.
    const still = (each) => !(each.messages || each.waiting || rates.queues[each.endpoint]?.come || rates.queues[each.endpoint]?.gone);
    this.queues.update([...seen.queues.filter((each) => !still(each)), ...seen.queues.filter(still)]);
  }
}
