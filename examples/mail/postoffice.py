"""A real SMTP server on loopback, in a thread of the demo: what arrives is counted by Message-ID."""

import collections
import socket
import time

from aiosmtpd.controller import Controller

HOST = "127.0.0.1"


class Postbox:
    """What aiosmtpd hands each mail to. Every tenth is refused for the moment, as servers do (451)."""

    def __init__(self):
        self.received = collections.Counter()
        self.refused = 0
        self._offered = 0

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 (aiosmtpd's name)
        self._offered += 1
        if self._offered % 10 == 0:
            self.refused += 1
            return "451 Try again later"
        head = envelope.content.partition(b"\r\n\r\n")[0].decode()
        (identity,) = (
            line.split()[1] for line in head.splitlines() if line.lower().startswith("message-id:")
        )
        self.received[identity] += 1
        return "250 Accepted"


def free_port():
    """A port that nobody uses now: aiosmtpd does not take port 0."""
    with socket.create_server((HOST, 0)) as probe:
        return probe.getsockname()[1]


class PostOffice:
    """The server as a context manager; `address` is where it listens."""

    def __enter__(self):
        self.box = Postbox()
        for attempt in range(10):
            self._controller = Controller(self.box, hostname=HOST, port=free_port())
            try:
                self._controller.start()
            except OSError:  # somebody took the port meanwhile
                if attempt == 9:
                    raise
                time.sleep(0.1)
            else:
                break
        self.address = f"{HOST}:{self._controller.port}"
        return self

    def __exit__(self, *_exception):
        self._controller.stop()
