"""A bus of a cluster inside a program: Bus(cluster=...)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ipcmules import Bus
from ipcmules.errors import ConfigError
from natsservers import Servers, needs_nats
from scripts import write

pytestmark = pytest.mark.slow

PROGRAM = """
    import os, sys, time
    import ipcmules

    def worker():
        while True:
            message = ipcmules.mule_get_msg().decode()
            print("has", message, ipcmules.redelivered(), flush=True)
            open(f"{message}.done", "w").close()

    if __name__ == "__main__":
        bus = ipcmules.Bus(
            mules=[worker, worker], queue_share=0.05, cluster=sys.argv[1], cluster_name="shop", host="web1",
            cluster_farms={"work": [1], "elsewhere": []}, cluster_mules=[2], cluster_deadline=5,
        )
        with bus:
            assert bus.farm_msg("work", "one", 20) and bus.mule_msg("two", "2@web1", 20)
            assert bus.farm_msg("elsewhere", "three", 20)
            while not (os.path.exists("one.done") and os.path.exists("two.done")):
                time.sleep(0.01)
"""


@needs_nats
def test_a_program_with_a_cluster(servers: Servers, tmp_path: Path) -> None:
    path = write(tmp_path, "program.py", PROGRAM)
    done = subprocess.run(
        [sys.executable, str(path), servers.urls],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split("\n")) == ["", "has one 0", "has two 0"]


@needs_nats
def test_what_is_refused_at_once(tmp_path: Path) -> None:
    url = "nats://h:1"
    for arguments, text in (
        ({"cluster": "h:1"}, "is no server of NATS"),
        ({"cluster": ["nats://u:secret@h:1"]}, "would be seen by ps"),
        ({"cluster_farms": {"work": [1]}}, "add --cluster URL"),
        ({"cluster": url, "cluster_farms": [1]}, "cluster_farms=.*give a dict"),
        ({"cluster": url, "cluster_farms": {"work": [9]}}, "names mule 9"),
        ({"cluster": url, "cluster_mules": "12"}, "give the numbers of mules as a list"),
        ({"cluster": url, "host": "a b"}, "not allowed"),
        ({"cluster": url, "cluster_replicas": 9}, "cluster_replicas=9"),
        ({"cluster": url, "cluster_ca": tmp_path / "missing"}, "is not there, or this user may not read it"),
    ):
        with pytest.raises(ConfigError, match=text) as error:
            Bus(mules=2, **arguments)  # type: ignore[arg-type]
        assert "secret" not in str(error.value)
    Bus(mules=2, cluster=[url, "tls://h:2"], host="web1", cluster_mules=range(1, 3))
