"""What the chapter on mules of uWSGI's documentation shows: a timer, a signal and a file monitor, in mules.

ipcmules run --bus mules --mules 2 --import app.py
ipcmules signal --bus mules 17
touch /tmp/anything
ipcmules events --bus mules
"""

from ipcmules import mule_id
from ipcmules.decorators import filemon, signal, timer


@timer(30, target="mule")
def every_half_minute(signum: int) -> None:
    """Runs every 30 seconds, in whichever mule is free."""
    print(f"timer: signal {signum}, handled by mule {mule_id()}")


@signal(17, target="mule2")
def only_in_mule_2(signum: int) -> None:
    """Signal 17 is mule 2's."""
    print(f"signal {signum}, handled by mule {mule_id()}")


@filemon("/tmp", target="mules")
def tmp_changed(signum: int) -> None:
    """A change in /tmp wakes all the mules."""
    print(f"/tmp has changed, says mule {mule_id()}")
