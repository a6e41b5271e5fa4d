"""placeholder"""
from __future__ import annotations
from ipcmules import table
from ipcmules.membership import Membership
from ipcmules.mule import dispatch
from ipcmules.mule.spooling.waking import Waking


class Loop:
    def __init__(self, member: Membership, number: int, waking: Waking) -> None:
        self.stopping = False
        self._waking = waking
        self._cells = member.table.cells
        self._state = member.table.spooler(member.number) + table.R_STATE

    def run(self) -> None:
        while not self.stopping:
            self._cells[self._state] = table.WAITING
            n = self._waking.signal()
            if n is None:
                n = self._waking.wait(30)
            self._cells[self._state] = table.BUSY
            print("woken", n, self._waking.receive(), flush=True)
            if n is not None:
                dispatch.run_signal(n)
