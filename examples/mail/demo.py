"""Mail that arrives whatever happens to those who send it.

    python demo.py [MAILS [KILLS]]

A shop enqueues a mail for each order. Two spooler processes send them through an SMTP server; meanwhile they
are killed (SIGKILL) again and again, and the server refuses every tenth mail for the moment. In the end
every mail has arrived, and at most one twice for each kill: the one whose sender was killed after the
server had taken it and before the task was removed.
"""

import os
import signal
import sys
import tempfile
import time

import mails
from postoffice import PostOffice

import ipcmules


def enqueue(count):
    started = time.monotonic()
    for order in range(count):
        mails.send_mail(order, f"customer{order}@example.org")
    print(f"{count} mails enqueued in {time.monotonic() - started:.2f} s")


def kill_on_the_way(box, count, kills):
    """Kill a spooler whenever another part of the mails has arrived."""
    for number in range(1, kills + 1):
        wait_for(lambda part=count * number // (kills + 1): len(box.received) >= part)
        victim = wait_for(lambda: kill_one(ipcmules.spooler_pids()[number % 2]))  # noqa: B023 (used at once)
        print(f"killed spooler process {victim} when {len(box.received)} mails had arrived")


def kill_one(pid):
    """The pid once it is killed; 0 while that spooler is not there, because it was killed just before."""
    try:
        if pid:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return pid


def tasks_in(directory):
    """Also in its folders. What a killed spooler had written down beside them the next one sweeps."""
    return [
        name for _, _, names in os.walk(directory) for name in names if name.startswith("uwsgi_spoolfile")
    ]


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            sys.exit(f"not within {seconds} s")
        time.sleep(0.01)


def main(count=300, kills=5):
    with PostOffice() as office, tempfile.TemporaryDirectory(prefix="mail-") as directory:
        with ipcmules.Bus(
            spoolers=[directory],
            spooler_processes=2,
            spooler_quiet=True,
            imports=["mails"],
            settings={"smtp": office.address},
        ):
            enqueue(count)
            kill_on_the_way(office.box, count, kills)
            wait_for(lambda: len(office.box.received) == count)
            wait_for(lambda: not ipcmules.spooler_jobs())
        left = tasks_in(directory)
    received = office.box.received
    twice = sum(received.values()) - count
    print(f"{len(received)} of {count} mails arrived, {twice} twice, with {kills} kills")
    print(f"{office.box.refused} were refused at first; tasks left: {len(left)}")
    return 0 if len(received) == count and twice <= kills and not left else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
