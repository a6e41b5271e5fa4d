"""What becomes of a task that failed, in words for the log."""

from __future__ import annotations

import time

from ipcmules.bus import alarms
from ipcmules.kernel.printable import for_people, shown
from ipcmules.member import membership
from ipcmules.spooler.attempts import Policy
from ipcmules.spooler.store import Death
from ipcmules.spooler.task import Verdict


def tell(verdict: Verdict, policy: Policy) -> str:
    """What becomes of a task that failed, in words."""
    most = f" of {policy.max_attempts}" if policy.max_attempts else ""
    return f"attempt {verdict.attempts}{most}, {tell_when(verdict)}"


def tell_when(verdict: Verdict) -> str:
    """When it runs again, in words."""
    if verdict.dead:
        text = f"given up: it is {verdict.dead} now"
    elif verdict.due:
        text = f"again in {max(0.0, verdict.due - time.time()):.1f} s"
    else:
        text = "its file is gone"
    return f"{text} ({verdict.problem})" if verdict.problem else text


def tell_death(death: Death) -> str:
    """What became of a task whose process died, in words."""
    what = f"task {for_people(death.name)}: pid {death.pid}"
    if death.verdict is None:
        return f"{what}, which ran it, was told to end and killed: it runs again"
    return f"{what} died of it, {tell(death.verdict, death.policy)}"


def alarm(name: str, function: str, verdict: Verdict, about: BaseException) -> None:
    """Tell who wants to know that a task has failed, and that it is given up, if it is."""
    member = membership.peek()
    if member is None:
        return
    text = f"task {for_people(name)}: {function}() raised {shown(about)}"
    for kind in ("task_failed", *(("task_dead",) if verdict.dead else ())):
        alarms.tell(member.where, member.table.cells, kind, text, task=name, function=function)
