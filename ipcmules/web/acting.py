"""What the page does to a bus: by the functions that the commands call, or by the command itself.

Each takes what a browser sent, checks it, and returns what to tell. Runs in a thread, never in the loop.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

import posix_ipc

from ipcmules.bus import control, description, reloading, table
from ipcmules.bus.places import BUS_VARIABLE, Places
from ipcmules.errors import BusStopped, ConfigError
from ipcmules.kernel.spawn import own_code
from ipcmules.messages import letters
from ipcmules.spooler import directory, mending, pauses
from ipcmules.spooler.peek import Peek
from ipcmules.web import asking, looking

#: So many at once at most.
_MOST = 10_000
#: Seconds for sending dead letters again, which waits for room; and for the master's answer.
_SENDING, _ANSWER = 60.0, 10.0

Given = Mapping[str, Any]
Told = dict[str, Any]


def retry(where: Places, given: Given) -> Told:
    """Have tasks run now: {"keys"} or {"filter"}."""
    return _each(where, given, mending.retry)


def drop(where: Places, given: Given) -> Told:
    """Remove tasks for good: {"keys"} or {"filter"}."""
    return _each(where, given, mending.drop)


def _each(where: Places, given: Given, action: Callable[[Peek], str]) -> Told:
    failed: list[dict[str, str]] = []
    done = 0
    tasks, more = _meant(where, given, failed)
    for each in tasks:
        problem = action(each)
        done += not problem
        if problem:
            failed.append({"id": looking.told(each)["id"], "reason": problem})
    return {"done": done, "failed": failed[:100], "failures": len(failed), "more": more}


def _meant(where: Places, given: Given, failed: list[dict[str, str]]) -> tuple[list[Peek], bool]:
    if "filter" in given:
        wanted = given["filter"]
        if not isinstance(wanted, dict):
            raise ConfigError("'filter' is an object")
        return looking.tasks(where, looking.Wanted.of(wanted), _MOST)
    found = []
    for key in _texts(given, "keys"):
        seen = looking.task(where, key)
        if seen is None:
            failed.append({"id": "a task", "reason": "it is gone: it has run, or somebody dropped it"})
        else:
            found.append(seen)
    return found, False


def pause(where: Places, given: Given) -> Told:
    """Have no further task of a directory, or of a function, begun, or again: {"directory", "function",
    "paused"}."""
    place, function, paused = given.get("directory"), given.get("function"), given.get("paused")
    if place not in looking.directories(where) or not isinstance(place, str):
        raise ConfigError("this is no directory of the bus's")
    if not (function is None or isinstance(function, str)) or not isinstance(paused, bool):
        raise ConfigError("'function' is a text or null, 'paused' is true or false")
    directory.check(place)
    try:
        return {"changed": pauses.change(place, function, paused)}
    except OSError as error:
        raise ConfigError(f"what is paused of {place} cannot be written: {error.strerror}") from error


def requeue(where: Places, given: Given) -> Told:
    """Send dead letters again: {"ids"}. By the command, which joins the bus and may wait for room."""
    return _commanded(where, given, "requeue")


def discard(where: Places, given: Given) -> Told:
    """Remove dead letters for good: {"ids"}."""
    paths = {each.id: each.path for each in letters.headers(where, lambda _problem: None)[0]}
    failed = []
    wanted = _texts(given, "ids")
    for each in wanted:
        try:
            letters.take(paths[each], None)
        except KeyError:
            failed.append({"id": each, "reason": "it is gone"})
        except OSError as error:
            failed.append({"id": each, "reason": str(error.strerror or error)})
    return {"done": len(wanted) - len(failed), "failed": failed, "failures": len(failed)}


def _commanded(where: Places, given: Given, verb: str) -> Told:
    known = {each.id for each in letters.headers(where, lambda _problem: None)[0]}
    wanted = [each for each in _texts(given, "ids") if each in known]
    if not wanted:
        raise ConfigError("none of these dead letters is there any more")
    command = own_code("ipcmules.cli.words", "dead", verb, "--bus", where.bus, "--", *wanted)
    environment = {**os.environ, BUS_VARIABLE: where.bus}
    sending = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
    )
    try:
        _nothing, said = sending.communicate(timeout=_SENDING)
    except subprocess.TimeoutExpired:
        # It goes on: killed between the queue and the file it would leave a letter whose message was sent.
        said = f"it still waits for room in the queue, after {_SENDING:g} s".encode()
    left = {each.id for each in letters.headers(where, lambda _problem: None)[0]}
    failures = sum(each in left for each in wanted)
    reason = said.decode("utf-8", "backslashreplace").strip()
    failed = [{"id": "", "reason": reason}] if failures else []
    return {"done": len(wanted) - failures, "failed": failed, "failures": failures}


def run_event(where: Places, given: Given) -> Told:
    """Have an event run now: {"id"}."""
    (wanted,) = _texts({"id": [given.get("id")]}, "id")
    return control.ask(where, {"do": "events.run", "id": wanted, "once": secrets.token_hex(16)}, _ANSWER)


def pause_event(where: Places, given: Given) -> Told:
    """Have nothing come of an event's ticks, or again: {"id", "paused"}."""
    (wanted,) = _texts({"id": [given.get("id")]}, "id")
    if not isinstance(given.get("paused"), bool):
        raise ConfigError("'paused' is true or false")
    return control.ask(where, {"do": "events.pause", "id": wanted, "paused": given["paused"]}, _ANSWER)


def restart(where: Places, given: Given) -> Told:
    """Have one process replaced when it has done what it holds: {"process": "mule1"}."""
    (name,) = _texts({"process": [given.get("process")]}, "process")
    known = asking.process(where, name)
    question = {"do": "restart", "process": name, "pid": known.pid}
    if not control.ask(where, question, _ANSWER)["told"]:
        raise BusStopped(f"{name} has just ended, or the bus stops: look again in a moment")
    return {"pid": known.pid}


def stacks(where: Places, given: Given) -> Told:
    """The stacks of a process's threads: {"process": "mule1"}."""
    (name,) = _texts({"process": [given.get("process")]}, "process")
    return {"process": name, "text": asking.stacks(where, name)}


def reload(where: Places, _given: Given) -> Told:
    """Have the bus load its code again; returns when it has."""
    found = description.load(where)
    shared = None
    if found is not None and found.complete:
        with contextlib.suppress(posix_ipc.ExistentialError):
            shared = table.open(where.table)
    if found is None or shared is None:
        raise BusStopped(f"bus {where.bus!r} does not run: start it, and try again")
    reloading.reload(where, shared, found.master)
    return {"reloaded": True}


def _texts(given: Given, key: str) -> list[str]:
    found = given.get(key)
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found) or not found:
        raise ConfigError(f"'{key}' is a list of texts")
    if len(found) > _MOST:
        raise ConfigError(f"{len(found)} at once: at most {_MOST} are taken")
    return list(dict.fromkeys(found))


#: What may be done, by its path.
ACTIONS: Mapping[str, Callable[[Places, Given], Told]] = {
    "tasks/retry": retry,
    "tasks/drop": drop,
    "tasks/pause": pause,
    "letters/requeue": requeue,
    "letters/drop": discard,
    "events/run": run_event,
    "events/pause": pause_event,
    "restart": restart,
    "stacks": stacks,
    "reload": reload,
}
#: Those that wait for others, and so hold up nobody else.
LONG = frozenset({"reload", "letters/requeue", "stacks"})
