"""An app with decorators: one module that every process of the bus loads.

    ipcmules run --mules 2 --import app.py -- python use.py

use.py calls what is defined here.
"""

import time

from ipcmules import mule_id
from ipcmules.decorators import lock, mulefunc, muleloop, postfork, signal

CLEAN = 1
rounds = 0


@postfork
def begin() -> None:
    """Runs in each new process of the bus once the app is loaded: here one would open connections."""
    print(f"mule {mule_id()} begins")


@mulefunc
def thumbnail(name: str, size: int = 64) -> None:
    """Whoever calls this goes on at once; the first available mule runs it."""
    print(f"thumbnail of {name}, {size} pixels, made by a mule: {mule_id() > 0}")


@mulefunc(2)
def report(text: str) -> None:
    """Always runs in mule 2."""
    print(f"report from mule {mule_id()}: {text}")


@signal(CLEAN, target="mules")
@lock
def clean(signum: int) -> None:
    """Runs in each mule, one after the other."""
    print(f"mule {mule_id()} cleans up; rounds so far: {rounds}")


@muleloop(1)
def watch() -> None:
    """Mule 1 runs this again and again; between rounds it serves messages and signals."""
    global rounds
    rounds += 1
    time.sleep(0.1)
