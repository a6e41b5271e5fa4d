/* What is wrong, in words. */
import { duration, plural } from "./texts.js";

export function wrongs(seen) {
  const found = [];
  if (seen.state !== "ready") found.push(`the bus is ${seen.state}`);
  if (seen.reload_failed) found.push("the last reload failed: the old code runs");
  for (const [role, list] of [["mule", seen.mules], ["spooler", seen.spoolers], ["worker", seen.workers]])
    for (const each of list) {
      if (!each.pid && each.state === "absent" && role !== "spooler" && !(role === "worker" && !each.launched)) found.push(`${role} ${each.id} does not run` + (each.last_death ? `: the last one ${each.last_death}` : ""));
      else if (each.doing && each.doing_since > 60) found.push(`${role} ${each.id} has been at ${each.doing} for ${duration(each.doing_since)}`);
    }
  for (const each of seen.queues) if (each.waiting) found.push(`queue ${each.endpoint} is full, and ${plural(each.waiting, "message")} behind it`);
  for (const each of seen.queues) if (each.oldest > 300) found.push(`queue ${each.endpoint}: ${each.endpoint.startsWith("spool.") ? "nobody takes what" : "what"} has been there for ${duration(each.oldest)}`);
  for (const each of seen.tasks.directories) {
    if (each.paused.length) found.push(`${each.path}: paused: ${each.paused.map((one) => (one === "*" ? "everything" : one)).join(", ")}`);
    if (each.dead) found.push(`${each.path}: ${plural(each.dead, "dead task")}`);
    if (each.oldest > 300) found.push(`${each.path}: a task has been waiting for ${duration(each.oldest)}`);
  }
  if (seen.dead_letters.dead) found.push(plural(seen.dead_letters.dead, "dead letter"));
  return found;
}
