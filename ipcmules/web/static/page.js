/* The page of a bus: which part is open, when it looks, keys. No framework, no build step. */
import { ask, dialog, hooks } from "./asking.js";
import { h } from "./building.js";
import { Events } from "./events.js";
import { Letters } from "./letters.js";
import { Log } from "./log.js";
import { Overview } from "./overview.js";
import { Processes } from "./processes.js";
import { $, state } from "./state.js";
import { Tasks } from "./tasks.js";
import { now, number, plain, sum } from "./texts.js";

const PAGES = ["overview", "processes", "tasks", "letters", "events", "log"];
const TITLES = { letters: "dead letters" };
const OFTEN = 2500;
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

hooks.refused = login;
hooks.done = () => refresh(true);
start();
