"""Writing tasks: whole or not at all, whatever happens to the writer, the disk and the directory."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from ipcmules.errors import AccessError, SpoolError, SpoolWriteError
from ipcmules.spooler import codec, enqueue, names
from ipcmules.spooler.enqueue import Writer
from ipcmules.spooler.store import Store
from support import wait_until

HEAD = codec.pack({"a": "1"})


@pytest.fixture(params=["unnamed", "named"])
def writer(request: pytest.FixtureRequest, tmp_path: Path) -> Writer:
    """A writer that links files without a name, and one for file systems that have none."""
    found = Writer(str(tmp_path / "spool"))
    if request.param == "named":
        found._unnamed = False
    return found


def content(writer: Writer, name: str) -> bytes:
    return Path(writer.directory, name).read_bytes()


def test_a_task_is_a_file(writer: Writer) -> None:
    before = time.time()
    name = writer.put(HEAD, b"body")
    assert os.listdir(writer.directory) == [name]
    assert names.is_task(name)
    assert content(writer, name) == HEAD + b"body"
    status = os.stat(Path(writer.directory, name))
    assert status.st_mode & 0o7777 == 0o600
    assert status.st_nlink == 1
    assert before - 1 <= status.st_mtime <= time.time()
    assert os.stat(writer.directory).st_mode & 0o7777 == 0o750


def test_a_time_and_a_priority(writer: Writer) -> None:
    due = (int(time.time()) + 1000) * 10**9 + 5_000_000
    name = writer.put(HEAD, b"", due, "3")
    assert name.startswith("3/uwsgi_spoolfile_on_")
    assert os.stat(Path(writer.directory, name)).st_mtime_ns == due
    assert os.listdir(writer.directory) == ["3"]


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 10_000_000])
def test_bodies_of_any_size(writer: Writer, size: int) -> None:
    body = os.urandom(size)
    assert content(writer, writer.put(HEAD, memoryview(body))) == HEAD + body


@pytest.mark.parametrize("one_commit", [None, True, False])
def test_on_the_disk(writer: Writer, one_commit: bool | None) -> None:
    writer.fsync, writer._one_commit = True, one_commit
    for priority in ("", "1"):
        for body in (b"", b"body"):
            assert content(writer, writer.put(HEAD, body, 0, priority)) == HEAD + body


def test_what_cannot_be_synced_is_not_there(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.fsync = True

    def fail(_file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    writer._make("")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SpoolWriteError, match="Input/output error"):
        writer.put(HEAD)
    assert [name for name in os.listdir(writer.directory) if names.is_task(name)] == []


def test_the_directory_is_removed_and_made_again(writer: Writer) -> None:
    writer.put(HEAD, b"", 0, "5")
    shutil.rmtree(writer.directory)
    assert content(writer, writer.put(HEAD)) == HEAD
    shutil.rmtree(writer.directory)
    assert content(writer, writer.put(HEAD, b"", 0, "5")) == HEAD
    os.rename(writer.directory, writer.directory + ".old")
    os.mkdir(writer.directory)
    name = writer.put(HEAD)
    assert os.listdir(writer.directory) == [name], "not in the directory that was moved away"


def test_kernels_that_do_not_link_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enqueue, "_by_descriptor", False)
    writer = Writer(str(tmp_path / "spool"))
    assert content(writer, writer.put(HEAD)) == HEAD
    assert writer._unnamed


def test_a_name_has_one_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(str(tmp_path / "spool"))
    name = writer.put(HEAD)
    monkeypatch.setattr(names, "new_name", lambda: name)
    with pytest.raises(SpoolWriteError) as caught:
        writer.put(codec.pack({"other": "1"}))
    assert caught.value.errno == errno.EEXIST
    assert content(writer, name) == HEAD


# Directories that are not ours


def test_a_directory_that_cannot_be_made_or_is_a_file(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="missing/spool does not exist and cannot be made: No such file"):
        Writer(str(tmp_path / "missing" / "spool")).put(HEAD)
    (tmp_path / "file").write_text("")
    with pytest.raises(AccessError, match="is not a directory"):
        Writer(str(tmp_path / "file")).put(HEAD)


def test_a_directory_that_everybody_can_write_to(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.mkdir()
    path.chmod(0o1777)
    with pytest.raises(AccessError, match=r"everybody can write.*1777.*chmod o-w"):
        Writer(str(path)).put(HEAD)
    assert os.listdir(path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.mkdir()
    os.chown(path, 12345, -1)
    with pytest.raises(AccessError, match="belongs to uid 12345"):
        Writer(str(path)).put(HEAD)


def test_the_error_of_a_write_is_a_value_error_too(writer: Writer) -> None:
    writer.put(HEAD)
    blocked = Path(writer.directory, "9")
    blocked.write_text("")
    with pytest.raises(SpoolWriteError, match=r"could not be written.*nothing of it is left") as caught:
        writer.put(HEAD, b"", 0, "9")
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, OSError)
    assert caught.value.errno == errno.ENOTDIR


# Many writers, killed writers


def test_threads_and_forks_write_different_files(writer: Writer) -> None:
    def many() -> None:
        for _ in range(200):
            writer.put(HEAD)

    writer.put(HEAD)
    threads = [threading.Thread(target=many) for _ in range(3)]
    for each in threads:
        each.start()
    child = os.fork()
    if not child:
        many()
        os._exit(0)
    for each in threads:
        each.join()
    assert os.waitpid(child, 0)[1] == 0
    assert len(os.listdir(writer.directory)) == 801
    assert all(names.is_task(name) for name in os.listdir(writer.directory))


_ENDLESS = """
    import os, sys
    from ipcmules.spooler import codec
    from ipcmules.spooler.enqueue import Writer
    writer = Writer(sys.argv[1])
    writer._unnamed = sys.argv[2] == "unnamed"
    body = bytes(300_000)
    while True:
        writer.put(codec.pack({"a": "1"}), body)
"""


def test_a_killed_writer_leaves_whole_tasks_only(writer: Writer) -> None:
    how = "unnamed" if writer._unnamed else "named"
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(_ENDLESS), writer.directory, how]
        ) as killed:
            count = len(os.listdir(writer.directory)) if os.path.isdir(writer.directory) else 0

            def more(before: int = count) -> bool:
                return os.path.isdir(writer.directory) and len(os.listdir(writer.directory)) > before + 20

            wait_until(more, what="tasks of the writer")
            killed.send_signal(signal.SIGKILL)
    store = Store(writer.directory)
    found = store.scan()
    for name in found.due:
        assert os.stat(Path(writer.directory, name)).st_size == len(HEAD) + 300_000
    assert all(each.startswith(names.WRITING) for each in found.ours)
    assert how == "named" or not found.ours
    assert len(found.due) + len(found.ours) == len(os.listdir(writer.directory))


def test_what_a_killed_writer_left_is_swept_when_it_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    left = tmp_path / names.new_name(names.WRITING)
    left.write_bytes(b"half")
    assert store.sweep(store.scan().ours) == 0
    monkeypatch.setattr("ipcmules.spooler.sweep.YOUTH", -1.0)
    code = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, 2); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(left)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as lives:
        assert lives.stdout
        lives.stdout.readline()
        assert store.sweep(store.scan().ours) == 0, "its writer lives"
        lives.kill()
    assert store.sweep(store.scan().ours) == 1
    assert os.listdir(tmp_path) == []


# A full disk

_FULL = """
    import errno, os, sys
    from ipcmules.errors import SpoolWriteError
    from ipcmules.spooler import attempts, codec
    from ipcmules.spooler.enqueue import Writer
    from ipcmules.spooler.in_hand import Hand
    from ipcmules.spooler.store import Store

    directory = sys.argv[1] + "/spool"
    writer = Writer(directory)
    writer._unnamed = sys.argv[2] == "unnamed"
    head, count = codec.pack({"a": "1"}), 0
    for body in (bytes(20_000), bytes(70_000), b"", b"", b"x"):
        try:
            while True:
                writer.put(head, body)
                count += 1
        except SpoolWriteError as error:
            assert error.errno == errno.ENOSPC, error
            assert "make room" in str(error), error
    assert count
    names = os.listdir(directory)
    assert len(names) == count, names
    # The spooler goes on: what fails waits, though nothing can be written down.
    store = Store(directory)
    hand = Hand(directory)
    due = store.scan().due
    assert len(due) == count
    first = store.claim(due[0])
    hand.take(first.name, attempts.DEFAULT)
    verdict = first.failed("it failed")
    hand.put_down()
    assert verdict.due and not verdict.dead, verdict
    assert store.claim(due[0]).why == "later"
    for name in due[1:]:
        last = store.claim(name)
        if name == due[1]:
            kept = last.failed("again", "", attempts.Policy(1))
            assert kept.dead or kept.problem, kept
        else:
            last.done()
    assert os.path.exists(directory + "/" + due[0])
    writer.put(head, b"there is room again")
    print(count, "tasks")
"""


@pytest.mark.parametrize("how", ["unnamed", "named"])
@pytest.mark.parametrize("limit", ["size=128k", "nr_inodes=12"])
def test_a_full_disk(tmp_path: Path, how: str, limit: str) -> None:
    mount = f'mount -t tmpfs -o {limit} tmpfs "$1" && exec "$2" -c "$3" "$1" "$4"'
    unshare = shutil.which("unshare")
    if (
        unshare is None
        or subprocess.run([unshare, "-m", "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no permission to mount in a namespace of its own")
    done = subprocess.run(
        [unshare, "-m", "sh", "-c", mount, "sh", str(tmp_path), sys.executable, textwrap.dedent(_FULL), how],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "mount:" in done.stderr:
        pytest.skip("no permission to mount a tmpfs")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("tasks\n")
