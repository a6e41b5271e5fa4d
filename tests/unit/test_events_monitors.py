"""File monitors with real files and the kernel's inotify, in a loop that the test turns.

Where nothing must be raised, a change of another monitor's file comes after it: the kernel tells of changes
in their order, so whatever was to be raised has been when that one is.
"""

from __future__ import annotations

import mmap
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ipcmules.events import specs
from ipcmules.master.events.monitors import Monitors
from ipcmules.master.loop.selector import Loop


class Watching:
    """Monitors in a loop of their own, and what they have raised."""

    def __init__(self, directory: Path) -> None:
        self.loop = Loop()
        self.raised: list[str] = []
        self.monitors = Monitors(self.loop, self.raised.append)
        self._mark = directory / "mark"
        self._mark.mkdir()
        self.add("mark", self._mark / "file")

    def add(self, key: str, path: Path, recursive: bool = False, present: bool = False) -> None:
        self.monitors.add(key, specs.monitor(path, recursive, present=present))

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.raised}"
            tick = self.loop.later(0.02, lambda: None)
            self.loop.run_once()
            tick.cancel()

    def take(self) -> list[str]:
        """What is raised for everything that has happened up to now."""
        (self._mark / "file").write_text(str(time.monotonic_ns()))
        self.until(lambda: "mark" in self.raised, "the mark was not seen")
        found = [each for each in self.raised if each != "mark"]
        self.raised.clear()
        return found


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    made = Watching(tmp_path)
    yield made
    made.monitors.close()
    made.loop.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    directory = tmp_path / "home"
    directory.mkdir()
    return directory


def replace_by_rename(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.rename(path)


def test_a_file_over_its_life(watching: Watching, home: Path) -> None:
    file = home / "file"
    watching.add("f", file)
    changes: list[Callable[[], object]] = [
        lambda: file.write_text("created"),
        lambda: file.write_text("written"),
        lambda: os.utime(file),
        lambda: file.chmod(0o600),
        lambda: os.truncate(file, 1),
        lambda: replace_by_rename(file, "as editors do"),
        lambda: replace_by_rename(file, "again"),
        lambda: file.write_text("after that"),
        lambda: file.rename(home / "other"),
        lambda: (home / "other").rename(file),
        file.unlink,
        lambda: file.symlink_to(home / "nothing"),
        file.unlink,
        file.mkdir,
        (file / "inside").touch,
        lambda: shutil.rmtree(file),
        lambda: file.write_text("and again a file"),
        lambda: (home / "file").write_text("to the end"),
    ]
    for number, change in enumerate(changes):
        change()
        assert watching.take() == ["f"], number


def test_what_does_not_count(watching: Watching, home: Path) -> None:
    file = home / "file"
    file.write_text("text")
    (home / "sub").mkdir()
    watching.add("f", file)
    watching.add("d", home)
    file.read_text()
    with file.open("r+"):
        pass
    list(home.iterdir())
    os.stat(file)
    (home / "sub" / "x").write_text("x")
    (home / "sub" / "y").mkdir()
    (home / "sub" / "y").rmdir()
    assert watching.take() == []
    (home / "beside").touch()
    assert watching.take() == ["d"]


def test_a_directory(watching: Watching, home: Path) -> None:
    watching.add("d", home)
    (home / "gone").touch()
    assert watching.take() == ["d"]
    changes: list[Callable[[], object]] = [
        lambda: (home / "file").write_text("1"),
        lambda: (home / "file").write_text("2"),
        lambda: (home / "file").chmod(0o600),
        lambda: (home / "file").rename(home / "other"),
        (home / "other").unlink,
        (home / "sub").mkdir,
        (home / "sub").rmdir,
        lambda: home.chmod(0o700),
        lambda: os.utime(home),
        lambda: home.rename(home.with_name("elsewhere")),
        home.mkdir,
        (home / "again").touch,
        lambda: shutil.rmtree(home),
        home.mkdir,
        (home / "and again").touch,
    ]
    for number, change in enumerate(changes):
        change()
        assert watching.take() == ["d"], number
    (home.with_name("elsewhere") / "gone").unlink()
    assert watching.take() == []  # what it was is not watched any more


def test_all_below_a_directory(watching: Watching, home: Path) -> None:
    (home / "a" / "b").mkdir(parents=True)
    watching.add("r", home, recursive=True)
    deep = home / "a" / "b" / "c" / "d"
    changes: list[Callable[[], object]] = [
        (home / "a" / "b" / "file").touch,
        lambda: deep.mkdir(parents=True),
        (deep / "file").touch,
        lambda: (deep / "file").write_text("x"),
        lambda: (home / "a").rename(home / "z"),
        lambda: (home / "z" / "b" / "c" / "d" / "file").write_text("y"),
        lambda: shutil.rmtree(home / "z"),
        lambda: deep.mkdir(parents=True),
        (deep / "new").touch,
    ]
    for number, change in enumerate(changes):
        change()
        assert watching.take() == ["r"], number
    outside = home.with_name("outside")
    outside.mkdir()
    (home / "link").symlink_to(outside)
    assert watching.take() == ["r"]
    (outside / "x").touch()
    assert watching.take() == []


def test_a_path_of_which_nothing_exists(watching: Watching, home: Path) -> None:
    file = home / "a" / "b" / "c" / "file"
    watching.add("f", file)
    (home / "a").mkdir()
    assert watching.take() == []
    (home / "a" / "b").mkdir()
    (home / "a" / "x").mkdir()
    assert watching.take() == []
    file.parent.mkdir()
    (file.parent / "beside").touch()
    assert watching.take() == []
    file.touch()
    assert watching.take() == ["f"]
    shutil.rmtree(home / "a")
    assert watching.take() == ["f"]
    file.parent.mkdir(parents=True)
    file.touch()  # at once, before anybody can have seen the directory
    assert watching.take() == ["f"]
    (home / "a").rename(home / "b")
    (home / "a").write_text("a file where a directory was")
    watching.until(lambda: "f" in watching.raised, "a parent was renamed")
    watching.raised.clear()
    (home / "a").unlink()
    (home / "b").rename(home / "a")
    assert watching.take() == ["f"]


def test_links_on_the_way(watching: Watching, home: Path) -> None:
    """As a deployment or Kubernetes does: a link is turned to the next release."""
    for number in ("1", "2"):
        (home / "releases" / number).mkdir(parents=True)
        (home / "releases" / number / "config").write_text(number)
    (home / "current").symlink_to("releases/1")
    (home / "config").symlink_to("current/../../current/config")
    watching.add("c", home / "config")
    (home / "releases" / "1" / "config").write_text("changed")
    assert watching.take() == ["c"]
    (home / "releases" / "2" / "config").write_text("changed")
    assert watching.take() == []
    (home / "new").symlink_to("releases/2")
    (home / "new").rename(home / "current")
    assert watching.take() == ["c"]
    (home / "releases" / "2" / "config").write_text("changed again")
    assert watching.take() == ["c"]
    (home / "releases" / "1" / "config").write_text("old")
    assert watching.take() == []


def test_a_link_to_itself(watching: Watching, home: Path) -> None:
    (home / "loop").symlink_to("loop")
    watching.add("l", home / "loop" / "file")
    (home / "loop").unlink()
    (home / "loop").mkdir()
    (home / "loop" / "file").touch()
    assert watching.take() == ["l"]


def test_every_monitor_concerned_raises(watching: Watching, home: Path) -> None:
    file = home / "file"
    for key in ("f1", "f2"):
        watching.add(key, file)
    watching.add("d", home)
    watching.add("r", home.parent, recursive=True)
    file.touch()
    assert sorted(each for each in watching.take() if each != "r") == ["d", "f1", "f2"]
    watching.monitors.remove("f1")
    watching.monitors.remove("f1")
    watching.monitors.remove("r")
    file.touch()
    assert sorted(watching.take()) == ["d", "f2"]
    watching.add("f2", home / "other")  # another path under the same key
    file.touch()
    assert watching.take() == ["d"]


def test_changes_that_come_together_are_one(watching: Watching, home: Path) -> None:
    watching.add("f", home / "file")
    for number in range(100):
        (home / "file").write_text(str(number))
    assert watching.take() == ["f"]


def test_only_what_is_there_counts(watching: Watching, home: Path) -> None:
    """--touch-signal: a file that goes is not touched."""
    file = home / "file"
    file.touch()
    watching.add("t", file, present=True)
    file.unlink()
    assert watching.take() == []
    file.touch()
    assert watching.take() == ["t"]


def test_names_of_any_bytes(watching: Watching, home: Path) -> None:
    name = os.fsdecode(os.fsencode(home) + b"/\xff \n\xe4")
    watching.monitors.add("b", specs.monitor(name))
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600))
    assert watching.take() == ["b"]


def test_more_events_than_the_kernel_keeps(watching: Watching, home: Path) -> None:
    with open("/proc/sys/fs/inotify/max_queued_events") as file:
        limit = int(file.read())
    if limit > 100_000:
        pytest.skip(f"this kernel keeps {limit} events")
    watching.add("f", home / "file")
    watching.add("late", home / "late" / "file")
    (home / "file").touch()
    for name in (home / "x", home / "y"):
        name.touch()
    for _ in range(limit // 2 + 10):  # events of one kind for one file are one
        os.utime(home / "x")
        os.utime(home / "y")
    (home / "late").mkdir()
    (home / "late" / "file").touch()
    watching.until(lambda: {"f", "late"} <= set(watching.raised), "what overflowed was forgotten")
    watching.take()
    (home / "late" / "file").touch()
    assert watching.take() == ["late"]


def test_what_the_kernel_does_not_tell(watching: Watching, home: Path) -> None:
    file = home / "file"
    file.write_bytes(bytes(4096))
    watching.add("f", file)
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 4096) as mapped:
        mapped[0] = 1
        mapped.flush()
    watching.until(lambda: "f" in watching.raised, "a change through a mapping")


def test_a_parent_of_a_parent_that_is_renamed(watching: Watching, home: Path) -> None:
    file = home / "a" / "b" / "file"
    file.parent.mkdir(parents=True)
    file.touch()
    watching.add("f", file)
    (home / "a").rename(home / "z")
    watching.until(lambda: watching.raised == ["f"], "its grandparent was renamed")
    watching.raised.clear()
    file.parent.mkdir(parents=True)
    file.touch()
    assert watching.take() == ["f"]


def test_a_directory_that_must_not_be_read_is_looked_at(watching: Watching, home: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    home.chmod(0o300)
    watching.add("f", home / "file")
    (home / "file").touch()
    watching.until(lambda: watching.raised == ["f"], "seen without a watch")


def test_nothing_is_left_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    made = Watching(tmp_path)
    for number in range(200):
        made.add(str(number), tmp_path / str(number))
    (tmp_path / "0").touch()
    assert made.take() == ["0"]
    inotifies = [
        each for each in os.listdir("/proc/self/fd") if "inotify" in os.path.realpath(f"/proc/self/fd/{each}")
    ]
    assert len(inotifies) == 1
    made.monitors.close()
    made.loop.close()
    assert os.listdir("/proc/self/fd") == before
