"""--web and `ipcmules web`: what the page's process answers and does, over HTTP, without a browser."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from test_exporter import _children, _switches

from conftest import BusEnvironment
from ipcmules.bus.places import places
from ipcmules.snapshot import take
from ipcmules.spooler import pauses
from support import Launcher, run_cli, wait_until
from webpage import HOSTILE, Client, Shown, address_of, token_of


def _paths(found: list[dict[str, Any]], function: str) -> list[str]:
    return [each["key"] for each in found if each["function"] == function]


def test_tasks(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    shown = Shown(tmp_path, bus_name)
    with shown.page() as (_launcher, client):
        shown.call("fails", "no <b>good</b>")
        shown.call("quiet", "later", at=ipcmules_later())
        shown.put(ud_spool_func=HOSTILE.encode("utf-8", "surrogateescape"), at=ipcmules_later())
        wait_until(lambda: client.get("tasks?state=dead")["tasks"], what="the dead task")
        [dead] = client.get("tasks?state=dead")["tasks"]
        assert dead["function"] == "fails" and "no <b>good</b>" in dead["reason"]
        whole = client.get(f"task?key={dead['key']}")["task"]
        assert "ValueError" in whole["traceback"] and "no <b>good</b>" in whole["arguments"]["args"]
        scheduled = client.get("tasks?state=scheduled")["tasks"]
        assert sorted(each["function"] for each in scheduled) == sorted(["quiet", scheduled_name()])
        # Search looks into functions, reasons and arguments.
        assert [each["key"] for each in client.get("tasks?search=GOOD")["tasks"]] == [dead["key"]]
        assert _paths(client.get("tasks?search=later")["tasks"], "quiet")
        assert client.get("tasks?search=nowhere")["tasks"] == []
        assert client.get("overview")["seen"]["tasks"]["directories"][0]["dead"] == 1
        # A scheduled one runs now, a dead one is tried again and dies again.
        [later] = _paths(scheduled, "quiet")
        assert client.do("tasks/retry", keys=[later, dead["key"]])["done"] == 2
        wait_until(lambda: client.get(f"task?key={later}")["task"] is None, what="the task that was to wait")
        wait_until(lambda: shown.ran().count("fails") == 4, what="two more attempts")
        wait_until(lambda: client.get("tasks?state=dead")["tasks"], what="the task that died again")
        gone = client.do("tasks/drop", keys=[later])
        assert (gone["done"], gone["failures"]) == (0, 1) and "it is gone" in gone["failed"][0]["reason"]
        # In bulk, by a filter; and the hostile one by its key.
        assert client.do("tasks/drop", filter={"state": "dead"})["done"] == 1
        [hostile] = client.get("tasks")["tasks"]
        assert client.do("tasks/drop", keys=[hostile["key"]])["done"] == 1
        assert client.get("tasks") == {"tasks": [], "more": False}
        # Nothing outside the bus's directories is a task, whatever a key says.
        for path in (f"{tmp_path}/runs", f"{shown.directory}/../runs", f"{shown.directory}/ipcmules_paused"):
            answer = client.ask("/api/tasks/drop", {"keys": [_key(path)]})
            assert answer.code == 400, answer.body
        for body in (b"", b"[]", b"{", b"[" * 100_000, b'{"keys": [1]}', b'{"keys": "x"}', b'{"filter": 1}'):
            assert client.ask("/api/tasks/drop", body).code == 400, body[:20]
        # Pausing, of the directory and of a function of any name.
        assert client.do("tasks/pause", directory=str(shown.directory), function=HOSTILE, paused=True)[
            "changed"
        ]
        assert HOSTILE in pauses.read(str(shown.directory)).functions
        assert (
            client.ask("/api/tasks/pause", {"directory": "/tmp", "function": None, "paused": True}).code
            == 400
        )


def test_letters_events_and_processes(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    shown = Shown(tmp_path, bus_name)
    with shown.page("--processes", "1") as (launcher, client):
        # Dead letters.
        first = shown.letter(b"not utf-8: \xff\xfe", reason=HOSTILE.replace("\udcff", ""))
        second, third = shown.letter(b"second", "farm.nobody"), shown.letter(b"third")
        assert [each["id"] for each in client.get("letters")["letters"]] == [first, second, third]
        assert client.get(f"letter?id={first}")["letter"]["text"] == "not utf-8: \\xff\\xfe"
        assert client.get("letter?id=../../other")["letter"] is None
        assert client.do("letters/drop", ids=[first, "no-such"])["done"] == 1
        sent = client.do("letters/requeue", ids=[second, third])
        assert (sent["done"], sent["failures"]) == (1, 1) and "nobody" in sent["failed"][0]["reason"]
        assert [each["id"] for each in client.get("letters?search=NOBODY")["letters"]] == [second]
        # Events: now, and not at all.
        events = {each["handler"]: each for each in client.get("events")["events"]}
        assert {"seldom", "nightly", "echo cron-said"} <= set(events)
        for name in ("seldom", "nightly", "echo cron-said"):
            assert events[name]["last"] is None and not events[name]["paused"]
            client.do("events/run", id=events[name]["id"])
        wait_until(lambda: {"seldom", "nightly"} <= set(shown.ran()), what="the runs")
        launcher.wait_log("cron-said")
        assert run_cli("events", "pause", "--bus", bus_name, events["seldom"]["id"][:12]).returncode == 0
        assert "paused" in run_cli("events", "--bus", bus_name).stdout
        found = {each["handler"]: each for each in client.get("events")["events"]}
        assert found["seldom"]["paused"] and found["seldom"]["last"] and found["echo cron-said"]["ticks"] == 1
        client.do("events/pause", id=events["seldom"]["id"], paused=False)
        assert not any(each["paused"] for each in client.get("events")["events"])
        again = run_cli("events", "--bus", bus_name, "run", events["seldom"]["id"])
        assert again.returncode == 0 and "told to run" in again.stdout
        wait_until(lambda: shown.ran().count("seldom") == 2, what="one more run")
        assert run_cli("events", "run", "--bus", bus_name, "no-such").returncode == 2
        assert client.ask("/api/events/run", {"id": "0" * 32}).code == 404
        # Stacks, of processes that go on.
        before = take(places(bus_name))
        for name in ("mule1", "spooler1", "worker1"):
            assert "most recent call first" in client.do("stacks", process=name)["text"]
        for name in ("mule3", "worker2", "mule0", "../mule1", "template"):
            assert client.ask("/api/stacks", {"process": name}).code == 404
        after = take(places(bus_name))
        assert [each.pid for each in after.processes] == [each.pid for each in before.processes]
        # One mule is replaced, and no other; then all.
        told = client.do("restart", process="mule2")
        assert told["pid"] == before.mules[1].pid
        mule = wait_until(lambda: _other(bus_name, told["pid"]), what="the successor of mule 2")
        assert mule.last_death == "was replaced because somebody asked for it"
        assert take(places(bus_name)).mules[0].pid == before.mules[0].pid
        assert client.do("reload") == {"reloaded": True}
        now = take(places(bus_name))
        assert now.reloads == 1 and now.mules[0].pid != before.mules[0].pid
        # The log, which says what was asked for.
        log = client.get("log")
        assert log["problem"] == "" and "cron-said" in log["text"]
        launcher.wait_log("the page was asked for reload")
        names = {"mule 1", "spooler 1", "worker 1"}
        wait_until(lambda: names <= set(client.get("overview")["rates"]["processes"]), what="rates")


def test_who_may(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    shown = Shown(tmp_path, bus_name)
    with shown.page("--web-host", "shop.example") as (launcher, client), _silent(client.address) as silent:
        for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
            answer = client.ask(path, Authorization="")
            assert answer.code == 200 and answer.headers["content-type"].startswith(kind)
            assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert client.ask("/api/overview", Authorization="").code == 401
        assert client.ask("/api/overview", Host="evil.example").code == 421
        assert client.ask("/api/overview", Host="Shop.Example").code == 200
        assert client.ask("/api/reload", {}, Origin="http://evil.example").code == 403
        assert client.ask("/api/reload", {}, Sec_Fetch_Site="cross-site").code == 403
        assert client.ask("/api/nothing").code == 404
        assert client.ask("/api/reload").code == 405, "GET changes nothing"
        assert take(places(bus_name)).reloads == 0
        token_file = Path(places(bus_name).state, "web.token")
        assert token_file.stat().st_mode & 0o777 == 0o600 and token_file.read_text().strip() == client.token
        # The same by a Unix socket that nobody else may open.
        path = tmp_path / "page.sock"
        assert path.stat().st_mode & 0o777 == 0o600
        assert Client(str(path), client.token).get("overview")["bus"] == bus_name
        # A page that only shows, of a process of its own, which ends with SIGTERM and removes its socket.
        with _own_page("--bus", bus_name, "--read-only", "--address", "own.sock", cwd=tmp_path) as (
            own,
            link,
        ):
            address, _slash, token = link.partition("/#token=")
            assert token == client.token
            showing = Client(address, token)
            assert showing.get("overview")["read_only"] is True
            for action in ("tasks/drop", "reload", "stacks"):
                assert showing.ask(f"/api/{action}", {"process": "mule1"}).code == 403
            own.send_signal(signal.SIGTERM)
            assert own.wait(20) == 0
        assert not (tmp_path / "own.sock").exists()
        # Who says half a request is hung up on.
        assert silent.recv(100) == b""
        # It is started again, with its sockets and token.
        page = _children(launcher.pid, " web")
        os.kill(page, signal.SIGKILL)
        wait_until(lambda: _children(launcher.pid, " web") not in (0, page), what="its successor")
        assert client.get("overview")["seen"]["state"] == "ready"
    assert not path.exists()


def test_without_the_bus(bus_env: BusEnvironment, bus_name: str) -> None:
    """The page shows a bus that is not there, and finds it when it is."""
    with _own_page("--bus", bus_name) as (own, link):
        address, _slash, token = link.partition("/#token=")
        client = Client(address, token)
        assert client.get("overview")["seen"]["state"] == "absent"
        assert client.get("events") == {"events": None}
        assert "does not run" in client.get("log")["problem"]
        for action in ("reload", "restart", "stacks", "events/run"):
            answer = client.ask(f"/api/{action}", {"process": "mule1", "id": "0" * 32})
            assert answer.code == 503 and bus_name in answer.json["error"]
        with Launcher("--bus", bus_name, "--mules", "1"):
            wait_until(lambda: client.get("overview")["seen"]["state"] == "ready", what="the bus")
        own.send_signal(signal.SIGINT)
        assert own.wait(20) == 130


def test_nobody_wakes_up(bus_env: BusEnvironment, bus_name: str) -> None:
    given = ("--mules", "2", "--metrics", "127.0.0.1:0", "--web", "127.0.0.1:0")
    with Launcher("--bus", bus_name, *given) as launcher:
        client = Client(address_of(launcher), token_of(bus_name))
        assert client.ask("/").code == 200  # it has begun to serve; nobody looks at the bus
        children = [_children(launcher.pid, each) for each in (" web", "exporter")]

        def woken() -> list[int]:
            mules = [each.pid for each in take(places(bus_name)).mules]
            return [_switches(pid) for pid in (launcher.pid, *children, *mules)]

        def quiet() -> bool:
            before = woken()
            signal.sigtimedwait([], 1.0)
            return woken() == before

        wait_until(quiet, 60, what="a second in which nobody woke up")


def test_what_cannot_be_started(bus_env: BusEnvironment, bus_name: str, tmp_path: Path) -> None:
    def refused(*options: str) -> str:
        ended = run_cli("run", "--bus", bus_name, "--mules", "1", *options)
        assert ended.returncode == 2, ended
        return str(ended.stderr)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "{}:{}".format(*taken.getsockname())
        assert f"--web {address}: Address already in use" in refused("--web", address)
    assert "'nowhere:port' is no address" in refused("--web", "nowhere:port")
    own = tmp_path / "token"
    own.write_text("short\n")
    own.chmod(0o600)
    assert "cannot be used: write 20 or more" in refused("--web", "127.0.0.1:0", "--web-token-file", str(own))
    own.write_text("a-token-of-my-own-which-is-long\n")
    own.chmod(0o644)
    assert "is open to others" in refused("--web", "127.0.0.1:0", "--web-token-file", str(own))
    own.chmod(0o600)
    told = run_cli("web", "--bus", bus_name, "--token", "--token-file", str(own))
    assert told.stdout.strip() == "a-token-of-my-own-which-is-long"
    for arguments in (["run", "--web", "127.0.0.1:0"], ["web"]):
        hidden = "import sys; sys.modules['starlette'] = None; from ipcmules.cli.main import main; "
        program = hidden + f"main({[*arguments, '--bus', bus_name]!r})"
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert ended.returncode == 2 and "pip install 'ipcmules[web]'" in ended.stderr, ended


@contextmanager
def _own_page(*options: str, cwd: Path | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`ipcmules web`, and the first link that it prints."""
    command = [sys.executable, "-m", "ipcmules", "web", "--address", "127.0.0.1:0", *options]
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().partition("http://")[2].strip()
        finally:
            process.kill()


def _silent(address: str) -> socket.socket:
    host, _colon, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)), 60)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
    return connection


def _other(bus: str, pid: int) -> Any:
    mule = take(places(bus)).mules[1]
    return mule if mule.pid not in (0, pid) else None


def _key(path: str) -> str:
    import base64

    return base64.urlsafe_b64encode(path.encode()).decode()


def ipcmules_later() -> str:
    """A moment in an hour, as tasks say it."""
    import time

    return str(time.time() + 3600)


def scheduled_name() -> str:
    """How the hostile function is told."""
    return HOSTILE.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
