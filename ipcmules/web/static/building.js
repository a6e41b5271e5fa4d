/* Elements. Whatever comes from a bus becomes text nodes and attributes of ours alone, never markup: Trusted Types
   forbid the rest. */
import { lines, plain } from "./texts.js";

/** An element. given: attributes; functions are listeners; text: its text; children: nodes and texts. */
export function h(name, given = {}, ...children) {
  const made = name.startsWith("svg:") ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (key === "text") made.textContent = plain(value);
    else if (value !== false && value != null) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((each) => each != null));
  return made;
}
export function button(text, act, kind = "") {
  return h("button", { type: "button", class: kind, text, click: act });
}
export const card = (title, ...children) => h("section", { class: "card" }, h("h2", { text: title }), ...children);
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value != null && value !== "");
  return h("dl", { class: "facts" }, ...shown.flatMap(([name, value]) => [h("dt", { text: name }), h("dd", { text: value })]));
}
export function pre(text) {
  const made = h("pre", { tabindex: 0 });
  made.textContent = lines(text);
  return made;
}
