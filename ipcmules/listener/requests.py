"""What a packet asks for, done on the bus: 17 spools, 110 raises, 173 calls; everything else is refused.

Knows the wire and the flat functions; nothing of connections. Runs on threads: spooling and calls take time.
"""

from __future__ import annotations

import time

import ipcmules
from ipcmules import log, membership, procedures, remote_spooling, signalling, signatures, spooling, wire
from ipcmules.listener import pickles
from ipcmules.wire import Header

TAKEN = wire.pack_header(wire.REPLY, 0, 1)
REJECTED = wire.pack_header(wire.REPLY, 0, 0)

#: A line in the log for each kind of refusal, at most once in so many seconds.
_SAY_AGAIN = 60.0


class Requests:
    """Does what packets ask for. handle() returns the reply; None: hang up without one."""

    def __init__(self, key: bytes = b"") -> None:
        self._key = key
        self._said: dict[str, float] = {}

    def known(self, header: Header) -> bool:
        """False if this packet is refused, whatever follows the header."""
        if header.modifier1 in (wire.SPOOL, wire.SIGNAL, wire.RPC):
            return True
        web = ": a web request? have nginx talk to the web server, not to this socket"
        text = f"packets with modifier {header.modifier1} are not taken here (17, 110 and 173 are)"
        self.complain(str(header.modifier1), text + (web if header.modifier1 == 0 else ""))
        return False

    def handle(self, header: Header, payload: bytes) -> bytes | None:
        """Do what a packet asks for."""
        try:
            if header.modifier1 == wire.SIGNAL:
                signalling.signal(header.modifier2)
                return TAKEN
            if header.modifier1 == wire.SPOOL:
                return TAKEN if self._spool(payload) else REJECTED
            return self._call(payload)
        except wire.PacketError as error:
            self.complain("packet", f"a malformed packet (modifier {header.modifier1}) was refused: {error}")
        except (ipcmules.IpcMulesError, OSError, ValueError) as error:
            self.complain("failure", f"a packet (modifier {header.modifier1}) was refused: {error}")
        return None if header.modifier1 == wire.RPC else REJECTED

    def _call(self, payload: bytes) -> bytes | None:
        strings = wire.unpack_strings(payload)
        if not strings:
            raise wire.PacketError("a call without a name")
        result = procedures.anybody(membership.current().where, strings)
        return None if result is None else wire.pack_result(result)

    def _spool(self, payload: bytes) -> bool:
        variables = wire.unpack_vars(payload)
        signed = signatures.take(variables, self._key)
        if not variables:
            raise wire.PacketError("a task without any variable")
        if b"body" in variables:
            raise wire.PacketError("a body cannot travel in a packet")
        if remote_spooling.is_address(variables.get(b"spooler", b"").decode(errors="replace")):
            raise wire.PacketError("a task for another server is not passed on: send it there")
        directories = membership.current().description.config.spoolers
        if not directories:
            self.complain("spooler", "a task was refused: this bus has no spooler; add --spooler DIR")
            return False
        if not signed and pickles.would_be_loaded(variables):
            directory = str(directories[0].directory)
            pickles.bury(variables, directory)
            self.complain(
                "pickle",
                f"a task with pickled arguments came without a signature: it is in {directory}/dead, unread; "
                "give both sides the same --socket-key-file",
            )
            return True
        spooling.spool(variables)
        return True

    def complain(self, kind: str, text: str) -> None:
        """Log, unless the same kind of thing was logged a moment ago."""
        now = time.monotonic()
        if now - self._said.get(kind, -_SAY_AGAIN) >= _SAY_AGAIN:
            self._said[kind] = now
            log.event("warning", f"socket: {text}")
