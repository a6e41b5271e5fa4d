"""What programs beside the mules find in their environment, other than the mules.

The command may be a web server, whose workers are to be workers of the bus (ipcmules/servers). Daemons and
the commands of crons send and raise, but serve no signals, whatever they load: in uWSGI they are on no bus at
all.
"""

from __future__ import annotations

import os

from ipcmules.bus.places import SERVE_VARIABLE, SERVERS


def of_command() -> dict[str, str]:
    """What the command finds."""
    paths = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each and each != SERVERS]
    return {"PYTHONPATH": os.pathsep.join([SERVERS, *paths])}


def of_others() -> dict[str, str]:
    """What a daemon and the command of a cron find."""
    return {SERVE_VARIABLE: "0"}
