/* What this tab knows of the bus, and what it shows. The token stays here (sessionStorage) and goes out in a
   header. */
export const state = { token: "", page: "overview", read_only: false, seen: null, rates: null, points: [], view: null, generation: "" };
export const $ = (id) => document.getElementById(id);
