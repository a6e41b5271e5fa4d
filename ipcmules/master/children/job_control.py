"""Ctrl-Z and `fg`: what a terminal does to the launcher's process group is done to the children's groups too.

Mules, spoolers and workers lead groups of their own, so that what they start can be ended with them; a
terminal stops and continues the group in the foreground alone. Knows the loop and children.
"""

from __future__ import annotations

import signal

from ipcmules.kernel import kill
from ipcmules.master.children.children import Children
from ipcmules.master.loop.selector import Loop


def watch(loop: Loop, children: Children) -> None:
    """Stop and go on together from now on; nothing where a shell has no job control."""
    if signal.getsignal(signal.SIGTSTP) == signal.SIG_IGN:
        return

    def stop() -> None:
        _send(children, signal.SIGSTOP)
        kill.send_to_self(signal.SIGSTOP)

    loop.on_signal(signal.SIGTSTP, stop)
    loop.on_signal(signal.SIGCONT, lambda: _send(children, signal.SIGCONT))


def _send(children: Children, signum: int) -> None:
    for child in children.running():
        kill.send_to_group_of_child(child.pid, signum)  # in vain where it does not lead its group yet
