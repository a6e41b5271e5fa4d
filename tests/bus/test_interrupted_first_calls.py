"""A signal handler makes the call whose first time it interrupts, while that loads its modules.

Each time in a fresh process, as a module is loaded once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import public_calls
from support import Launcher

#: Forks for every STEP-th event of a profile function, which raises a signal there.
_PROGRAM = """
import os, signal, sys, traceback
import ipcmules

def call():
    {call}

def child(place):
    left = [place]

    def handler(*_):
        call()
        left.append("ran")

    def profile(*_):
        left[0] -= 1
        if not left[0]:
            sys.setprofile(None)
            os.kill(os.getpid(), signal.SIGUSR1)

    signal.signal(signal.SIGUSR1, handler)
    sys.setprofile(profile)
    call()
    sys.setprofile(None)
    call()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert not mask, mask
    if left[0] > 0:
        os._exit(9)
    assert left[1:] == ["ran"], left

place, step, tries = 1, {step}, 0
while True:
    pid = os.fork()
    if not pid:
        try:
            child(place)
        except BaseException:
            print("at place", place, flush=True)
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == 9:
        break
    if code:
        sys.exit(code)
    place, tries = place + step, tries + 1
assert tries > 10, (place, tries)
"""
_CALLS = {
    "mule_msg": "ipcmules.mule_msg(b'message', 1)",
    "farm_msg": "ipcmules.farm_msg('farm', b'message', 5, 3)",
    "signal": "ipcmules.signal(20)",
}


@pytest.mark.parametrize("name", list(_CALLS))
def test_a_handler_makes_the_first_call(bus_env: object, bus_name: str, tmp_path: Path, name: str) -> None:
    (tmp_path / "app.py").write_text(public_calls.APP)
    program = _PROGRAM.format(call=_CALLS[name], step=4001)
    with Launcher("--bus", bus_name, *public_calls.ARGUMENTS, cwd=tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "IPCMULES_BUS": bus_name}, cwd=tmp_path,
            capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
