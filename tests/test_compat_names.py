"""Every name of uWSGI's Python module: it exists, is in docs/uwsgi.md, and does not pretend to work."""

from __future__ import annotations

import ast
import importlib.metadata
import re
from pathlib import Path
from typing import Any

import pytest

from ipcmules.compat import absent, uwsgi, uwsgidecorators

#: dir(uwsgi) of uWSGI 2.0.31 with a spooler, without what every module has.
REAL = """
SPOOL_IGNORE SPOOL_OK SPOOL_RETRY SymbolsImporter SymbolsZipImporter ZipImporter accepting add_cron
add_file_monitor add_rb_timer add_timer add_var alarm applications async_connect async_sleep buffer_size
cache_clear cache_dec cache_del cache_div cache_exists cache_get cache_inc cache_keys cache_mul cache_num
cache_set cache_update call chunked_read chunked_read_nb cl close connect connection_fd cores disconnect
embedded_data extract farm_get_msg farm_msg get_logvar green_schedule has_threads hostname i_am_the_lord
i_am_the_spooler in_farm is_a_reload is_connected is_locked listen_queue lock log log_this_request logsize
loop lord_scroll magic_table masterpid mem metric_dec metric_div metric_get metric_inc metric_mul metric_set
metric_set_max metric_set_min micros mule_get_msg mule_id mule_msg numproc offload opt parsefile ready
ready_fd recv register_rpc register_signal reload request_id rpc rpc_list scrolls send send_to_spooler
sendfile set_logvar set_spooler_frequency set_user_harakiri set_warning_message setprocname signal
signal_received signal_registered signal_wait sockets spool spooler_get_task spooler_jobs spooler_pid
spooler_pids spoolers start_response started_on stop suspend total_requests unbit unlock version
version_info wait_fd_read wait_fd_write websocket_handshake websocket_recv websocket_recv_nb websocket_send
websocket_send_binary worker_id workers
""".split()

#: Only there where the bus has a spooler.
SPOOLER = {
    *("send_to_spooler", "set_spooler_frequency", "spool", "spooler", "spooler_get_task", "spooler_jobs"),
    *("spooler_pid", "spooler_pids", "spoolers"),
}

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "uwsgi.md"


def stubs(module: str) -> list[str]:
    """The public names of a module of the types-uwsgi distribution."""
    files = importlib.metadata.files("types-uwsgi") or []
    (path,) = [each for each in files if str(each) == f"{module}-stubs/__init__.pyi"]
    names = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
        elif isinstance(node, ast.Assign):
            names += [each.id for each in node.targets if isinstance(each, ast.Name)]
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]


NAMES = sorted({*REAL, *stubs("uwsgi")})


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_uwsgi_exists(name: str) -> None:
    assert hasattr(uwsgi, name) is (name not in SPOOLER)


@pytest.mark.parametrize("name", stubs("uwsgidecorators"))
def test_every_name_of_uwsgidecorators_exists(name: str) -> None:
    assert hasattr(uwsgidecorators, name)


def test_a_star_import_gives_what_it_gives_there() -> None:
    names: dict[str, Any] = {}
    exec("from ipcmules.compat.uwsgidecorators import *", names)
    assert {"uwsgi", "pickle", "sys", "partial", "Thread", "timer", "spool", "mulefunc"} <= set(names)
    assert set(stubs("uwsgidecorators")) <= set(names)


def test_the_page_has_every_name_once() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    names = [name for name, _ in rows]
    assert len(names) == len(set(names))
    assert set(NAMES) <= set(names)
    said = {name for name, text in rows if text.startswith("NotImplementedError")}
    assert said == {*absent.SERVER, *absent.STORES, *absent.CLASSES}


@pytest.mark.parametrize("name", sorted({*absent.SERVER, *absent.STORES, *absent.CLASSES}))
def test_what_is_not_here_says_what_to_use(name: str) -> None:
    if name in ("cache_get", "cache_exists", "cache_del"):
        pytest.fail("these return None")
    with pytest.raises(NotImplementedError, match=rf"uwsgi\.{name}\(\).*: \w+"):
        getattr(uwsgi, name)(1, 2, 3)


def test_caches_are_not_there() -> None:
    assert uwsgi.cache_get("k") is uwsgi.cache_exists("k", "c") is uwsgi.cache_del("k") is None


def test_dir_shows_what_there_is() -> None:
    assert set(REAL) - SPOOLER <= set(dir(uwsgi))
    assert not SPOOLER & set(dir(uwsgi))
    assert not {"ipcmules", "api", "os", "_wire"} & set(dir(uwsgi))


def test_on_no_bus(bus_env: object) -> None:
    assert (uwsgi.masterpid(), uwsgi.worker_id(), uwsgi.mule_id(), uwsgi.workers()) == (0, 0, 0, ())
    assert (uwsgi.opt, uwsgi.numproc, uwsgi.i_am_the_spooler(), uwsgi.ready()) == ({}, 1, None, None)
    with pytest.raises(ValueError, match="on no bus"):
        uwsgi.mule_msg(b"x")
