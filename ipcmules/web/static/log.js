/* The page "log": the end of the master's log. */
import { ask } from "./asking.js";
import { h } from "./building.js";
import { lines, plain } from "./texts.js";

export class Log {
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
