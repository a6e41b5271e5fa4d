"""rpc() to a process of another host of the cluster: by the carrier. Imported only where that is asked for.

Knows membership, the wire and the way to the carrier.
"""

from __future__ import annotations

import time

from ipcmules.cluster import client
from ipcmules.functions import tracing
from ipcmules.kernel import unpatched
from ipcmules.member.membership import Membership
from ipcmules.wire import packets

#: Between two tries to reach a carrier that is being started, seconds.
_AGAIN = 0.05
#: The carrier answers so long after the time that it was given, at most, seconds.
_LATER = 2.0


def call(
    member: Membership, process: str, host: str, name: bytes, arguments: list[bytes], timeout: float
) -> bytes | None:
    """The result of a function of another host's process, or None; the carrier's log says why."""
    deadline = time.monotonic() + timeout
    traced = tracing.with_context(name)
    if traced != name and len(traced) <= packets.LARGEST:
        said, result = _ask(member, process, host, [traced, *arguments], deadline)
        if said != "unknown function":
            return result
        # A process of an older version knows no context, and has run nothing.
    return _ask(member, process, host, [name, *arguments], deadline)[1]


def _ask(
    member: Membership, process: str, host: str, strings: list[bytes], deadline: float
) -> tuple[str, bytes | None]:
    packed = packets.pack_strings(strings)
    packets.pack_header(packets.RPC, len(packed))  # raises where it does not fit into a packet
    while (left := deadline - time.monotonic()) > 0:
        head = {"do": "call", "process": process, "host": host, "seconds": left}
        try:
            answer, result = client.ask_once(member.where, head, packed, left + _LATER)
        except client.Away:  # nothing was sent: it is being started
            member.post.check_alive()
            unpatched.sleep(min(_AGAIN, left))
            continue
        except OSError:
            return "nothing", None  # nobody knows how far it came
        said = str(answer.get("said"))
        return said, result if said == "result" else None
    return "nothing", None
