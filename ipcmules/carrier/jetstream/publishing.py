"""Publishing: tried until the servers have stored it, the time is over, or they say that they never will.

Knows the connection.
"""

from __future__ import annotations

import asyncio
import time

import nats.errors
import nats.js.errors

from ipcmules.carrier.engine import Away, Refused
from ipcmules.carrier.jetstream.connection import Connection

#: One try takes so long, seconds; between two tries.
_TRY, _PAUSE = 2.0, 0.1
#: What the server says of a message that it will never take: it is too large, the stream is as full as its
#: owner lets it be, it forgets no single messages. All else may pass, as "duplicate message id is in process"
#: of a former try.
_REFUSALS = (10054, 10077, 10097)
#: What it says where the last message of the subject is another one than the headers name.
_OVERTAKEN = 10071


class Overtaken(Exception):
    """The last message of the subject is not the one that the headers name. again: a former try of the same
    publish may have stored it."""

    def __init__(self, again: bool) -> None:
        super().__init__(again)
        self.again = again


async def publish(
    connection: Connection, subject: str, body: bytes, headers: dict[str, str], seconds: float
) -> int:
    """Store a message; its sequence number.

    Raises Refused, Away, and Overtaken where headers name the message before it.
    """
    deadline, tries = time.monotonic() + seconds, 0
    while (left := deadline - time.monotonic()) > 0:
        try:
            await asyncio.wait_for(connection.ready.wait(), left)
            left = max(min(_TRY, deadline - time.monotonic()), 0.01)
            tries += 1
            stored = await connection.context.publish(subject, body, timeout=left, headers=headers)
            return stored.seq
        except nats.errors.MaxPayloadError:
            most = connection.client.max_payload
            raise Refused(
                f"{len(body)} bytes are more than the cluster's servers take ({most}): "
                "send a reference to it, or raise their max_payload"
            ) from None
        except nats.js.errors.NoStreamResponseError:
            connection.look.set()  # somebody has removed it, or it has no leader now
        except nats.js.errors.APIError as error:
            if error.err_code == _OVERTAKEN:
                raise Overtaken(tries > 1) from None
            if error.err_code in _REFUSALS:
                raise Refused(f"the cluster does not take it: {error.description}") from error
            connection.trouble = str(error.description)
        except (nats.errors.Error, asyncio.TimeoutError, OSError):
            pass
        await asyncio.sleep(min(_PAUSE, max(deadline - time.monotonic(), 0)))
    raise Away(connection.trouble or "no answer within the time")
