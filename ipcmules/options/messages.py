"""Messages: what becomes of those that nobody finished, and how much of the kernel's memory they may take."""

from __future__ import annotations

from dataclasses import dataclass

from ipcmules.options import kinds
from ipcmules.options.kinds import Number
from ipcmules.options.option import OURS, Option, entry


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Messages:
    """Messages."""

    on_mule_death: str = entry(
        "dead-letter",
        Option(
            "on-mule-death",
            kinds.Choice("dead-letter", "requeue", "drop"),
            "What becomes of a message in the hands of a mule that died.",
            OURS,
        ),
    )
    max_requeues: int = entry(
        3, Option("max-requeues", Number(), "With requeue: a dead letter after N requeues.", OURS)
    )
    on_hook_error: str = entry(
        "log",
        Option(
            "on-hook-error",
            kinds.Choice("log", "keep"),
            "What becomes of a message whose hook raised: keep makes it a dead letter.",
            OURS,
        ),
    )
    queue_share: float = entry(
        0.5, Option("queue-share", kinds.SHARE, "Share of RLIMIT_MSGQUEUE that this bus may take.", OURS)
    )
    queue_messages: int = entry(
        16384,
        Option(
            "queue-messages",
            Number(0, 2**31),
            "So many messages may wait behind a queue that is full; 0: none.",
            OURS,
        ),
    )
    queue_bytes: int = entry(
        16 << 20,
        Option(
            "queue-bytes",
            Number(0, 2**40),
            "So many bytes of messages may wait there, in shared memory as they come.",
            OURS,
        ),
    )
