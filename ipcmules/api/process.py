"""The flat functions of who and where this process is: mule_id, worker_id, in_farm, masterpid, settings.

Names and results follow uWSGI's Python module where it has them. Knows membership.
"""

from __future__ import annotations

from ipcmules.kernel.exhaustion import importing
from ipcmules.member import membership


def mule_id() -> int:
    """The number of this mule, 0 in any other process."""
    member = membership.peek()
    return member.number if member is not None and member.role == "mule" else 0


def role() -> str:
    """What this process is on the bus, '' on none.

    'mule', 'spooler', 'worker' (of --processes), 'attached' (any other process on the bus: a web worker, a
    shell), 'template' (it loads the app once, for mules to be forked from it, and runs nothing) or 'child'
    (forked by user code of one of these).
    """
    member = membership.find()
    return member.role if member is not None else ""


def worker_id() -> int:
    """The number of this worker, 0 in a mule, a shell, or a process that serves no signals."""
    member = membership.find()
    return member.worker if member is not None else 0


def in_farm(name: str | bytes | None = None) -> bool | None:
    """True if this mule is in the named farm (or, without a name, in any); None otherwise, as in uWSGI."""
    member = membership.peek()
    if member is None:
        return None
    if isinstance(name, bytes):
        name = name.decode("utf-8", "replace")
    farms = member.farms()
    return True if (name in farms if name is not None else farms) else None


def masterpid() -> int:
    """The pid of the bus's master, 0 in a process that is on no bus."""
    member = membership.find()
    return member.description.master.pid if member is not None else 0


def settings() -> dict[str, str]:
    """What --set K=V (or Bus(settings=...)) gave this bus for the app; empty on no bus."""
    member = membership.find()
    return dict(member.description.config.settings) if member is not None else {}


def set_user_harakiri(seconds: float) -> None:
    """Have this mule (or worker of --processes) killed unless this is called again within so many seconds.

    0 takes it back. The log then shows the Python stack of every thread, and the message in hand is kept.
    Raises NotAMule elsewhere, ValueError for a negative time. From uWSGI's set_user_harakiri.
    """
    with importing:
        from ipcmules.process import harakiri

    harakiri.set_user(seconds)
