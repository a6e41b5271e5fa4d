"""Two hosts and a NATS server, as `make demo-cluster` runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from natsservers import free_port, needs_nats

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "cluster"


@needs_nats
@pytest.mark.timeout(200)
def test_a_host_dies_and_nothing_is_lost(bus_env: object) -> None:
    done = subprocess.run(
        [sys.executable, "demo.py"],
        cwd=EXAMPLE,
        env={**os.environ, "DEMO_PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "demo-web2 is dead" in done.stdout and "2 hosts read the prices" in done.stdout
    assert "20 tasks enqueued, 20 done" in done.stdout
    assert re.search(r"40 films sent, 40 encoded, \d+ of them delivered again", done.stdout), done.stdout
