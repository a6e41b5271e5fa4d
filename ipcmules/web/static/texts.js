/* Values as short texts. Knows nothing of the page. */
export const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu;
export const written = (each) => "\\u{" + each.codePointAt(0).toString(16) + "}";
/** What cannot be seen, or turns text around, is written out. */
export const plain = (value) => String(value ?? "").replace(HIDDEN, written);
export const lines = (value) => String(value ?? "").replace(HIDDEN, (each) => (each === "\n" || each === "\t" ? each : written(each)));
export function number(value, digits = 1) {
  if (value == null) return "–";
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e4]])
    if (Math.abs(value) >= size) return (value / (unit === "k" ? 1e3 : size)).toFixed(1) + unit;
  return Number.isInteger(value) || Math.abs(value) >= 100 ? String(Math.round(value)) : value.toFixed(digits);
}
export function bytes(value) {
  for (const [unit, size] of [["G", 2 ** 30], ["M", 2 ** 20], ["K", 2 ** 10]])
    if (value >= size) return (value / size).toFixed(value >= 10 * size ? 0 : 1) + " " + unit;
  return value + " B";
}
export function duration(seconds) {
  if (seconds == null) return "–";
  const s = Math.max(seconds, 0);
  if (s === 0) return "0 s";
  if (s < 1e-3) return Math.round(s * 1e6) + " µs";
  if (s < 1) return (s * 1e3).toFixed(s < 0.01 ? 1 : 0) + " ms";
  if (s < 60) return s.toFixed(s < 10 ? 1 : 0) + " s";
  if (s < 7200) return Math.floor(s / 60) + " min";
  return s < 172800 ? (s / 3600).toFixed(1) + " h" : Math.round(s / 86400) + " d";
}
export const now = () => Date.now() / 1000;
export const ago = (moment) => (moment ? duration(now() - moment) + " ago" : "–");
export const moment = (value) => (value ? new Date(value * 1e3).toLocaleString() : "–");
export const near = (value) => (value == null ? "–" : value >= now() ? "in " + duration(value - now()) : ago(value));
export const clock = (value) => new Date(value * 1e3).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
export const plural = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
export const flow = (found, what) => (found ? number(found[what]) : "");
export const sum = (list, key) => list.reduce((all, each) => all + (each[key] ?? 0), 0);
