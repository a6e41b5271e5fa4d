"""uWSGI's touch-exec, hook-touch, attach-control-daemon and hook-post-fork: one bus that has them all."""

from __future__ import annotations

from pathlib import Path

from support import Launcher, run_cli, wait_until


def test_touched_files_a_hook_in_workers_and_a_control_daemon(
    bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    with Launcher(
        *("--bus", bus_name, "--processes", "1", "--hook-post-fork", "print:in the worker"),
        *("--touch-exec", "one echo it is $((1 + 1))", "--hook-touch", "one write:written by the master"),
        *("--hook-touch", "two safeexec:exit 3", "--hook-touch", "two unlink:nothing"),
        *("--attach-control-daemon", "sh -c 'until [ -e end ]; do sleep 0.05; done'"),
        cwd=tmp_path,
    ) as launcher:
        launcher.wait_ready()
        launcher.wait_output("in the worker\n")
        for each in ("one", "two"):
            (tmp_path / each).touch()
        for words in (
            *("touch 'echo it is $((1 + 1))': it is 2\n", "touch 'exit 3'", "ended with code 3"),
            "two was touched: unlink:nothing: [Errno 2]",
        ):
            wait_until(lambda words=words: words in launcher.stderr, 20, words)  # type: ignore[misc]
        wait_until((tmp_path / "written").exists, 20, "what the master writes")
        assert (tmp_path / "written").read_text() == "by the master"
        (tmp_path / "end").touch()
        assert launcher.wait() == 0
        launcher.wait_log("the bus stops with it")


def test_what_makes_no_sense_is_said(tmp_path: Path) -> None:
    for option, value, words in (
        ("--touch-exec", "file", "names no file and what is done then"),
        ("--hook-touch", "file thing:x", "is no hook that runs here"),
        ("--attach-control-daemon", "/no/such/program", "or correct what stands after attach-control-daemon"),
    ):
        done = run_cli("run", option, value, cwd=tmp_path)
        assert done.returncode == 2 and words in done.stderr, done.stderr
