"""What another user can do with a bus (nothing), and what somebody else's objects under our names do.

As root: forked children become `nobody` with setuid. Skipped for everybody else.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import posixpath
import pwd
import stat
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import posix_ipc
import pytest
import sysv_ipc

import ipcmules
import scripts
from conftest import BusEnvironment
from ipcmules.bus import description, table
from ipcmules.bus.places import Places, places
from ipcmules.cli import main
from ipcmules.errors import ConfigError
from ipcmules.messages import kept
from support import Launcher, run_cli

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

APP = """
import time
import ipcmules
@ipcmules.decorators.signal(17, target="mule1")
def handler(number):
    print("handled", flush=True)
def main():
    print("entered", flush=True)
    time.sleep(600)
"""


def as_nobody(function: Callable[[], object]) -> str:
    """Run function in a forked child that is nobody; what it raised, as 'Type: text', '' if nothing."""
    nobody = pwd.getpwnam("nobody")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        text = ""
        try:
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            function()
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
            if isinstance(error, AssertionError):
                traceback.print_exc()
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as file:
        return file.read()


@pytest.fixture
def bus(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> Iterator[Places]:
    scripts.write(tmp_path, "app.py", "import ipcmules.decorators\n" + APP)
    # The directories above are open: what protects a bus must be its own.
    os.chmod(bus_env.directory, 0o755)
    os.chmod(bus_env.directory.parent, 0o755)
    options = ("--mule=app:main", "--farm", "mail:1", "--locks", "1", "--mule-reload-mercy", "0")
    with Launcher("--bus", bus_name, *options, cwd=tmp_path) as launcher:
        launcher.wait_output("entered")
        assert run_cli("msg", "--bus", bus_name, "--mule", "1", "secret").returncode == 0
        assert run_cli("msg", "--bus", bus_name, "--mule", "1", "-", text_input="s" * 100_000).returncode == 0
        kept.keep(places(bus_name), b"secret", "mule1", "for the test")
        yield places(bus_name)


def test_another_user_gets_at_nothing(bus: Places) -> None:
    found = description.read(bus)
    assert found is not None
    for spec in found.queues:
        for flags in ({"read": True, "write": False}, {"read": False, "write": True}):
            refused = as_nobody(lambda spec=spec, flags=flags: posix_ipc.MessageQueue(spec.name, **flags))  # type: ignore[misc]
            assert refused.startswith("PermissionsError"), (spec, flags, refused)
        assert as_nobody(lambda spec=spec: posix_ipc.unlink_message_queue(spec.name)) != ""  # type: ignore[misc]
    segments = [path.name for path in Path("/dev/shm").glob(f"{bus.kernel[1:]}*")]
    assert len(segments) == 4  # the table, what is in flight, the directory of lanes, a large message
    for name in segments:
        assert as_nobody(lambda name=name: posix_ipc.SharedMemory(f"/{name}", read_only=True)) != ""  # type: ignore[misc]
        assert as_nobody(lambda name=name: os.unlink(f"/dev/shm/{name}")) != ""  # type: ignore[misc]
        assert stat.S_IMODE(os.stat(f"/dev/shm/{name}").st_mode) == 0o600
    for key in found.semaphores:
        for use in (lambda s: s.acquire(0), lambda s: s.release(), lambda s: s.remove()):
            assert as_nobody(lambda key=key, use=use: use(sysv_ipc.Semaphore(key))) != ""  # type: ignore[misc]
    for path in (bus.runtime, bus.kept, bus.state):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
        assert as_nobody(lambda path=path: os.listdir(path)).startswith("PermissionError")  # type: ignore[misc]
    everything = [*Path(bus.runtime).iterdir(), *Path(bus.kept).iterdir(), Path(bus.lock)]
    assert any(stat.S_ISFIFO(path.stat().st_mode) for path in everything)
    for path in everything:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        refused = as_nobody(lambda path=path: os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK)))  # type: ignore[misc]
        assert refused.startswith("PermissionError")
    master = found.master.pid
    assert as_nobody(lambda: os.kill(master, 15)).startswith("PermissionError")


COMMANDS = (
    ("status",),
    ("msg", "x"),
    ("signal", "17"),
    ("reload",),
    ("stop",),
    ("dead", "list"),
    ("dead", "drop", "--all"),
    ("events",),
    ("tasks", "list"),
    ("clean",),
    ("run", "--mules", "1"),
)


def test_commands_of_another_user_are_refused(bus: Places) -> None:

    def there() -> tuple[list[Path], list[str]]:
        return sorted(Path("/dev/shm").glob(f"{bus.kernel[1:]}*")), kept.listing(bus)

    before = there()
    # Not a new interpreter: nobody may have no right to read this one's files.
    modules = [f"ipcmules.{each}" for each in ("embed.attachment", "master.run", "cli.assembly")]
    for module in (*modules, *(f"ipcmules.cli.{each}" for each in main.COMMANDS), "encodings.ascii"):
        importlib.import_module(module)
    "x".encode("ascii")
    for arguments in COMMANDS:
        said = as_nobody(lambda arguments=arguments: _command(bus, arguments))  # type: ignore[misc]
        # The kernel names that it would use carry its own uid, and the directories are not its own.
        assert said.startswith(("RuntimeError: code 1 ", "RuntimeError: code 2 ")), (arguments, said)
        assert "ipcmules: error:" in said, (arguments, said)
        if arguments[0] != "clean":
            assert f"sudo -u root IPCMULES_RUNTIME_DIR={os.path.dirname(bus.runtime)} ipcmules" in said or (
                arguments[0] == "run"
            )
        assert "belongs to uid 0, this process is uid" in said and "run as that user" in said, said
    refused = as_nobody(lambda: ipcmules.attach(bus.bus))
    assert refused.startswith("AccessError") and "belongs to uid 0, this process is uid" in refused
    assert there() == before


def _command(bus: Places, arguments: tuple[str, ...]) -> None:
    errors = io.StringIO()
    os.environ["IPCMULES_BUS"] = bus.bus
    with contextlib.redirect_stderr(errors):
        try:
            main.main(arguments)
        except SystemExit as end:
            raise RuntimeError(f"code {end.code} {errors.getvalue()}") from None


def test_objects_of_somebody_else_under_our_names(
    bus_env: BusEnvironment, bus_name: str, tmp_path: Path
) -> None:
    where = places(bus_name)

    def refused(*words: str) -> None:
        done = run_cli("run", "--bus", bus_name, "--mules", "1", "--", "true", cwd=tmp_path)
        assert done.returncode != 0 and "Traceback" not in done.stderr, done.stderr
        for each in words:
            assert each in done.stderr, done.stderr

    # The runtime directory: somebody else's, open to others.
    nobody = pwd.getpwnam("nobody").pw_uid
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    bus_env.runtime.mkdir(mode=0o700)
    os.chown(bus_env.runtime, nobody, -1)
    refused(f"belongs to uid {nobody}", "IPCMULES_RUNTIME_DIR")
    os.chown(bus_env.runtime, 0, -1)
    os.chmod(bus_env.runtime, 0o777)
    refused("chmod 700")
    bus_env.runtime.rmdir()
    bus_env.runtime.mkdir(mode=0o700)
    # The bus's directory and its lock file as symbolic links.
    Path(where.runtime).symlink_to(elsewhere)
    refused("symbolic link")
    assert list(elsewhere.iterdir()) == []
    Path(where.runtime).unlink()
    target = elsewhere / "target"
    Path(where.lock).symlink_to(target)
    refused("cannot be opened")
    assert not target.exists()
    Path(where.lock).unlink()
    # A queue, and the table, of somebody else.
    as_nobody(lambda: posix_ipc.MessageQueue(where.queue("pool"), posix_ipc.O_CREX, mode=0o666))
    refused(f"belongs to uid {nobody}", where.queue("pool"))
    posix_ipc.unlink_message_queue(where.queue("pool"))
    as_nobody(lambda: posix_ipc.SharedMemory(where.table, posix_ipc.O_CREX, mode=0o666, size=4096))
    refused(where.table)
    posix_ipc.unlink_shared_memory(where.table)
    as_nobody(lambda: posix_ipc.SharedMemory(where.inflight, posix_ipc.O_CREX, mode=0o666, size=4096))
    refused(f"belongs to uid {nobody}", where.inflight)
    assert run_cli("clean").returncode == 1
    posix_ipc.unlink_shared_memory(where.inflight)
    # And without them it runs.
    assert run_cli("run", "--bus", bus_name, "--mules", "1", "--", "true", cwd=tmp_path).returncode == 0


def test_semaphores_of_somebody_else_stay(bus_env: BusEnvironment) -> None:
    from ipcmules.locks import semaphores

    [key] = semaphores.new_keys(1)
    assert as_nobody(lambda: sysv_ipc.Semaphore(key, sysv_ipc.IPC_CREX, 0o666, 1)) == ""
    try:
        semaphores.remove((key,))
        sysv_ipc.Semaphore(key)  # still there
    finally:
        sysv_ipc.Semaphore(key).remove()


@pytest.mark.parametrize(
    "name", ["../x", "..", ".", "/x", "x/../../y", "x/y", "", " ", "x\n", "x\0y", "-x", ".x", "ä", "x" * 65]
)
def test_bus_names_cannot_escape(bus_env: BusEnvironment, name: str) -> None:
    with pytest.raises(ConfigError, match="not allowed"):
        places(name)
    if "\0" in name:
        return
    for command in (["status"], ["dead", "list"], ["run"], ["msg", "x"]):
        done = run_cli(*command, f"--bus={name}")
        assert done.returncode == 2, (command, done)
    assert not posixpath.exists(bus_env.directory.parent / "x")


def test_shared_memory_of_ours_that_is_open_is_no_table(bus_env: BusEnvironment, bus_name: str) -> None:
    where = places(bus_name)
    segment = posix_ipc.SharedMemory(where.table, posix_ipc.O_CREX, mode=0o600, size=4096)
    os.fchmod(segment.fd, 0o666)
    segment.close_fd()
    with pytest.raises(PermissionError, match="open to others"):
        table.open(where.table)
    posix_ipc.unlink_shared_memory(where.table)
