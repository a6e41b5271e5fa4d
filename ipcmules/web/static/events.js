/* The page "events": what raises signals, and signals. */
import { act, ask } from "./asking.js";
import { button, card, h } from "./building.js";
import { state } from "./state.js";
import { Table } from "./table.js";
import { duration, near, number } from "./texts.js";

export class Events {
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
