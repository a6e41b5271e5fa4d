"""Becoming another user (uid and gid, as in uWSGI) before the bus makes anything.

Root alone can; for anybody else the options have no effect, as in uWSGI.
"""

from __future__ import annotations

import grp
import os
import pwd

from ipcmules.errors import ConfigError


def become(user: str, group: str) -> None:
    """Drop to a user and a group, by name or number; '' leaves it. Raises ConfigError for unknown ones."""
    if os.geteuid() != 0 or not (user or group):
        return
    account = _account(user) if user else None
    gid = _group(group) if group else account.pw_gid if account is not None else os.getgid()
    os.setgroups([])
    os.setgid(gid)
    if account is not None:
        if account.pw_name:
            os.initgroups(account.pw_name, gid)
        os.setuid(account.pw_uid)
        os.environ["HOME"] = account.pw_dir or "/"


def _account(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        raise ConfigError(
            f"uid: there is no user {user!r} on this machine: create it, or correct uid"
        ) from None


def _group(group: str) -> int:
    if group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError(f"gid: there is no group {group!r} on this machine: correct gid") from None
