"""uWSGI's statistics of a snapshot: the JSON of its stats server, with the keys of 2.0.31.

What uWSGI calls workers are ours, by number, and the mules, as 'mule1', which uWSGI does not show: who looks
at a bus with uwsgitop wants to see them. What nobody counts here is 0. tests/interop compares the keys.
"""

from __future__ import annotations

import os
import time
from typing import Any

from ipcmules.bus.version import __version__
from ipcmules.snapshot import Snapshot
from ipcmules.snapshot.values import Event, Process, Spooler


def told(seen: Snapshot) -> dict[str, Any]:
    """What the stats server says."""
    said: dict[str, Any] = {
        "version": __version__,
        "listen_queue": 0,
        "listen_queue_errors": 0,
        "signal_queue": sum(each.pending for each in seen.signals),
        "load": sum(bool(each.kind) for each in seen.processes),
        "pid": seen.master.pid,
        "uid": os.getuid(),
        "gid": os.getgid(),
        "cwd": os.getcwd(),
        "locks": [{f"user {each.number}": each.holder} for each in seen.locks],
        "sockets": [
            {"name": each, "proto": "uwsgi", "queue": 0, "max_queue": 0, "shared": 0, "can_offload": 0}
            for each in seen.addresses
        ],
        "workers": [_worker(each) for each in (*seen.workers, *seen.mules)],
    }
    if seen.caches:
        said["caches"] = [
            {
                "name": each.name,
                "hash": "",
                "hashsize": 0,
                "keysize": 0,
                "max_items": 0,
                "blocks": each.size,
                "blocksize": 1,
                "items": each.entries,
                "hits": 0,
                "miss": 0,
                "full": 0,
                "last_modified_at": 0,
            }
            for each in seen.caches
            if each.entries is not None
        ]
    if seen.spoolers:
        said["spoolers"] = [_spooler(each) for each in seen.spoolers]
    crons = [_cron(each) for each in seen.events or () if each.kind == "command"]
    if crons:
        said["crons"] = crons
    if seen.counters:
        said["metrics"] = {
            name: {"type": 0, "oid": "", "value": number} for name, number in seen.counters.items()
        }
    return said


def _worker(each: Process) -> dict[str, Any]:
    handled = each.messages
    return {
        "id": each.number if each.role == "worker" else f"mule{each.number}",
        "pid": each.pid,
        "accepting": int(each.pid > 0),
        "requests": handled,
        "delta_requests": handled,
        "exceptions": each.exceptions,
        "harakiri_count": 0,
        "signals": each.signals,
        "signal_queue": 0,
        "status": _status(each),
        "rss": each.memory,
        "vsz": 0,
        "running_time": round(each.cpu * 1e6),
        "last_spawn": int(time.time() - each.uptime) if each.pid else 0,
        "respawn_count": each.respawns + 1,
        "tx": 0,
        "avg_rt": 0,
        "apps": [],
        "cores": [
            {
                "id": 0,
                "requests": handled,
                "static_requests": 0,
                "routed_requests": 0,
                "offloaded_requests": 0,
                "write_errors": 0,
                "read_errors": 0,
                "in_request": int(bool(each.kind)),
                "vars": [],
                "req_info": {},
            }
        ],
    }


def _status(each: Process) -> str:
    """uWSGI's words: 'cheap' is one that does not run, 'sigN' one that handles a signal."""
    if not each.pid:
        return "cheap"
    if each.signal is not None:
        return f"sig{each.signal}"
    return "busy" if each.kind or each.state == "busy" else "idle"


def _spooler(each: Spooler) -> dict[str, Any]:
    return {
        "dir": each.directory,
        "pid": each.pid,
        "tasks": each.all_messages,
        "respawns": each.respawns,
        "running": int(bool(each.task)),
    }


def _cron(each: Event) -> dict[str, Any]:
    fields = each.schedule.split()
    numbers = [int(field) if field.isdigit() else -1 for field in fields] if len(fields) == 5 else [-1] * 5
    minute, hour, day, month, week = numbers
    return {
        "minute": minute,
        "hour": hour,
        "day": day,
        "month": month,
        "week": week,
        "command": each.handler,
        "unique": int(not each.row["overlap"]),
        "legion": "",
        "pid": -1,
        "started_at": int(each.last or 0),
    }
