/* Questions to the page's process, and to who looks at it: dialogs, and what was done. */
import { h } from "./building.js";
import { $, state } from "./state.js";
import { plain } from "./texts.js";

/** What the whole page does, told by page.js: the token was refused, with why; something was done. */
export const hooks = { refused: () => {}, done: () => {} };

export async function ask(path, body) {
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
  if (answer.status === 401) hooks.refused(state.token ? said.error : "");
  if (!answer.ok) throw new Error(said.error);
  return said;
}

export function toast(text, wrong = false) {
  const shown = $("toast");
  shown.textContent = plain(text);
  shown.hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => (shown.hidden = true), wrong ? 12000 : 5000);
}

/** Do something, say what came of it, and look again. */
export async function act(path, body, said) {
  try {
    const told = await ask(path, body);
    toast(typeof said === "function" ? said(told) : said, told.failures > 0);
  } catch (error) {
    toast(error.message, true);
  }
  hooks.done();
}
export const outcome = (what) => (told) => {
  const failed = told.failures ? `; ${told.failures} not: ${told.failed.map((each) => `${each.id} ${each.reason}`.trim()).slice(0, 3).join("; ")}` : "";
  return `${told.done} ${what}${failed}${told.more ? "; there are more" : ""}`;
};

/** A dialog; buttons: [text, value, kind]. Returns the value of the one that is chosen, "" for none. */
export function dialog(title, body, buttons) {
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
export async function sure(title, text, yes, kind = "danger") {
  return (await dialog(title, [h("p", { text })], [[yes, "yes", kind]])) === "yes";
}
