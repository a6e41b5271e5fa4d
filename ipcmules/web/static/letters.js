/* The page "dead letters". */
import { act, ask, dialog, outcome, sure, toast } from "./asking.js";
import { facts, h, pre } from "./building.js";
import { List } from "./list.js";
import { state } from "./state.js";
import { duration, moment, now, plain, plural } from "./texts.js";

export class Letters extends List {
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
