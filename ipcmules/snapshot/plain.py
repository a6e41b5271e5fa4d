"""The parts of a snapshot as plain values, for JSON: docs/reference/status.md lists the keys."""

from __future__ import annotations

from typing import Any

from ipcmules.snapshot.values import Event, Mule, Process, Program, Spooler, Worker
from ipcmules.spooler.figures import Figures


def figures(each: Figures) -> dict[str, Any]:
    """What a function's tasks came to."""
    return {
        "function": each.function,
        "begun": each.begun,
        "running": each.running,
        "done": each.done,
        "failed": each.failed,
        "killed": each.killed,
        "dead": each.dead,
        "other": each.other,
        "p50": each.quantile(0.5),
        "p95": each.quantile(0.95),
        "longest": each.longest,
        "spent": each.spent,
        "last": each.last or None,
    }


def process(each: Process) -> dict[str, Any]:
    """What is the same for mules, spoolers and workers."""
    return {
        "pid": each.pid,
        "state": each.state,
        "messages": each.messages,
        "signals": each.signals,
        "exceptions": each.exceptions,
        "respawns": each.respawns,
        "uptime": round(each.uptime, 1),
        "doing": each.doing,
        "since": round(each.since, 1),
        "doing_since": round(each.doing_since, 1),
        "last_death": each.last_death,
        "last_death_ago": None if each.last_death_ago is None else round(each.last_death_ago, 1),
        "all_messages": each.all_messages,
        "all_signals": each.all_signals,
        "all_exceptions": each.all_exceptions,
        "memory": each.memory,
        "cpu": each.cpu,
        "harakiri_in": each.harakiri_in,
    }


def mule(each: Mule) -> dict[str, Any]:
    """A mule."""
    return {"id": each.number, "program": each.program, "farms": list(each.farms), **process(each)}


def spooler(each: Spooler) -> dict[str, Any]:
    """A spooler: its messages are tasks."""
    same = process(each)
    same["tasks"], same["all_tasks"] = same.pop("messages"), same.pop("all_messages")
    return {
        "id": each.number,
        "directory": each.directory,
        "queue": each.queue,
        **same,
        "paused": list(each.paused),
        "task": each.task,
    }


def worker(each: Worker) -> dict[str, Any]:
    """A worker."""
    return {"id": each.number, "launched": each.launched, **process(each)}


def program(each: Program) -> dict[str, Any]:
    """A program that the master started."""
    return {"arguments": list(each.arguments), "pid": each.pid}


def usage(each: Program) -> dict[str, Any]:
    """What a program uses."""
    return {"name": each.name, "pid": each.pid, "memory": each.memory, "cpu": each.cpu}


def event(each: Event) -> dict[str, Any]:
    """An event: as `ipcmules events` has it, and more."""
    return {**each.row, "last": each.last, "late": each.late}
