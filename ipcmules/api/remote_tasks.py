"""spool(spooler="HOST:PORT"): a task that another server's spooler is to run, sent as a uwsgi packet.

Signed where this process's bus has --socket-key-file. Knows the wire, signatures and membership.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipcmules.errors import SpoolError
from ipcmules.member import membership
from ipcmules.wire import packets, signatures

if TYPE_CHECKING:
    from ipcmules.spooler.request import Request


def is_address(spooler: str) -> bool:
    """True for HOST:PORT; anything with a slash is a directory."""
    host, colon, port = spooler.rpartition(":")
    return bool(colon) and "/" not in host and port.isascii() and port.isdigit()


def send(request: Request) -> None:
    """Send a task to the address that its `spooler` names, and wait until it was taken.

    Raises SpoolError for a body (bytes behind a packet are dropped), WireError (OSError) where nobody
    answers, WireRefused (ValueError) where the other end does not take it.
    """
    if request.body:
        raise SpoolError(
            "spool(): a body cannot travel over a socket: put it under another key, or spool into a directory"
        )
    variables = packets.unpack_vars(bytes(request.head[packets.HEADER_SIZE :]))
    variables.pop(b"spooler", None)
    member = membership.find()
    if member is not None and member.description.config.socket_key_file:
        key = signatures.read_key(member.description.config.socket_key_file)
        variables = signatures.sign(variables, key)
    packets.send_task(variables, request.spooler)
