"""One program beside the mules, as the master knows it. Knows processes and how to send signals."""

from __future__ import annotations

from dataclasses import dataclass, field

from ipcmules.kernel import kill
from ipcmules.kernel.processes import ProcessId
from ipcmules.master.children.children import Child
from ipcmules.master.programs.sockets import Sockets
from ipcmules.options.daemons import Daemon


@dataclass(eq=False)
class Program:
    """The command or a daemon. pid is 0 while it does not run.

    group is the leader of its process group, until nobody is in that; None where it leads none.
    """

    arguments: tuple[str, ...]
    label: str
    pid: int = 0
    #: What --attach-daemon2 says of it.
    described: Daemon = field(default_factory=lambda: Daemon(""))
    group: ProcessId | None = None
    #: What it serves.
    sockets: tuple[Sockets, ...] = ()
    #: Counts its young deaths, as for a mule.
    life: Child = field(default_factory=lambda: Child("daemon", 0))

    @property
    def running(self) -> bool:
        """True while it or anybody of its group runs."""
        return bool(self.pid or self.group)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Those of its sockets, which it inherits under the same numbers."""
        return tuple(number for each in self.sockets for number in each.descriptors)

    def tell(self, signum: int) -> None:
        """Send a signal to the leader, or to what it has left."""
        if self.pid:
            kill.send_to_child(self.pid, signum)
        else:
            self.send(signum)

    def send(self, signum: int) -> None:
        """Send a signal to all of it."""
        if self.group:
            kill.send_to_group(self.group, signum)
        elif self.pid:
            kill.send_to_child(self.pid, signum)

    def close(self) -> None:
        """Nobody serves its sockets any more."""
        for each in self.sockets:
            each.close()
