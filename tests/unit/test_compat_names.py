"""Every name of uWSGI's Python module: it exists, is in docs/uwsgi.md, and does not pretend to work."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import socket
from pathlib import Path
from typing import Any

import pytest

import ipcmules
from ipcmules import Bus
from ipcmules.compat import absent, optional, quiet, snmp, uwsgi, uwsgidecorators

#: dir(uwsgi) of uWSGI 2.0.31 with a spooler, without what every module has.
REAL = [
    "SPOOL_IGNORE",
    "SPOOL_OK",
    "SPOOL_RETRY",
    "SymbolsImporter",
    "SymbolsZipImporter",
    "ZipImporter",
    "accepting",
    "add_cron",
    "add_file_monitor",
    "add_rb_timer",
    "add_timer",
    "add_var",
    "alarm",
    "applications",
    "async_connect",
    "async_sleep",
    "buffer_size",
    "cache_clear",
    "cache_dec",
    "cache_del",
    "cache_div",
    "cache_exists",
    "cache_get",
    "cache_inc",
    "cache_keys",
    "cache_mul",
    "cache_num",
    "cache_set",
    "cache_update",
    "call",
    "chunked_read",
    "chunked_read_nb",
    "cl",
    "close",
    "connect",
    "connection_fd",
    "cores",
    "disconnect",
    "embedded_data",
    "extract",
    "farm_get_msg",
    "farm_msg",
    "get_logvar",
    "green_schedule",
    "has_threads",
    "hostname",
    "i_am_the_lord",
    "i_am_the_spooler",
    "in_farm",
    "is_a_reload",
    "is_connected",
    "is_locked",
    "listen_queue",
    "lock",
    "log",
    "log_this_request",
    "logsize",
    "loop",
    "lord_scroll",
    "magic_table",
    "masterpid",
    "mem",
    "metric_dec",
    "metric_div",
    "metric_get",
    "metric_inc",
    "metric_mul",
    "metric_set",
    "metric_set_max",
    "metric_set_min",
    "micros",
    "mule_get_msg",
    "mule_id",
    "mule_msg",
    "numproc",
    "offload",
    "opt",
    "parsefile",
    "ready",
    "ready_fd",
    "recv",
    "register_rpc",
    "register_signal",
    "reload",
    "request_id",
    "rpc",
    "rpc_list",
    "scrolls",
    "send",
    "send_to_spooler",
    "sendfile",
    "set_logvar",
    "set_spooler_frequency",
    "set_user_harakiri",
    "set_warning_message",
    "setprocname",
    "signal",
    "signal_received",
    "signal_registered",
    "signal_wait",
    "sockets",
    "spool",
    "spooler_get_task",
    "spooler_jobs",
    "spooler_pid",
    "spooler_pids",
    "spoolers",
    "start_response",
    "started_on",
    "stop",
    "suspend",
    "total_requests",
    "unbit",
    "unlock",
    "version",
    "version_info",
    "wait_fd_read",
    "wait_fd_write",
    "websocket_handshake",
    "websocket_recv",
    "websocket_recv_nb",
    "websocket_send",
    "websocket_send_binary",
    "worker_id",
    "workers",
]

#: Only there where the bus has a spooler.
SPOOLER = {
    *("send_to_spooler", "set_spooler_frequency", "spool", "spooler", "spooler_get_task", "spooler_jobs"),
    *("spooler_pid", "spooler_pids", "spoolers"),
}

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "uwsgi.md"


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


#: The stubs have it, uWSGI itself has not.
STUBS_ALONE = {"sharedarea_update"}
NAMES = sorted({*REAL, *stubs("uwsgi")})


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_uwsgi_exists(name: str) -> None:
    assert hasattr(uwsgi, name) is (name not in {*SPOOLER, *optional.NAMES, *STUBS_ALONE})


@pytest.mark.parametrize("name", stubs("uwsgidecorators"))
def test_every_name_of_uwsgidecorators_exists(name: str) -> None:
    assert hasattr(uwsgidecorators, name)


def test_a_star_import_gives_what_it_gives_there() -> None:
    names: dict[str, Any] = {}
    exec("from ipcmules.compat.uwsgidecorators import *", names)
    assert {"uwsgi", "pickle", "sys", "partial", "Thread", "timer", "spool", "mulefunc"} <= set(names)
    assert set(stubs("uwsgidecorators")) <= set(names)


def sections() -> dict[str, dict[str, str]]:
    """The page's tables by their titles: name to the rest of its row."""
    _, *parts = DOCUMENT.read_text(encoding="utf-8").split("\n### ")
    return {
        part.partition("\n")[0]: dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", part, re.MULTILINE))
        for part in parts
    }


def test_the_page_has_every_name_once_in_its_group() -> None:
    found = sections()
    names = [name for rows in found.values() for name in rows]
    assert len(names) == len(set(names))
    assert set(NAMES) - {"queue_size", *STUBS_ALONE} <= set(names)
    assert set(found["Raise"]) == {*absent.SERVER, *absent.CLASSES}
    assert set(found["Answered quietly"]) == set(quiet.CALLS)
    for name, row in found["Answered quietly"].items():
        assert row.startswith(f"`{quiet.CALLS[name].value!r}` |"), name


@pytest.mark.parametrize("name", sorted({*absent.SERVER, *absent.CLASSES}))
def test_what_is_not_here_says_what_to_use(name: str) -> None:
    with pytest.raises(NotImplementedError, match=rf"uwsgi\.{name}\(\).*: \w+") as error:
        getattr(uwsgi, name)(1, 2, 3)
    assert isinstance(error.value, OSError)  # as uWSGI's own outside a request


@pytest.mark.parametrize(("name", "how"), sorted(quiet.CALLS.items()))
def test_what_has_no_meaning_is_answered(
    name: str, how: quiet.Answer, caplog: pytest.LogCaptureFixture
) -> None:
    values = {"s": "x", "b": b"x", "i": 1, "f": 0.0, "o": "x"}
    arguments = [values[code] for code in how.takes.partition("|")[0]]
    quiet._said.discard(name)
    with caplog.at_level("INFO", "ipcmules"):
        assert [getattr(uwsgi, name)(*arguments), getattr(uwsgi, name)(*arguments)] == [how.value] * 2
    assert caplog.text.count(f"uwsgi.{name}() does nothing here: {how.lost}") == 1
    with pytest.raises(TypeError, match=rf"{name}\(\) takes "):
        getattr(uwsgi, name)(*([1] * 9))


def test_arguments_are_looked_at_as_there() -> None:
    with pytest.raises(TypeError, match=r"set_logvar\(\) takes exactly 2 arguments \(1 given\)"):
        uwsgi.set_logvar("a")
    with pytest.raises(TypeError, match=r"i_am_the_lord\(\) argument 1 must be str, not bytes"):
        uwsgi.i_am_the_lord(b"x")
    assert uwsgi.i_am_the_lord("x") is False


def test_descriptors(tmp_path: Path) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    fd = uwsgi.connect(f"127.0.0.1:{server.getsockname()[1]}")
    peer, _ = server.accept()
    assert uwsgi.send(fd, b"hello") is True and peer.recv(9) == b"hello"
    peer.sendall(b"back")
    assert uwsgi.is_connected(fd) is True and uwsgi.recv(fd) == b"back"
    peer.close()
    assert uwsgi.recv(fd) is None
    assert uwsgi.close(fd) is uwsgi.close(fd) is uwsgi.recv(fd) is uwsgi.send(fd, b"x") is None
    assert uwsgi.is_connected(fd) is False
    server.close()
    assert uwsgi.connect(str(tmp_path / "nothing")) == uwsgi.async_connect("127.0.0.1:1") == -1
    with pytest.raises(NotImplementedError, match="yield the data"):
        uwsgi.send(b"data")
    for wrong, kind in (
        (lambda: uwsgi.wait_fd_read(0), OSError),
        (lambda: uwsgi.listen_queue(7), ValueError),
    ):
        with pytest.raises(kind):
            wrong()


def test_dir_shows_what_there_is() -> None:
    assert set(REAL) - SPOOLER <= set(dir(uwsgi))
    assert not SPOOLER & set(dir(uwsgi))
    assert not {"ipcmules", "api", "os", "_wire"} & set(dir(uwsgi))


def test_on_no_bus(bus_env: object) -> None:
    assert (uwsgi.masterpid(), uwsgi.worker_id(), uwsgi.mule_id(), uwsgi.workers()) == (0, 0, 0, ())
    assert (uwsgi.opt, uwsgi.numproc, uwsgi.i_am_the_spooler(), uwsgi.ready()) == ({}, 1, None, None)
    with pytest.raises(ValueError, match="on no bus"):
        uwsgi.mule_msg(b"x")


def test_names_follow_the_options(bus_env: object) -> None:
    assert not optional.NAMES & set(dir(uwsgi)) and not hasattr(uwsgi, "snmp_set_gauge")
    with Bus(mules=0, settings={"snmp-community": "public"}):
        assert optional.NAMES & set(dir(uwsgi)) == set(snmp.CALLS)
        assert uwsgi.snmp_incr_gauge(7, 5) is uwsgi.snmp_decr_gauge(7) is True
        assert uwsgi.snmp_set_gauge(0, 1) is uwsgi.snmp_set_gauge(101, 1) is None
        assert ipcmules.counter("snmp.7").value == 4
        with pytest.raises(OverflowError):
            uwsgi.snmp_set_gauge(256, 1)
        assert not hasattr(uwsgi, "sharedarea_read")


@pytest.mark.parametrize(
    ("settings", "answer"),
    [
        ({"legion": "one 127.0.0.1:5000 98 bf-cbc:hello"}, True),
        ({"legion": "two 127.0.0.1:5000 98 bf-cbc:hello"}, False),
        ({"legion": "one 225.1.1.1:4242 98 bf-cbc:hello"}, None),
        ({"legion": "one 127.0.0.1:5000 98 bf-cbc:hello", "legion-node": "one 10.0.0.2:5000"}, None),
    ],
)
def test_the_lord_of_a_legion(settings: dict[str, str], answer: bool | None, bus_env: object) -> None:
    with Bus(mules=0, settings=settings):
        if answer is None:
            with pytest.raises(NotImplementedError, match="several machines"):
                uwsgi.i_am_the_lord("one")
        else:
            assert uwsgi.i_am_the_lord("one") is answer
