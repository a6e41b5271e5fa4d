/* A list with search, a choice of rows and what can be done with them: what the tasks and the dead letters are. */
import { button, h } from "./building.js";
import { state } from "./state.js";
import { Table } from "./table.js";

export class List {
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
