"""What a bus can leave behind, and how to find and remove it: processes, queues, segments, semaphores, files.

All of it is found by the runtime directory, which every test has to itself: the kernel names carry a digest
of it, and the processes have it in their environment, their mappings or their open files.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import posix_ipc
import sysv_ipc

#: Helpers of the standard library that outlive a test by design.
_LIBRARY_HELPERS = (b"resource_tracker", b"multiprocessing.forkserver", b"multiprocess.forkserver")


def kernel_prefix(root: Path) -> str:
    """The prefix of the kernel names of every bus under this runtime root."""
    digest = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:10]
    return f"/ipcmules.{os.geteuid()}.{digest}."


def running() -> frozenset[int]:
    """Pids of all processes."""
    return frozenset(int(name) for name in os.listdir("/proc") if name.isdigit())


def processes(root: Path, older: frozenset[int] = frozenset()) -> list[int]:
    """Pids of running processes of the buses under this root, without this process and its parent.

    older: those that were there before the root was: they are none of its buses', and looking at each costs.

    These get killed, so the signs are ones that only a bus's processes show: the root in the environment they
    were started with, the bus's shared memory mapped, its lock file or a queue open. Somebody who merely
    looks at the directory (the watcher, find, tail) shows none of them.
    """
    spared = {os.getpid(), os.getppid(), *older}
    return [pid for pid in running() - spared if _belongs(pid, root)]


def _belongs(pid: int, root: Path) -> bool:
    directory = f"/proc/{pid}"
    command = _content(f"{directory}/cmdline")
    if not command or any(helper in command for helper in _LIBRARY_HELPERS):
        return False  # a zombie or a kernel thread has no command line
    # A process title overwrites the environment, so the others are needed too.
    variable = b"IPCMULES_RUNTIME_DIR=" + os.fsencode(os.path.realpath(root))
    if variable in _content(f"{directory}/environ").split(b"\0"):
        return True
    prefix = kernel_prefix(root).encode()
    if prefix in _content(f"{directory}/maps"):
        return True
    lock = os.fsencode(os.path.realpath(root)) + b"/"
    links = _links(f"{directory}/fd")
    return any(
        link.startswith(prefix) or (link.startswith(lock) and link.endswith(b".lock")) for link in links
    )


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""  # ended meanwhile, or another user's


def _links(directory: str) -> list[bytes]:
    found = []
    try:
        for name in os.listdir(directory):
            found.append(os.fsencode(os.readlink(f"{directory}/{name}")))
    except OSError:
        pass  # ended meanwhile, or another user's
    return found


def end_processes(root: Path, grace: float, older: frozenset[int] = frozenset()) -> list[str]:
    """Wait up to grace seconds for the root's processes to end, kill the others, say which those were.

    older: as for processes().
    """
    deadline = time.monotonic() + grace
    while found := processes(root, older):
        if time.monotonic() >= deadline:
            break
        time.sleep(0.02)
    if not found:
        return []
    left = []
    # A killed mule is respawned by its master: again, until nobody is left.
    for _ in range(50):
        pids = processes(root, older)
        if not pids:
            break
        for pid in pids:
            title = _content(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace").strip()
            left.append(f"process {pid} ({title})")
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)
    return left


def remove_objects(root: Path, seen: Path) -> list[str]:
    """Remove what is left of the buses under this root, and say what that was."""
    left = []
    names, keys = _recorded(root, seen)
    for name in sorted(names):
        try:
            posix_ipc.unlink_message_queue(name)
            left.append(f"queue {name}")
        except posix_ipc.ExistentialError:
            pass
    for key in sorted(keys):
        try:
            sysv_ipc.Semaphore(key).remove()
            left.append(f"semaphore {key:#x}")
        except sysv_ipc.ExistentialError:
            pass
    for segment in Path("/dev/shm").glob(f"{kernel_prefix(root)[1:]}*"):
        segment.unlink(missing_ok=True)
        left.append(f"segment {segment}")
    left += [f"file {path}" for path in sorted(root.rglob("*"))] if root.exists() else []
    return left


def _recorded(root: Path, seen: Path) -> tuple[set[str], set[int]]:
    """Queue names and semaphore keys of every bus that was seen under this root."""
    names: set[str] = set()
    keys: set[int] = set()
    text = seen.read_text(encoding="utf-8") if seen.exists() else ""
    mine = json.dumps(str(root))
    for line in text.splitlines():
        if mine not in line:
            continue  # it would take long to read those of all tests in full
        record = json.loads(line)
        if record["root"] != str(root) or not isinstance(record["data"], dict):
            continue  # of another test; or what a test wrote there is no description
        names |= _queue_names(kernel_prefix(root) + record["bus"] + ".q.", record["data"])
        keys |= set(record["data"].get("semaphores", ()))
    return names, keys


def _queue_names(prefix: str, data: dict[str, Any]) -> set[str]:
    """What the description names, and what the configuration would: a start may fail in between."""
    config = data.get("config", {"mules": (), "farms": ()})
    endpoints = ["pool", *(f"mule{number}" for number in range(1, len(config["mules"]) + 1))]
    endpoints += [f"farm.{farm['name']}" for farm in config["farms"]]
    return {prefix + endpoint for endpoint in endpoints} | {queue["name"] for queue in data.get("queues", ())}
