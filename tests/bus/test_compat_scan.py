"""Code in the wild looks for a free signal number: ten processes do, in different orders, and agree."""

from __future__ import annotations

import sys
from pathlib import Path

from scripts import write
from support import Launcher


def test_a_free_signal_is_looked_for_in_any_order(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    """Ten processes load the parts of an app in different orders: each handler has one signal on the bus."""
    for name in "abc":
        write(
            tmp_path,
            f"part_{name}.py",
            f"""
            import os, uwsgi
            for number in range(256):
                if not uwsgi.signal_registered(number):
                    break

            def handler_{name}(signum):
                with open("handled", "a") as file:
                    file.write("{name}\\n")

            uwsgi.register_signal(number, "workers", handler_{name})
            """,
        )
    write(
        tmp_path,
        "one.py",
        """
        import importlib, sys, uwsgi
        for name in sys.argv[1]:
            importlib.import_module("part_" + name)
        print("loaded", flush=True)
        for line in sys.stdin:
            uwsgi.signal(getattr(sys.modules["part_" + line.strip()], "number"))
            print("raised", flush=True)
        """,
    )
    write(
        tmp_path,
        "command.py",
        """
        import subprocess, sys, time
        orders = ["abc", "acb", "bac", "bca", "cab", "cba", "a", "ba", "ca", "cb"]
        all_ = [subprocess.Popen([sys.executable, "one.py", order], stdin=-1, stdout=-1, text=True) for order in orders]
        for each in all_:
            assert each.stdout.readline() == "loaded\\n"
        for each, part in zip(all_, "acbbcaabcb"):
            each.stdin.write(part + "\\n"); each.stdin.flush()
            assert each.stdout.readline() == "raised\\n"
        expected = {name: sum(name in order for order in orders) * "acbbcaabcb".count(name) for name in "abc"}
        deadline = time.time() + 20
        while time.time() < deadline:
            try:
                lines = open("handled").read().split()
            except FileNotFoundError:
                lines = []
            found = {name: lines.count(name) for name in "abc"}
            if found == expected:
                break
            time.sleep(0.05)
        print(found == expected, found, expected, flush=True)
        for each in all_:
            each.stdin.close()
            each.wait()
        """,
    )
    with Launcher(
        "--bus", bus_name, "--compat", command=[sys.executable, "command.py"], cwd=tmp_path
    ) as launcher:
        assert launcher.wait(60) == 0, launcher.output()
    assert launcher.stdout.startswith("True "), launcher.output()


def test_a_timer_on_a_scanned_signal_is_one_timer(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    """Ten processes load an app's parts in different orders, each choosing a free signal for its timer."""
    for name in "abc":
        write(
            tmp_path,
            f"part_{name}.py",
            f"""
            import uwsgi
            for number in range(256):
                if not uwsgi.signal_registered(number):
                    break

            def handler_{name}(signum):
                pass

            uwsgi.register_signal(number, "workers", handler_{name})
            uwsgi.add_timer(number, 100)
            """,
        )
    write(
        tmp_path,
        "one.py",
        """
        import importlib, sys
        for name in sys.argv[1]:
            importlib.import_module("part_" + name)
        print("loaded", flush=True)
        sys.stdin.read()
        """,
    )
    write(
        tmp_path,
        "command.py",
        """
        import ipcmules, subprocess, sys
        orders = ["abc", "acb", "bac", "bca", "cab", "cba", "a", "ba", "ca", "cb"]
        all_ = [
            subprocess.Popen([sys.executable, "one.py", order], stdin=-1, stdout=-1, text=True)
            for order in orders
        ]
        for each in all_:
            assert each.stdout.readline() == "loaded\\n"
        print("RESULT", sorted(each["handler"] for each in ipcmules.list_events()), flush=True)
        for each in all_:
            each.stdin.close()
            each.wait()
        """,
    )
    options = ("--bus", bus_name, "--compat")
    with Launcher(*options, command=[sys.executable, "command.py"], cwd=tmp_path) as launcher:
        assert launcher.wait(60) == 0, launcher.output()
    assert "RESULT ['handler_a', 'handler_b', 'handler_c']" in launcher.stdout, launcher.output()
