"""What a packet asks for, done on the bus: 17 spools, 110 raises, 111 is for caches, 173 calls; else refused.

Knows the wire and the flat functions; nothing of connections. Runs on threads: spooling and calls take time.
"""

from __future__ import annotations

import time

import ipcmules
from ipcmules.api import remote_tasks, rpc, signals, tasks
from ipcmules.bus import log
from ipcmules.listener import caching, pickles
from ipcmules.member import membership
from ipcmules.wire import cached, packets, signatures
from ipcmules.wire.packets import Header

TAKEN = packets.pack_header(packets.REPLY, 0, 1)
REJECTED = packets.pack_header(packets.REPLY, 0, 0)

#: A line in the log for each kind of refusal, at most once in so many seconds.
_SAY_AGAIN = 60.0


class Requests:
    """Does what packets ask for. handle() returns the reply; None: hang up without one."""

    def __init__(self, key: bytes = b"") -> None:
        self._key = key
        self._said: dict[str, float] = {}

    def known(self, header: Header) -> bool:
        """False if this packet is refused, whatever follows the header."""
        if header.modifier1 in (packets.SPOOL, packets.SIGNAL, packets.RPC):
            return True
        if (header.modifier1, header.modifier2) == (cached.CACHE, cached.MAGIC):
            return True
        web = ": a web request? have nginx talk to the web server, not to this socket"
        text = f"packets with modifier {header.modifier1} are not taken here (17, 110, 111/17 and 173 are)"
        self.complain(str(header.modifier1), text + (web if header.modifier1 == 0 else ""))
        return False

    def follows(self, header: Header, payload: bytes) -> int:
        """How many bytes follow a packet; -1 for one that is refused."""
        if header.modifier1 != cached.CACHE:
            return 0
        try:
            return caching.follows(payload)
        except (ipcmules.IpcMulesError, OSError, ValueError) as error:
            self.complain("cache", f"a packet for a cache was refused: {error}")
            return -1

    def handle(self, header: Header, payload: bytes, more: bytes = b"") -> bytes | None:
        """Do what a packet asks for. more: the bytes that followed it."""
        try:
            if header.modifier1 == cached.CACHE:
                return caching.answer(payload, more, self._key)
            if header.modifier1 == packets.SIGNAL:
                signals.signal(header.modifier2)
                return TAKEN
            if header.modifier1 == packets.SPOOL:
                return TAKEN if self._spool(payload) else REJECTED
            return self._call(payload)
        except packets.PacketError as error:
            self.complain("packet", f"a malformed packet (modifier {header.modifier1}) was refused: {error}")
        except (ipcmules.IpcMulesError, OSError, ValueError) as error:
            self.complain("failure", f"a packet (modifier {header.modifier1}) was refused: {error}")
        return None if header.modifier1 in (packets.RPC, cached.CACHE) else REJECTED

    def _call(self, payload: bytes) -> bytes | None:
        strings = packets.unpack_strings(payload)
        if not strings:
            raise packets.PacketError("a call without a name")
        result = rpc.anybody(membership.current().where, strings)
        return None if result is None else packets.pack_result(result)

    def _spool(self, payload: bytes) -> bool:
        variables = packets.unpack_vars(payload)
        signed = signatures.take(variables, self._key)
        if not variables:
            raise packets.PacketError("a task without any variable")
        if b"body" in variables:
            raise packets.PacketError("a body cannot travel in a packet")
        if remote_tasks.is_address(variables.get(b"spooler", b"").decode(errors="replace")):
            raise packets.PacketError("a task for another server is not passed on: send it there")
        directories = membership.current().description.config.spoolers
        if not directories:
            self.complain("spooler", "a task was refused: this bus has no spooler; add --spooler DIR")
            return False
        if self._key and not signed:
            self.complain(
                "signature",
                "a task without a valid signature was refused: this bus has a --socket-key-file; give the "
                "sender the same",
            )
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
        tasks.spool(variables)
        return True

    def complain(self, kind: str, text: str) -> None:
        """Log, unless the same kind of thing was logged a moment ago."""
        now = time.monotonic()
        if now - self._said.get(kind, -_SAY_AGAIN) >= _SAY_AGAIN:
            self._said[kind] = now
            log.event("warning", f"socket: {text}")
