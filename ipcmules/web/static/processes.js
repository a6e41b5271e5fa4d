/* The page "processes". */
import { act, ask, dialog, sure, toast } from "./asking.js";
import { button, card, h, pre } from "./building.js";
import { state } from "./state.js";
import { Table } from "./table.js";
import { bytes, duration, number } from "./texts.js";

export class Processes {
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
export const rateOf = (row) => state.rates.processes[row.name] ?? { messages: 0, signals: 0, exceptions: 0, cpu: 0 };
