"""Becoming another user (uid, gid and umask, as in uWSGI) before the bus makes anything.

Root alone can; for anybody else the options have no effect, as in uWSGI.
"""

from __future__ import annotations

import os
import pwd
import re
import stat
import sys

from ipcmules.errors import ConfigError
from ipcmules.kernel import ownership


def become(user: str, group: str) -> None:
    """Drop to a user and a group, by name or number; '' leaves it. Raises ConfigError for unknown ones."""
    if os.geteuid() != 0 or not (user or group):
        return
    account = _account(user) if user else None
    gid = ownership.group_number(group) if group else account.pw_gid if account is not None else os.getgid()
    os.setgroups([])
    os.setgid(gid)
    if account is not None:
        if account.pw_name:
            os.initgroups(account.pw_name, gid)
        os.setuid(account.pw_uid)
        os.environ["HOME"] = account.pw_dir or "/"
        _check_readable(user)


def own(path: str, user: str, group: str) -> None:
    """Make a file that the user, whom this process becomes, is to append to; root alone may make it there.

    One that root has left is given to the user, but for one with further names: it may be somebody else's.
    What does not work is left to whoever opens the file. Raises ConfigError for unknown users.
    """
    if os.geteuid() != 0 or not (user or group):
        return
    account = _account(user) if user else None
    gid = ownership.group_number(group) if group else account.pw_gid if account is not None else -1
    flags = (
        os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    )
    try:
        file = os.open(path, flags, 0o640)
    except OSError:
        return
    try:
        found = os.fstat(file)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == 0:
            os.fchown(file, account.pw_uid if account is not None else -1, gid)
    finally:
        os.close(file)


def mask(mode: str) -> None:
    """Set the umask, '' leaves it. Raises ConfigError for what is no octal number up to 777."""
    if not mode:
        return
    if not re.fullmatch(r"0*[0-7]{1,3}", mode):
        raise ConfigError(f"umask {mode!r} is no mode: write it in octal, as 022")
    os.umask(int(mode, 8))


def _check_readable(user: str) -> None:
    """Raise ConfigError where the user cannot read the Python that runs this: the next import would fail."""
    for path in (os.__file__, sys.executable, __file__):
        if os.access(path, os.R_OK):
            continue
        denied = path
        while len(denied) > 1 and not os.access(os.path.dirname(denied), os.X_OK):
            denied = os.path.dirname(denied)
        raise ConfigError(
            f"uid: user {user!r} cannot read {path}, which this Python needs (no access to {denied}): use a "
            f"Python that everybody can read, or let {user!r} in with chmod"
        )


def _account(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        raise ConfigError(
            f"uid: there is no user {user!r} on this machine: create it, or correct uid"
        ) from None
