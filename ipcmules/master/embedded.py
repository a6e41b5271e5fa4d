"""The master of an embedded bus, in an interpreter of its own; embed/bus.py starts it.

It inherits a socket: the configuration comes in as one line of JSON, one line goes out when the bus is
ready or has failed to start, and closing the other end stops the bus.
"""

from __future__ import annotations

import json
import os
from typing import Any

from ipcmules.bus import log
from ipcmules.bus.config import BusConfig
from ipcmules.errors import IpcMulesError, StartError
from ipcmules.master.run import run

#: Exit codes: an app or program failed to start; the bus was refused before anything was started.
FAILED, REFUSED = 1, 2


def main(descriptor: str) -> int:
    """Run the bus described on the socket with this descriptor. Returns the exit code."""
    control = int(descriptor)
    os.set_inheritable(control, False)

    def report(what: dict[str, Any]) -> None:
        data = json.dumps(what).encode() + b"\n"
        try:
            while data:
                data = data[os.write(control, data) :]
        except OSError:
            pass  # the embedding program is gone, which is noticed elsewhere

    try:
        line = _first_line(control)
        if not line:
            return FAILED  # whom this bus was for has ended, or was interrupted
        config = BusConfig.from_json(json.loads(line))
        return run(config, report, control)
    except IpcMulesError as error:
        report({"error": type(error).__name__, "message": str(error)})
        return FAILED if isinstance(error, StartError) else REFUSED
    except Exception as error:
        log.exception("the master failed:")
        report(
            {"error": StartError.__name__, "message": f"the master failed: {error!r} (see its log on stderr)"}
        )
        return FAILED


def _first_line(descriptor: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(descriptor, 65536)
        if not data:
            break
        line += data
    return line
