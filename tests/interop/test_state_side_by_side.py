"""Calls of shared state under uWSGI and under ours, and what they give compared line by line."""

from __future__ import annotations

import mmap
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ipcmules.rings.ring import Ring
from realuwsgi import transcript
from support import Launcher

HERE = Path(__file__).resolve().parent
METRICS = ("--mule=metric_calls.py", "--metric", "a", "--metric", "name=b,initial_value=10,type=gauge")


def caches(more: int) -> tuple[str, ...]:
    """more: uWSGI holds one entry less than it is told."""
    described = (
        "name=one,items=100,blocksize=100,keysize=60,lazy=1",
        f"name=lru,items={3 + more},purge_lru=1",
        f"name=full,items={4 + more},blocksize=64",
        "name=initial,items=10,math_initial=7",
    )
    return ("--mule=cache_calls.py", *(word for each in described for word in ("--cache2", each)))


def compare(
    start_uwsgi: Callable[..., Any], bus: str, where: Path, theirs: tuple[str, ...], ours: tuple[str, ...]
) -> int:
    """How many calls there were; AssertionError with those that differ."""
    for each in HERE.glob("*_calls.py"):
        shutil.copy(each, where)
    server = start_uwsgi(*theirs)
    with Launcher("--bus", bus, "--compat", *ours, cwd=where) as launcher:
        launcher.wait_output("CALLED")
        here = transcript(launcher.stdout)
    server.wait_for("CALLED")
    there = transcript(server.text)
    assert len(here) == len(there) and not [line for line in there if line.endswith("NameError")]
    different = [
        f"{left}\n    here {right}" for left, right in zip(there, here, strict=True) if left != right
    ]
    assert not different, "\n".join(different)
    return len(here)


def test_caches(start_uwsgi: Callable[..., Any], bus_env: object, bus_name: str, tmp_path: Path) -> None:
    assert compare(start_uwsgi, bus_name, tmp_path, caches(1), caches(0)) > 75


def test_metrics(start_uwsgi: Callable[..., Any], bus_env: object, bus_name: str, tmp_path: Path) -> None:
    assert compare(start_uwsgi, bus_name, tmp_path, METRICS, METRICS) > 25


def test_queues(start_uwsgi: Callable[..., Any], bus_env: object, bus_name: str, tmp_path: Path) -> None:
    options = ("--mule=queue_calls.py", "--queue", "4", "--queue-blocksize", "4096")
    theirs = (*options, "--queue-store", "theirs")
    assert compare(start_uwsgi, bus_name, tmp_path, theirs, (*options, "--queue-store", "ours")) > 20
    here, there = (Ring(str(tmp_path / each), 4, 4096) for each in ("ours", "theirs"))
    assert here.last(4) == there.last(4) and here.last(1) == [b"stays"]


def test_areas_and_snmp(
    start_uwsgi: Callable[..., Any], bus_env: object, bus_name: str, tmp_path: Path
) -> None:
    page = mmap.PAGESIZE
    (tmp_path / "areafile").write_bytes(b"file area\n")
    (tmp_path / "offset").write_bytes(b"x" * page + b"abc" + b"y" * page)
    areas = ("1", "size=5000", "file=areafile,size=10", f"file=offset,size=0x10,offset={page}")
    options = [word for each in areas for word in ("--sharedarea", each)]
    options += ["--py-sharedarea", "100", "--mule=area_calls.py"]
    (tmp_path / "u.ini").write_text("[uwsgi]\nsnmp = 127.0.0.1:0\n")
    ours = (*options, "--ini", "u.ini")
    assert compare(start_uwsgi, bus_name, tmp_path, (*options, "--snmp=127.0.0.1:0"), ours) > 85


def test_packages(start_uwsgi: Callable[..., Any], bus_env: object, bus_name: str, tmp_path: Path) -> None:
    """cachelib, django-uwsgi-cache and cachecontrol-uwsgi, as they are."""
    options = (
        "--mule=package_calls.py",
        "--cache2",
        "name=default,items=100",
        "--cache2",
        "name=two,items=9",
    )
    assert compare(start_uwsgi, bus_name, tmp_path, options, options) > 25
