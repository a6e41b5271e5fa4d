"""What Bus(...) refuses, when, and in which words."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import ipcmules
import scripts
from ipcmules import BusRunning, ConfigError, StartError

CANNOT_BE: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: ipcmules.Bus("a/b"), ConfigError, r"bus name 'a/b' is not allowed: use 1 to 64 letters"),
    (lambda: ipcmules.Bus("x" * 65), ConfigError, r"bus name 'x+' is not allowed"),
    (lambda: ipcmules.Bus(mules=-1), ConfigError, r"mules=-1: give 0 or more"),
    (
        lambda: ipcmules.Bus(mules="prog.py"),
        ConfigError,
        r"mules='prog.py': give a number of mules, or a list",
    ),
    (lambda: ipcmules.Bus(mules=True), ConfigError, r"mules=True: give a number"),
    (
        lambda: ipcmules.Bus(mules=["missing.py"]),
        ConfigError,
        r"'missing.py' does not exist .* correct the path",
    ),
    (
        lambda: ipcmules.Bus(mules=["no such program"]),
        ConfigError,
        r"neither a file ending in .py nor package",
    ),
    (lambda: ipcmules.Bus(mules=[7]), ConfigError, r"mule 7 is neither None, a path,"),  # type: ignore[list-item] # on purpose
    (
        lambda: ipcmules.Bus(mules=[_holding(each for each in ())]),
        ConfigError,
        r"cannot be carried into its process: .*generator.*; pass what it needs by value",
    ),
    (
        lambda: ipcmules.Bus(mules=2, farms={"f": [3]}),
        ConfigError,
        r"farm 'f' names mule 3, but this bus has 2",
    ),
    (lambda: ipcmules.Bus(mules=2, farms={"f": [0]}), ConfigError, r"farm 'f' names mule 0"),
    (lambda: ipcmules.Bus(mules=2, farms={"f": []}), ConfigError, r"farm 'f': name each of its mules once"),
    (
        lambda: ipcmules.Bus(mules=2, farms={"f": [1, 1]}),
        ConfigError,
        r"farm 'f': name each of its mules once",
    ),
    (lambda: ipcmules.Bus(mules=2, farms={"f:g": [1]}), ConfigError, r"farm name 'f:g' is not allowed"),
    (lambda: ipcmules.Bus(locks=-1), ConfigError, r"locks=-1: give a number from 0 to 4096"),
    (lambda: ipcmules.Bus(processes=1.5), ConfigError, r"processes=1.5: give a number"),  # type: ignore[arg-type] # on purpose
    (lambda: ipcmules.Bus(mercy=-1), ConfigError, r"mercy=-1: give seconds"),
    (lambda: ipcmules.Bus(mercy="1"), ConfigError, r"mercy='1': give a number"),  # type: ignore[arg-type] # on purpose
    (lambda: ipcmules.Bus(harakiri=-1), ConfigError, r"harakiri=-1: give seconds, 0"),
    (lambda: ipcmules.Bus(harakiri=True), ConfigError, r"harakiri=True: give a number"),
    (lambda: ipcmules.Bus(max_messages=-1), ConfigError, r"max_messages=-1: give a number, 0"),
    (
        lambda: ipcmules.Bus(on_mule_death="x"),
        ConfigError,
        r"on_mule_death='x': give one of dead-letter, requeue",
    ),
    (lambda: ipcmules.Bus(on_hook_error="x"), ConfigError, r"on_hook_error='x': give one of log, keep"),
    (lambda: ipcmules.Bus(daemons="sleep 9"), ConfigError, r"daemons='sleep 9': give a list"),
    (lambda: ipcmules.Bus(daemons=["no-such-thing"]), ConfigError, r"'no-such-thing' is not an executable"),
    (lambda: ipcmules.Bus(daemons=["a 'b"]), ConfigError, r"is no command .*: close the quote"),
    (lambda: ipcmules.Bus(daemons=[""]), ConfigError, r"'' is no command: give one"),
    (lambda: ipcmules.Bus(touch_reload="x"), ConfigError, r"touch_reload='x': give a list"),
    (lambda: ipcmules.Bus(mules=None), ConfigError, r"mules=None: give a number of mules"),  # type: ignore[arg-type] # on purpose
    (lambda: ipcmules.Bus(farms=[1]), ConfigError, r"farms=\[1\]: give a dict"),  # type: ignore[arg-type] # on purpose
    (lambda: ipcmules.Bus(settings=["a"]), ConfigError, r"settings=\['a'\]: give a dict"),  # type: ignore[arg-type] # on purpose
    (lambda: ipcmules.Bus(crons=5), ConfigError, r"crons=5: give a list"),  # type: ignore[arg-type] # on purpose
    (lambda: ipcmules.Bus(spoolers=[1]), ConfigError, r"spoolers=\[1\]: give a list of directories"),  # type: ignore[list-item] # on purpose
    (lambda: ipcmules.Bus(spooler_cheap="no"), ConfigError, r"spooler_cheap='no': give True or False"),  # type: ignore[arg-type] # on purpose
    (lambda: ipcmules.Bus(spooler_nice=1.5), ConfigError, r"spooler_nice=1.5: give a number from -20"),  # type: ignore[arg-type] # on purpose
    (lambda: ipcmules.Bus(spooler_frequency="x"), ConfigError, r"spooler_frequency='x': give a number"),  # type: ignore[arg-type] # on purpose
    (lambda: ipcmules.Bus(cron_harakiri=-1), ConfigError, r"cron_harakiri=-1: give seconds"),
    (lambda: ipcmules.Bus(pyargv=[3]), ConfigError, r"pyargv=\[3\]: give a list of strings"),  # type: ignore[list-item] # on purpose
    (lambda: ipcmules.Bus().reload(), ipcmules.NotAttached, r"does not run in this program: start\(\) it"),
    (lambda: ipcmules.Bus(queue_share=2), ConfigError, r"queue_share=2: give a share"),
]


def _holding(thing: object) -> Callable[[], object]:
    return lambda: thing


@pytest.mark.parametrize(("make", "kind", "text"), CANNOT_BE, ids=[case[2][:30] for case in CANNOT_BE])
def test_a_description_that_cannot_be_is_refused_before_anything_starts(
    bus_env: object, make: Callable[[], object], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as raised:
        make()
    assert re.search(text, str(raised.value), re.DOTALL), str(raised.value)


def test_started_twice(bus_env: object) -> None:
    with ipcmules.Bus() as bus:
        with pytest.raises(
            BusRunning, match=f"on bus '{bus.name}' already, and a process has one: stop it first"
        ):
            bus.start()
        with pytest.raises(BusRunning, match=f"on bus '{bus.name}' already"):
            ipcmules.Bus().start()


def test_a_name_that_is_taken_names_the_masters_pid(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    program = scripts.write(
        tmp_path,
        "other.py",
        """
        import os
        import sys
        import ipcmules
        from ipcmules.member import lookup

        os.environ.pop("IPCMULES_BUS")
        lookup.ancestral_bus = lambda: None
        try:
            ipcmules.Bus(sys.argv[1]).start()
        except ipcmules.BusRunning as error:
            print(error)
        """,
    )
    with ipcmules.Bus(bus_name) as bus:
        text = scripts.output(program, bus_name)
        assert f"bus {bus_name!r} is running already (its master is pid {bus.pid})" in text
        assert "ipcmules stop" in text


FAILING = [
    ('mules=["raises.py"]', "ZeroDivisionError"),
    ('mules=["syntax.py"]', "SyntaxError"),
    ('mules=["nowhere_to_be_found:run"]', "nowhere_to_be_found"),
    ('mules=["raises_module:run"]', "KeyError: 'while it was loaded'"),
    ('mules=["good:missing"]', "missing"),
    ('imports=["raises_module"]', "KeyError: 'while it was loaded'"),
    ('imports=["nowhere_to_be_found"]', "nowhere_to_be_found"),
    ('imports=["raises_module"], mules=1, lazy_apps=True', "KeyError: 'while it was loaded'"),
    ("mules=[lambda: 1 / 0]", "ZeroDivisionError"),
]


@pytest.mark.parametrize(("arguments", "text"), FAILING)
def test_what_fails_to_load_fails_the_start_with_its_traceback(
    bus_env: object, tmp_path: Path, arguments: str, text: str
) -> None:
    scripts.write(tmp_path, "raises.py", "1 / 0\n")
    scripts.write(tmp_path, "syntax.py", "def (:\n")
    scripts.write(tmp_path, "raises_module.py", "raise KeyError('while it was loaded')\n")
    scripts.write(tmp_path, "good.py", "")
    program = scripts.write(
        tmp_path,
        "program.py",
        f"""
        import ipcmules

        if __name__ == "__main__":
            try:
                with ipcmules.Bus({arguments}):
                    print("started")
            except ipcmules.StartError as error:
                print(error)
            assert ipcmules.masterpid() == 0
        """,
    )
    printed = scripts.output(program)
    assert text in printed, printed


def test_without_a_main_guard_the_error_says_so(bus_env: object, tmp_path: Path) -> None:
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import ipcmules

        def run():
            ipcmules.mule_get_msg()

        with ipcmules.Bus(mules=[run]):
            pass
        """,
    )
    done = scripts.run(program)
    assert done.returncode == 1
    assert 'put `with Bus(...)` under `if __name__ == "__main__":`' in done.stderr


def test_start_error_is_what_the_name_says(bus_env: object) -> None:
    assert issubclass(StartError, RuntimeError)
    with pytest.raises(StartError, match="nowhere_to_be_found"):
        ipcmules.Bus(imports=["nowhere_to_be_found"]).start()
    assert ipcmules.masterpid() == 0
