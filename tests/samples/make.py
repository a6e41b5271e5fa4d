"""Write samples of every file and table of a bus, with the ipcmules that is installed: see README.md.

    python tests/samples/make.py          writes tests/samples/VERSION, and refuses if it is there

It takes up to a minute and a half: a cron has to fire.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import stat
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import ipcmules  # noqa: E402
from ipcmules.bus import table  # noqa: E402
from ipcmules.bus.places import places  # noqa: E402
from support import Launcher, run_cli, wait_until  # noqa: E402

BUS = "sample"
#: What stands in the samples for the directory in which they were made, and for the name of the machine.
#: Tasks tell the lengths of what they hold, so the former is as long as what it stands for.
DIRECTORY, HOST = "/srv/sample-data", "sample"
#: A time for a scheduled task that comes in the year 2100.
LATER = 4102444800
OPTIONS = ("--bus", BUS, "--mule=app:program", "--farm", "mail:1", "--locks", "1", "--processes", "1")


class Maker:
    """One set of samples: made below `home`, copied to `target`."""

    def __init__(self, home: Path, target: Path) -> None:
        assert len(str(home)) == len(DIRECTORY), home
        self.home, self.target = home, target
        self.gate = home / "gate"
        self.environment = {**os.environ, "GATE": str(self.gate), "PYTHONPATH": str(home)}
        (home / "app.py").write_bytes((HERE / "app.py").read_bytes())

    def start(self, *options: str, **more: str) -> Launcher:
        return Launcher(
            *OPTIONS, "--import", "app", *options, cwd=self.home, env={**self.environment, **more}
        )

    def dead_letters_and_a_cron(self) -> None:
        """A message whose mule dies of it, one that nobody takes, and the record of a cron that has fired."""
        self.gate.touch()
        crons = Path(places(BUS).crons)
        with self.start("--mule") as bus:
            _cli("msg", "--mule", "1", "kill me")
            _cli("msg", "--mule", "2", "for a mule without a hook")
            wait_until(lambda: len(json.loads(_cli("dead", "list", "--json"))) == 2, what="two dead letters")
            wait_until(crons.exists, 90, "the record of a cron", every=0.2)
            bus.wait_output("a minute")
        self.gate.unlink()

    def a_bus_with_all_in_it(self) -> None:
        """What a bus says of itself, its table while signals are pending, and what it keeps at its stop."""
        with self.start("--mule=app:program", "--mule-reload-mercy", "0") as bus:
            bus.wait_output("entered")
            for text in ("first", "second", "third"):
                _cli("msg", "--mule", "1", text)
            _cli("msg", "--farm", "mail", "to the farm")
            _cli("msg", "to the pool")
            with ipcmules.attach(BUS) as attached:
                attached.mule_msg(b"urgent", 1, priority=9)
                attached.flush()
            for number in (17, 17, 18, 19):
                _cli("signal", str(number))
            self._copy_bus()
            bus.stop()

    def _copy_bus(self) -> None:
        where = places(BUS)
        self._write("bus.json", self._clean(Path(where.description).read_bytes()))
        shared = table.open(where.table)
        self._write("table.gz", gzip.compress(bytes(shared.memory), mtime=0))
        said = json.loads(_cli("status", "--json", code=None))
        facts = {
            "magic": shared.cells[table.H_MAGIC],
            "layout": shared.layout._asdict(),
            "generation": shared.cells[table.H_GENERATION],
            "signals": {str(number): shared.text(number, table.E_TARGET) for number in (17, 18, 19)},
            "pending": {"mule0": [[17, 2]], "mule1": [[18, 1]], "farm.mail": [[19, 1]]},
            "mule pids": [each["pid"] for each in said["mules"]],
        }
        self._write("table.json", json.dumps(facts, indent=1).encode() + b"\n")

    def state(self) -> None:
        """What outlives the bus: dead letters, kept messages, pending signals, fired crons."""
        self._pack("state.tar.gz", Path(places(BUS).state))

    def tasks(self) -> None:
        """A spool directory with a task in every state, and what a spooler was running when it was killed."""
        spool = self.home / "spool"
        sys.path.insert(0, str(self.home))
        import app

        with self.start("--spooler", str(spool), FAIL="yes") as bus:
            app.hopeless(key="dead", spooler=str(spool))
            wait_until(lambda: [*spool.glob("dead/uwsgi*")], what="a dead task")
            app.brittle(key="failed", spooler=str(spool))
            wait_until(lambda: [*spool.glob("ipcmules_attempts_*")], what="a task that has failed")
            app.brittle(key="dies", spooler=str(spool))
            bus.wait_output("stops now")
            spooler = json.loads(_cli("status", "--json", code=None))["spoolers"][0]["pid"]
            bus.process.kill()  # the master first: it would take what is in the spooler's hand
            bus.wait()
            os.kill(spooler, signal.SIGKILL)
        with self.start() as bus:  # takes over what is left in the kernel, but has no spooler
            bus.stop()
        app.invoice(1, "someone@example.org", spooler=str(spool))
        app.invoice(2, "x" * 70_000, spooler=str(spool))  # too long for the arguments: they are in the body
        app.invoice.spool(3, "later@example.org", spooler=str(spool), at=LATER)
        app.brittle(key="priority", spooler=str(spool), priority=7)
        ipcmules.spool({"key": "plain", "body": b"the body", "spooler": str(spool)})
        self._pack("spool.tar.gz", spool)

    def _clean(self, data: bytes) -> bytes:
        """Without the name of the directory in which this runs."""
        return data.replace(os.fsencode(self.home), DIRECTORY.encode())

    def _write(self, name: str, data: bytes) -> None:
        (self.target / name).write_bytes(data)

    def _pack(self, name: str, directory: Path) -> None:
        """Pack a directory with modes and times, without the names of this machine and its users."""
        tar_file = io.BytesIO()
        with tarfile.open(fileobj=tar_file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(directory.rglob("*")):
                found = path.stat()
                about = tarfile.TarInfo(_without_host(str(path.relative_to(directory))))
                about.mode, about.mtime = stat.S_IMODE(found.st_mode), found.st_mtime_ns / 1e9
                about.type = tarfile.DIRTYPE if path.is_dir() else tarfile.REGTYPE
                data = b"" if path.is_dir() else self._clean(path.read_bytes())
                if path.name.startswith(
                    "ipcmules_hand"
                ):  # it holds the name of a task, and zeros up to its size
                    text = _without_host(data.rstrip(b"\0").decode())
                    data = text.encode().ljust(len(data), b"\0")
                about.size = len(data)
                tar.addfile(about, io.BytesIO(data))
        self._write(name, gzip.compress(tar_file.getvalue(), mtime=0))


def _without_host(name: str) -> str:
    return name.replace(f"_on_{os.uname().nodename}_", f"_on_{HOST}_")


def _cli(*arguments: str, code: int | None = 0) -> str:
    done = run_cli(*arguments, "--bus", BUS)
    assert code is None or done.returncode == code, done
    return done.stdout


def main() -> None:
    target = HERE / ipcmules.__version__
    target.mkdir()
    with tempfile.TemporaryDirectory(prefix="im-", dir="/tmp") as directory:
        home = Path(directory)
        os.environ["IPCMULES_RUNTIME_DIR"] = str(home / "run")
        os.environ["IPCMULES_STATE_DIR"] = str(home / "state")
        maker = Maker(home, target)
        os.environ["GATE"] = str(maker.gate)
        maker.dead_letters_and_a_cron()
        maker.a_bus_with_all_in_it()
        maker.state()
        maker.tasks()


if __name__ == "__main__":
    main()
