"""Who else could put something into a directory, or another one in its place.

Nobody may, where what is in it is run or believed. Trusted are this user and root, who can do anything
anyhow. A group counts as this user's own only if it is this user's primary group (or root's) and no other
user is seen in it. Knows the file system and the user database.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat

from ipcmules.errors import ConfigError

#: As many symbolic links as path_resolution(7) follows.
_MOST_LINKS = 40


def problem_of(path: str, found: os.stat_result | None = None) -> str:
    """Why a directory is not safe, with the command that mends it; "" if nobody else can write to it.

    found: what stat() said of it, if that is known. Raises OSError if it cannot be looked at.
    """
    found = os.stat(path) if found is None else found
    if found.st_uid not in (os.geteuid(), 0):
        me, whose = os.geteuid(), f"{user_name(found.st_uid)}, mode {_mode(found)}"
        return (
            f"{path} belongs to uid {found.st_uid} ({whose}), this process is uid {me}: run as that user, or "
            f"chown {user_name(me)} {path}"
        )
    return _open_to(path, found)


def _open_to(path: str, found: os.stat_result) -> str:
    said = f"(mode {_mode(found)}, owner {user_name(found.st_uid)}, group {_group_name(found.st_gid)})"
    if found.st_mode & stat.S_IWOTH:
        return f"everybody can write to {path} {said}: chmod o-w {path}"
    if not found.st_mode & stat.S_IWGRP:
        return ""
    # With an access list the group's bits are the mask of all that it names (acl(5)).
    if _has_list(path):
        return f"others can write to {path} by its access list {said}: setfacl -b {path}, or chmod g-w {path}"
    if _is_own_group(found.st_gid):
        return ""
    return f"others, of its group, can write to {path} {said}: chmod g-w {path}"


def way_to(path: str) -> str:
    """Why others could have a path lead elsewhere; "" if they cannot.

    Looks at each directory that the path goes through, symbolic links included, but not at what it leads to.
    """
    current, links = "/", 0
    rest = [each for each in reversed(os.path.join(os.getcwd(), path).split("/")) if each not in ("", ".")]
    try:
        above = os.lstat(current)
        while rest:
            name = rest.pop()
            if name == "..":
                current = os.path.dirname(current)
                above = os.lstat(current)
                continue
            entry = os.path.join(current, name)
            try:
                found = os.lstat(entry)
            except FileNotFoundError:
                return _replaceable(current, above, None)
            problem = _replaceable(current, above, found)
            if problem:
                return problem
            if stat.S_ISLNK(found.st_mode):
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                target = os.readlink(entry)
                rest += [each for each in reversed(target.split("/")) if each not in ("", ".")]
                current = "/" if target.startswith("/") else current
                above = os.lstat(current)
            else:
                current, above = entry, found
    except OSError:
        pass  # who cannot look cannot use it either: what is done with the path next says why
    return ""


def _replaceable(directory: str, above: os.stat_result, entry: os.stat_result | None) -> str:
    """Why others could put something else where an entry of a directory is.

    Its owner could, too, and is relied on: the application lies there, which a container's root runs from a
    volume of another uid. What that user puts in its place is not this user's, so it is refused.
    """
    problem = _open_to(directory, above)
    # What is in a sticky directory, as /tmp is, only its owner can rename (unlink(2)).
    if not problem or (above.st_mode & stat.S_ISVTX and (entry is None or _trusted(entry.st_uid))):
        return ""
    return f"on the way {problem}"


def _trusted(uid: int) -> bool:
    return uid in (os.geteuid(), 0) or (uid == _overflow() and _in_user_namespace())


def _overflow() -> int:
    try:
        with open("/proc/sys/kernel/overflowuid", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return -1


def _in_user_namespace() -> bool:
    """True where not all users have a number here: others show as the overflow uid (user_namespaces(7))."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            return file.read().split() != ["0", "0", "4294967295"]
    except OSError:
        return False


def _has_list(path: str) -> bool:
    try:
        os.getxattr(path, "system.posix_acl_access")
    except OSError:
        return False  # it has none, or the file system has none
    return True


def _is_own_group(gid: int) -> bool:
    """True if nobody but this user and root is seen to be in the group."""
    me = os.geteuid()
    try:
        mine = pwd.getpwuid(me)
        own, name = mine.pw_gid, mine.pw_name
    except KeyError:
        own, name = os.getgid(), ""
    if gid not in (own, 0):
        return False  # where the database does not list all users, they are not seen
    try:
        members = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        members = set()
    others = [each.pw_name for each in pwd.getpwall() if each.pw_gid == gid and each.pw_uid not in (me, 0)]
    return not others and members <= {name, "root"}


def group_number(group: str) -> int:
    """The number of a group that is given by its name or number. Raises ConfigError if there is none."""
    if group.isascii() and group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError(f"gid: there is no group {group!r} on this machine: correct gid") from None


def user_name(uid: int) -> str:
    """The name of a user, else the number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _mode(found: os.stat_result) -> str:
    return f"{stat.S_IMODE(found.st_mode):04o}"
