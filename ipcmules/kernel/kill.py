"""Sending signals to processes: the one place that calls kill(2), killpg(2) and pidfd_send_signal(2).

A pid is a number that the kernel gives away again. So no signal goes to one that was not verified in the same
breath: by a pidfd and the start time (any process), or as a child of ours that nobody has waited for, whose
number the kernel keeps (wait(2)). Platform-specific; knows /proc through processes.py, nothing of a bus.
"""

from __future__ import annotations

import errno
import os
import signal

from ipcmules.kernel import processes
from ipcmules.kernel.interruption import noted
from ipcmules.kernel.processes import ProcessId

#: pidfd_open(2) may be refused for these: too few descriptors or memory, a kernel or a sandbox without it.
_REFUSED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSYS, errno.EPERM)


def open_process(process: ProcessId) -> int:
    """A descriptor of this very process, readable once it has ended (pidfd_open(2)); close it.

    Raises ProcessLookupError if the process has ended, another OSError where the kernel gives no descriptor.
    """
    if process.pid <= 0:
        raise ProcessLookupError(errno.ESRCH, f"{process.pid} is no process")
    opened: list[int] = []
    try:
        descriptor = noted(opened, os.pidfd_open, process.pid)
        # Asked when the descriptor is there: what has this start time now is what the descriptor is of.
        if process.alive():
            return descriptor
        raise ProcessLookupError(errno.ESRCH, f"process {process.pid} has ended")
    except BaseException:
        for each in opened:
            os.close(each)
        raise


def send(process: ProcessId, signum: int) -> bool:
    """Send a signal to this very process. False if it has ended, a zombie too.

    Raises PermissionError if it is another user's; OSError where no descriptor can be had and it is no child
    of this process.
    """
    try:
        descriptor = open_process(process)
    except ProcessLookupError:
        return False
    except OSError as error:
        if error.errno in _REFUSED and process.alive() and is_our_child(process.pid):
            return send_to_child(process.pid, signum)
        raise
    try:
        signal.pidfd_send_signal(descriptor, signum)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def is_our_child(pid: int) -> bool:
    """True if this is a child of this process that was not waited for: until then the number is its own."""
    if pid <= 0:
        return False
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def send_to_child(pid: int, signum: int) -> bool:
    """Send a signal to a child that this process has not waited for; it needs no descriptor.

    Only for a process whose children one thread waits for, as the master's. False if it is no child of ours,
    nor one that becomes ours when the process that forked it for us has ended (PR_SET_CHILD_SUBREAPER): its
    number is not given away before we have waited for it, either.
    """
    if not is_our_child(pid) and not _is_below(pid):
        return False
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return False
    return True


def _is_below(pid: int) -> bool:
    """True if a process descends from this one: by its fork's own end, or by the template in between."""
    me, parent = os.getpid(), pid
    try:
        for _ in range(4):
            parent = processes.parent_of(parent) if parent > 1 else 0
            if parent == me:
                return True
    except OSError:
        pass  # no descriptor is left to look with
    return False


def send_to_group_of_child(pid: int, signum: int) -> bool:
    """Send a signal to the group that a child leads which was not waited for. False if nobody got it."""
    return is_our_child(pid) and _send_to_own_group(pid, signum)


def send_to_self(signum: int) -> None:
    """Send a signal to this process, to whichever thread takes it."""
    os.kill(os.getpid(), signum)


def group_exists(group: int) -> bool:
    """False if nobody is in the process group of that number; True may be said of another's group, too."""
    if group <= 1:
        return False
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody is in it who has become another user
    return True


def send_to_group(leader: ProcessId, signum: int, session: int = 0) -> bool:
    """Send a signal to the process group that a child of ours was made the leader of. False if nobody got it.

    While the leader is there, the group's number is its own. Afterwards the number stays taken as long as
    somebody is in the group, but may be anybody's once it was empty: then each member is verified by itself,
    by its group, its session (a group is within one; 0: ours) and that it has not begun before the leader.
    """
    if not group_exists(leader.pid):
        return False
    if is_our_child(leader.pid) and processes.start_time(leader.pid) in (leader.start, 0):
        return _send_to_own_group(leader.pid, signum)
    told: set[ProcessId] = set()
    # Until nobody new is found: somebody may fork while we look.
    for _ in range(10):
        new = [each for each in _members(leader, session or os.getsid(0)) if each not in told]
        for each in new:
            told.add(each)
            _send_to_member(each, leader, signum)
        if not new:
            break
    return bool(told)


def _send_to_own_group(group: int, signum: int) -> bool:
    try:
        os.killpg(group, signum)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # all of it are another user's by now
    return True


def _members(leader: ProcessId, session: int) -> list[ProcessId]:
    """Processes in a group that has lost its leader, or whose leader is not this process's child."""
    found = processes.group_members(leader.pid, session)
    if any(each.pid == leader.pid and each != leader for each in found):
        return []  # a group's number is no new process's pid: this is another group
    return [each for each in found if each.start >= leader.start]


def _send_to_member(member: ProcessId, leader: ProcessId, signum: int) -> None:
    try:
        descriptor = open_process(member)
    except OSError:
        return  # it has ended, or cannot be verified
    try:
        if processes.group_of(member.pid) == leader.pid:
            signal.pidfd_send_signal(descriptor, signum)
    except (ProcessLookupError, PermissionError):
        pass
    finally:
        os.close(descriptor)
