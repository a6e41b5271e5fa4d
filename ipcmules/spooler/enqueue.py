"""Writing a task into a spool directory, so that nobody ever takes half of it for a task.

A file without a name (O_TMPFILE) is written and then linked: what kills the writer before the link
leaves nothing, a full disk neither. A small task may be written at once, for half of that (at_once.py). Where
the file system has no files without a name (NFS, many FUSE ones), a file is written under a name that no
spooler takes, and renamed; what a killed writer leaves of it is swept (sweep.py). Paths are resolved at
each call: a descriptor kept open would go on writing into a directory that was moved away, or into whatever
got its number in a program that closes all files.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import Iterable, Sequence

from ipcmules.errors import SpoolWriteError
from ipcmules.kernel import exhaustion, linux
from ipcmules.kernel.interruption import noted, opened
from ipcmules.spooler import at_once, claim, directory, names
from ipcmules.spooler.claim import Refusal
from ipcmules.spooler.request import Request

_UNNAMED = os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NAMED = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
MODE = 0o600
#: A body up to this size is written with the arguments, in one call.
_JOINED = 65536

#: What open() says of O_TMPFILE where a file system does not have it (open(2)): EISDIR before Linux 3.11.
_NO_UNNAMED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS})
#: What linkat() says where a file without a name can be made but not given one: no /proc, a sandbox.
_NO_LINK = frozenset({errno.ENOENT, errno.EPERM, errno.EACCES, errno.EXDEV, errno.ENOTDIR, errno.EBADF})

#: ext4 (and 2, 3) and XFS: a link changes inode and directory in one transaction, so that an fsync of the
#: file makes its name durable too, for a third of what two cost. Others promise only what fsync(2) says.
_ONE_COMMIT = frozenset({0xEF53, 0x58465342})

#: os.fsencode() in half the time.
_ENCODING = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()

#: False once linkat() with nothing but a descriptor was found not to work here.
_by_descriptor = True


class Writer:
    """Puts tasks into one spool directory; safe to use from several threads and in forked children.

    path: the directory; checked at the first task. fsync: return only when a task is on the disk. make: make
    the directory where it is missing; else that is an error. mark: of names.mark_of(), for who tells of what
    it writes at once: the master does not, then.
    """

    def __init__(self, path: str, fsync: bool = False, make: bool = True, mark: str = "") -> None:
        self._mark = mark
        self.directory = os.path.realpath(path)
        #: What handles have for it.
        self.shown = self.directory
        #: As it was given: links on the way are looked at, too.
        self._path = os.path.abspath(path)
        self.fsync = fsync
        self._makes = make
        self._unnamed = True
        #: True if the file system needs one fsync for a task, None while that was not asked.
        self._one_commit: bool | None = None
        #: The priorities whose directories were there, "" for the spool directory itself.
        self._known: set[str] = set()

    def put(
        self, head: bytes, body: bytes | memoryview = b"", at: int = 0, priority: str = "", name: str = ""
    ) -> str:
        """Write a task and return its name, relative to the directory.

        head: header and arguments, as codec.pack() makes them. at: when it is due, in nanoseconds since 1970;
        0 for now. priority: "" or digits, the subdirectory. name: from names.new_name(); "": any.
        Raises SpoolWriteError where it cannot be written; then nothing of it is there. AccessError as
        directory.prepare().
        """
        if priority not in self._known:
            self._make(priority)
        name = name or names.new_name()
        try:
            return self._put(head, body, at, priority, name)
        except FileNotFoundError:
            self._make(priority)  # removed since
        except OSError as error:
            raise self.failed(error) from error
        try:
            return self._put(head, body, at, priority, name)
        except OSError as error:
            raise self.failed(error) from error

    def put_at_once(self, request: Request) -> str:
        """As put(), in the cheapest way; "" for what is not for that: then nothing is written.

        That is a small task without a body, for now, which need not be on the disk. Its file is closed after
        it was open for writing under its name: who watches the directory is told of it (inotify(7)).
        """
        head, body, at, priority, _spooler = request
        if body or at or self.fsync or priority not in self._known or len(head) > at_once.LONGEST:
            return ""
        name = names.new_name(names.TASK, self._mark)
        if priority:
            name = f"{priority}/{name}"
        try:
            return name if at_once.put(f"{self.directory}/{name}", head) else ""
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise self.failed(error) from error

    def put_many(self, requests: Sequence[Request], found: list[str]) -> bool:
        """Write tasks, as put_at_once() where that can be and all have the same priority. found: gets their
        names as they are there. Returns True where it was, for all. Raises as put()."""
        priority = requests[0].priority
        if self.fsync or any(
            body or at or level != priority or len(head) > at_once.LONGEST
            for head, body, at, level, *_rest in requests
        ):
            for each in requests:
                found.append(self.put(each.head, each.body, each.at, each.priority))
            return False
        if priority not in self._known:
            self._make(priority)
        heads = [each.head for each in requests]
        try:
            try:
                return self._put_many(priority, heads, found)
            except FileNotFoundError:  # removed since
                self._make(priority)
                return self._put_many(priority, heads, found)
        except SpoolWriteError:
            raise
        except OSError as error:
            raise self.failed(error) from error

    def _put_many(self, priority: str, heads: list[bytes], found: list[str]) -> bool:
        """As put_many(). Raises FileNotFoundError where there is no such directory; then none is written."""
        before = f"{priority}/" if priority else ""
        here: list[int] = []
        is_told, first = True, len(found)
        try:
            directory = noted(here, os.open, f"{self.directory}/{before}", _DIRECTORY)
            while heads:
                given, so_far = names.new_names(len(heads), self._mark), len(found)
                found += [before + name for name in given]  # for who takes them back if a handler raises
                put = at_once.put_many(directory, given, heads)
                del found[so_far + put.whole :]
                for number in reversed(put.swept):
                    del found[so_far + number]
                for number in put.swept:
                    is_told = False
                    found.append(self.put(heads[number], priority=priority))
                if put.error is not None and not (put.whole and exhaustion.no_descriptor(put.error)):
                    if len(found) > first:  # some may have been run: to begin anew would run them twice
                        raise self.failed(put.error) from put.error
                    raise put.error
                heads = heads[put.whole :]  # their descriptors are free again
        finally:
            for each in here:
                os.close(each)
        return is_told

    def take_back(self, names: Iterable[str]) -> None:
        """Remove tasks again, but for those that somebody has."""
        for name in names:
            _unlink_unlocked(f"{self.directory}/{name}")

    def _put(self, head: bytes, body: bytes | memoryview, at: int, priority: str, name: str) -> str:
        where = f"{self.directory}/{priority}" if priority else self.directory
        found: list[int] = []
        try:
            if self._unnamed:
                self._unnamed = self._has_unnamed(found, where)
            if found:
                self._unnamed = self._put_unnamed(found[0], head, body, at, where, name)
        finally:
            for each in found:
                os.close(each)
        if not self._unnamed:
            return self._put_named(head, body, at, where, priority, name)
        return f"{priority}/{name}" if priority else name

    def _has_unnamed(self, found: list[int], where: str) -> bool:
        """Open a file without a name. False where there are none. Raises OSError."""
        try:
            noted(found, os.open, where, _UNNAMED, MODE)
        except OSError as error:
            if error.errno not in _NO_UNNAMED:
                raise
            return False
        return True

    def _put_unnamed(
        self, file: int, head: bytes, body: bytes | memoryview, at: int, where: str, name: str
    ) -> bool:
        """Write a file and give it its name. False where that cannot be given. Raises OSError."""
        if body or at or self.fsync:
            _fill(file, head, body, at)
            if self.fsync:
                self._before_link(file)
        elif os.write(file, head) != len(head):
            raise _full()
        linked = _link(file, f"{where}/{name}")
        if self.fsync and linked:
            self._after_link(file, where, name)
        return linked

    def _before_link(self, file: int) -> None:
        """Nothing may have a name on the disk whose contents are not there."""
        if self._one_commit is None:
            self._one_commit = linux.file_system(file) in _ONE_COMMIT
        if self._one_commit:
            linux.write_out(file)
        else:
            os.fsync(file)

    def _after_link(self, file: int, where: str, name: str) -> None:
        """The name is on the disk when this returns; if that fails, there is none."""
        try:
            if self._one_commit:
                os.fsync(file)
            else:
                _fsync_directory(where)
        except OSError:
            _unlink(f"{where}/{name}")
            raise

    def _put_named(
        self, head: bytes, body: bytes | memoryview, at: int, where: str, priority: str, name: str
    ) -> str:
        temporary = f"{where}/{names.new_name(names.WRITING)}"
        try:
            with opened(temporary, _NAMED, MODE) as file:
                # Says to the sweeper that the writer lives; gone with the process.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _fill(file.fileno(), head, body, at)
                if self.fsync:
                    os.fsync(file)
            os.rename(temporary, f"{where}/{name}")
        except BaseException:
            _unlink(temporary)
            raise
        if self.fsync:
            try:
                _fsync_directory(where)
            except OSError:
                _unlink(f"{where}/{name}")
                raise
        return f"{priority}/{name}" if priority else name

    def prepare(self) -> None:
        """Make the directory if it is missing, and check it, as the first put() does."""
        if "" not in self._known:
            self._make("")

    def _make(self, priority: str) -> None:
        directory.prepare(self._path, make=self._makes)
        if priority:
            try:
                os.mkdir(f"{self.directory}/{priority}", directory.MODE)
                if self.fsync:
                    _fsync_directory(self.directory)
            except FileExistsError:
                pass
            except OSError as error:
                raise self.failed(error) from error
            directory.check_below(self.directory, priority)
        self._known.add(priority)

    def failed(self, error: OSError) -> SpoolWriteError:
        """What is raised where the system refused to write a task."""
        remedy = {
            errno.ENOSPC: "make room on its file system",
            errno.EDQUOT: "make room in the quota",
            errno.EMFILE: "raise the limit of open files (ulimit -n)",
            errno.EACCES: "give this user permission to write to it",
            errno.EROFS: "mount its file system for writing",
        }.get(error.errno or 0, "look at the directory")
        return SpoolWriteError(
            error.errno,
            f"the task could not be written to {self.directory}: {error.strerror}; nothing of it is left: "
            f"{remedy}",
        )


def _fill(file: int, head: bytes, body: bytes | memoryview, at: int) -> None:
    if len(body) <= _JOINED:
        _write(file, b"".join((head, body)))
    else:
        _write(file, head)
        _write(file, body)
    if at:
        os.utime(file, ns=(at, at))


def _write(file: int, data: bytes | memoryview) -> None:
    done = os.write(file, data)
    while done < len(data):
        # Linux takes at most 0x7ffff000 bytes at once, and less on a disk that is nearly full (write(2)).
        more = os.write(file, memoryview(data)[done:])
        if not more:
            raise _full()
        done += more


def _full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _link(file: int, path: str) -> bool:
    """Give a file without a name one. False where that is not possible here, though files can be made."""
    global _by_descriptor
    # Linux before 6.10 wants CAP_DAC_READ_SEARCH for it. What else may be wrong, the other way says.
    if _by_descriptor and not linux.linkat(
        file, b"", linux.AT_FDCWD, path.encode(*_ENCODING), linux.AT_EMPTY_PATH
    ):
        return True
    try:
        # Any src_dir_fd makes Python pass AT_SYMLINK_FOLLOW, which /proc/self/fd/N needs (open(2)).
        os.link(f"/proc/self/fd/{file}", path, src_dir_fd=0, follow_symlinks=True)
    except OSError as error:
        if error.errno == errno.ENOENT and not os.path.isdir(os.path.dirname(path)):
            raise
        if error.errno in _NO_LINK:
            return False
        raise
    _by_descriptor = False
    return True


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # taken already; the error that led here is the one to be told


def _unlink_unlocked(path: str) -> None:
    held = claim.take(path)
    if not isinstance(held, Refusal):
        _unlink(path)
        claim.release(held)


def _fsync_directory(path: str) -> None:
    """The name is on the disk only when the directory is (fsync(2))."""
    found: list[int] = []
    try:
        os.fsync(noted(found, os.open, path, _DIRECTORY))
    finally:
        for each in found:
            os.close(each)
