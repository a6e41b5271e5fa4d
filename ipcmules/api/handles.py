"""The handle of a task: what became of it, waiting for it, cancelling it.

A handle is a str, the path of the task's file, so that code for uWSGI goes on as it was. It knows the spool
directory and asks its files each time; no bus is needed.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NamedTuple

from ipcmules.errors import (
    TaskCancelled,
    TaskError,
    TaskExpired,
    TaskFailed,
    TaskTimeout,
    TaskUnknown,
)
from ipcmules.kernel.exhaustion import importing

if TYPE_CHECKING:
    from ipcmules.spooler.standing import Standing

#: Seconds between two looks at a task whose file is watched: for file systems whose changes no event tells.
_RARELY = 5.0
#: Without a watch: the first pause, and the longest, seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.04
#: What the handle of a task of the cluster begins with (cluster/tasks.py), and between two questions there at
#: most.
CLUSTER = "cluster:"
_LONGEST_QUESTION = 0.25


class Progress(NamedTuple):
    """How far a task said it is. time: when, in seconds since 1970."""

    done: float
    total: float | None
    note: str
    time: float


class Failure(NamedTuple):
    """A failed attempt. time: when, in seconds since 1970. traceback: "" where none is known."""

    time: float
    reason: str
    traceback: str


class Task(str):
    """The handle of a task; as a str it is the path that its file had when it was enqueued.

    That is "" for a task that another server took: nothing more is known of it.
    """

    __slots__ = ("_directory",)
    #: The spool directory, a beginning of the path. Set by handle().
    _directory: str

    @property
    def id(self) -> str:
        """What task() and `ipcmules tasks` call it: the file's name without what all have, its priority
        before it."""
        with importing:
            from ipcmules.spooler import names

        return names.id_of(self._name) if self else ""

    @property
    def _name(self) -> str:
        return self[len(self._directory) + 1 :]

    def _standing(self) -> Standing:
        with importing:
            from ipcmules.spooler import standing

        if self._is_clusters:
            found: Standing = clustered().ask_standing(self._directory, self._name)[0]
            return found
        return standing.of(self._directory, self._name) if self else standing.Standing(standing.UNKNOWN)

    @property
    def _is_clusters(self) -> bool:
        """True for a task of the cluster: it has no file."""
        return self._directory.startswith(CLUSTER)

    def status(self) -> str:
        """How it stands now.

        waiting; scheduled (due later); running; failed (it runs again); dead; succeeded (kept where the
        function has results); cancelled; expired; unknown: nothing is there of it any more.
        Raises AccessError where others can write to what tells it.
        """
        return self._standing().status

    @property
    def attempts(self) -> int:
        """How many attempts have failed so far, as far as is known."""
        found = self._standing()
        return found.end.attempts if found.end is not None else found.record.attempts

    @property
    def errors(self) -> tuple[Failure, ...]:
        """The last failed attempt, if there is one and the task has not ended since."""
        record = self._standing().record
        return (Failure(record.time, record.reason, record.traceback),) if record.time else ()

    @property
    def progress(self) -> Progress | None:
        """The last that the task said by progress(); None if it said nothing."""
        with importing:
            from ipcmules.spooler import outcomes

        if not self:
            return None
        if self._is_clusters:
            found = clustered().ask_standing(self._directory, self._name)[1]
            return None if found is None else Progress(**found)
        end = outcomes.read(self._directory, self._name)
        said = outcomes.progress_of(self._directory, self._name) if end is None else end.progress
        return None if said is None else Progress(**said)

    def wait(self, timeout: float | None = None) -> str:
        """Wait until it is over, at most `timeout` seconds (None: for ever), and return its status.

        Over are succeeded, dead, cancelled, expired and unknown. Raises TaskTimeout. A coroutine awaits
        await_end() instead, and aresult(); what `await f.aspool()` returns is an AsyncTask, which has these
        two names for that.
        """
        return self._wait(timeout).status

    def result(self, timeout: float | None = None) -> Any:
        """Wait as wait() does, and return what the function returned.

        Raises TaskTimeout; TaskFailed (with the traceback) where it is dead, TaskCancelled, TaskExpired,
        TaskUnknown where no result is kept; all are TaskError but the first.
        """
        return self._result_of(self._wait(timeout))

    def __await__(self) -> Generator[Any, None, Any]:
        return self.aresult().__await__()

    async def aresult(self, timeout: float | None = None) -> Any:
        """As result(), for a coroutine: others run meanwhile. `await task` is the same without a timeout."""
        return self._result_of(await self._awaited(timeout))

    async def await_end(self, timeout: float | None = None) -> str:
        """As wait(), for a coroutine."""
        return (await self._awaited(timeout)).status

    async def _awaited(self, timeout: float | None) -> Standing:
        with importing:
            import asyncio

        deadline = None if timeout is None else time.monotonic() + timeout
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            try:
                loop.call_soon_threadsafe(changed.set)
            except RuntimeError:
                pass  # the loop is closed

        pause = _FIRST_PAUSE
        while True:
            changed.clear()
            with _Watched(str(self), wake) as watched:
                found = await self._stands() if self._is_clusters else self._standing()
                if _is_over(found):
                    return found
                longest = _RARELY if watched else pause
                if deadline is not None:
                    longest = min(longest, deadline - time.monotonic())
                    if longest <= 0:
                        raise self._too_late(found, timeout)
                try:
                    await asyncio.wait_for(changed.wait(), longest)
                except asyncio.TimeoutError:
                    pause = min(2 * pause, self._longest_pause)

    async def _stands(self) -> Standing:
        with importing:
            from ipcmules.api import threads

        found: Standing = await threads.call("status", self._waited)
        return found

    def _waited(self) -> Standing:
        """As _standing(), for who waits: while nobody answers it is not over."""
        return clustered().patient(self._standing) if self._is_clusters else self._standing()

    @property
    def _longest_pause(self) -> float:
        return _LONGEST_QUESTION if self._is_clusters else _LONGEST_PAUSE

    def _wait(self, timeout: float | None) -> Standing:
        with importing:
            import threading

        deadline = None if timeout is None else time.monotonic() + timeout
        changed = threading.Event()
        pause = _FIRST_PAUSE
        while True:
            changed.clear()
            with _Watched(str(self), changed.set) as watched:
                found = self._waited()
                if _is_over(found):
                    return found
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise self._too_late(found, timeout)
                longest = _RARELY if watched else pause
                if not changed.wait(longest if left is None else min(left, longest)):
                    pause = min(2 * pause, self._longest_pause)

    def _too_late(self, found: Standing, timeout: float | None) -> TaskTimeout:
        return TaskTimeout(
            f"task {self.id} is {found.status} after {timeout:g} s: wait longer, or cancel() it"
        )

    def _result_of(self, found: Standing) -> Any:
        with importing:
            from ipcmules.spooler import directory, outcomes

        end = found.end
        if end is None:
            raise self._no_result(found)
        if end.state == outcomes.EXPIRED:
            raise TaskExpired(f"task {self.id} was not run: {end.reason}")
        if end.state != outcomes.SUCCEEDED:
            raise TaskCancelled(f"task {self.id} was {end.state}: {end.reason}")
        if not end.encoding:
            raise TaskUnknown(f"task {self.id} succeeded, but {end.reason}")
        if end.encoding == "pickle" and not self._is_clusters:
            directory.check(self._directory)
        try:
            return outcomes.unpack(end)
        except Exception as error:  # whatever loading a pickle raises
            with importing:
                from ipcmules.kernel.printable import worded

            raise TaskUnknown(
                f"task {self.id} succeeded, but its result cannot be read: {worded(error)}"
            ) from error

    def _no_result(self, found: Standing) -> TaskError:
        with importing:
            from ipcmules.spooler import standing

        if found.status == standing.DEAD:
            record = found.record
            text = f"\n{record.traceback}" if record.traceback else ""
            return TaskFailed(
                f"task {self.id} is dead after {record.attempts} attempts: {record.reason}{text}",
                record.reason,
                record.traceback,
            )
        return TaskUnknown(
            f"nothing is known of task {self.id}: its function keeps no result (@spool(results=SECONDS)), or "
            "not that long, or the task was removed by hand"
        )

    def cancel(self, grace: float | None = 5.0) -> bool:
        """See that it does not run, or not again. Returns True if it is cancelled now.

        One that waits is gone at once. One that runs is asked (current_task().stopping() is True there, and
        no further attempt follows); after `grace` seconds its spooler is killed, as by a harakiri. None: it
        is only asked, and this returns at once. Returns False where it ended otherwise, or runs still.
        Raises OSError where its files cannot be changed.
        """
        with importing:
            from ipcmules.spooler import cancelling, in_hand, outcomes, standing

        if not self:
            return False
        if self._is_clusters:
            return bool(clustered().cancel(self._directory, self._name, grace))
        deadline = None if grace is None else time.monotonic() + grace
        while not _is_over(found := self._standing()):
            if found.status != standing.RUNNING or not found.pid:
                if cancelling.take(self._directory, found.name):
                    self._cancel_parts()
                    return True
                time.sleep(_FIRST_PAUSE)  # somebody has taken it this moment
                continue
            try:
                cancelling.request(self._directory, found.name)
            except FileNotFoundError:
                continue
            if deadline is None:
                return False
            try:
                self._wait(max(0.0, deadline - time.monotonic()))
            except TaskTimeout:
                if not in_hand.kill_runner(self._directory, found.name):
                    return False
                deadline = time.monotonic() + _RARELY
        if found.status == outcomes.CANCELLED:
            self._cancel_parts()
        return found.status == outcomes.CANCELLED

    def _cancel_parts(self) -> None:
        """Of a chain or group, what it has enqueued and is not over."""
        with importing:
            from ipcmules.spooler import flow_files

        if flow_files.has_begun(self._directory, self._name):
            with importing:
                from ipcmules.spooler import flows

            flows.cancel_parts(self._directory, self._name)


def clustered() -> Any:
    """What knows of tasks of the cluster, imported where there are some."""
    with importing:
        from ipcmules.api import clustered_tasks

    return clustered_tasks


def handle(path: str, directory: str) -> Task:
    """A handle. path: of the task's file. directory: the spool directory, a beginning of it."""
    # Each enqueueing pays for it: an own __new__ takes three times as long.
    made = Task(path)
    made._directory = directory
    return made


def _is_over(found: Standing) -> bool:
    with importing:
        from ipcmules.spooler import standing

    return found.status in standing.OVER


class _Watched:
    """A file is watched within this block; False on entry where it cannot be, or is gone."""

    def __init__(self, path: str, wake: Any) -> None:
        self._path, self._wake = path, wake
        self._watch: int | None = None

    def __enter__(self) -> bool:
        with importing:
            from ipcmules.api import watching

        self._watcher = watching.watcher
        try:
            self._watch = self._watcher.add(self._path, self._wake)
        except OSError:
            return False
        return True

    def __exit__(self, *_error: object) -> None:
        if self._watch is not None:
            self._watcher.remove(self._watch, self._wake)
