"""How the carrier logs in, and what it says of a cluster that does not let it, or is not ours."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import psutil
import pytest

from ipcmules.bus.config import BusConfig
from ipcmules.carrier import login
from ipcmules.errors import ConfigError
from ipcmules.options.values import cluster_farm
from natsservers import Servers, needs_nats
from support import Launcher, run_cli, wait_until

pytestmark = pytest.mark.slow

SECRET = "horse-battery"


def options(servers: Servers, bus: str) -> list[str]:
    return ["--bus", bus, "--mules", "1", "--cluster", servers.urls, "--cluster-farm", "work:1"]


@needs_nats
@pytest.mark.parametrize("how", ["environment", "file", "url"])
def test_a_password_is_used_and_never_shown(
    how: str, bus_env: dict[str, str], bus_name: str, tmp_path: Path
) -> None:
    environment, more = dict(os.environ), []
    with Servers(tmp_path, 1, "--user", "mule", "--pass", SECRET) as servers:
        if how == "environment":
            environment |= {"IPCMULES_CLUSTER_USER": "mule", "IPCMULES_CLUSTER_PASSWORD": SECRET}
        elif how == "file":
            (tmp_path / "login").write_text(f"mule:{SECRET}\n")
            more = ["--cluster-credentials", "login"]
        else:
            environment["IPCMULES_CLUSTER"] = servers.urls.replace("//", f"//mule:{SECRET}@")
        with Launcher(*options(servers, bus_name), *more, cwd=tmp_path, env=environment) as launcher:
            launcher.wait_log("cluster 'default' at nats://127.")
            everybody = [psutil.Process(launcher.pid), *psutil.Process(launcher.pid).children(recursive=True)]
            assert SECRET not in str([each.cmdline() for each in everybody])
            status = run_cli("status", "--cluster", "--json", "--bus", bus_name)
            assert status.returncode == 0
            files = [each for each in Path(bus_env["IPCMULES_RUNTIME_DIR"]).rglob("*") if each.is_file()]
            assert not any(SECRET.encode() in each.read_bytes() for each in files)
            assert SECRET not in status.stdout + launcher.stderr


@needs_nats
def test_a_wrong_password_is_said(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    environment = {**os.environ, "IPCMULES_CLUSTER_TOKEN": SECRET}
    with (
        Servers(tmp_path, 1, "--auth", "another") as servers,
        Launcher(*options(servers, bus_name), cwd=tmp_path, env=environment) as launcher,
    ):
        launcher.wait_log("cannot be reached: nats: 'Authorization Violation'")
        assert SECRET not in launcher.stderr


@needs_nats
def test_a_stream_of_somebody_else(servers: Servers, bus_name: str, tmp_path: Path) -> None:
    import nats

    async def make() -> None:
        client = await nats.connect(servers.urls)
        await client.jetstream().add_stream(name="ipcmules-default-farm-work", subjects=["theirs"])
        await client.close()

    asyncio.run(make())
    with Launcher(*options(servers, bus_name), cwd=tmp_path) as launcher:
        launcher.wait_log("stream ipcmules-default-farm-work is somebody else's: give the cluster another")
        done = run_cli("status", "--cluster", "--bus", bus_name)
        assert done.returncode == 1 and "somebody else's" in done.stdout
    with Launcher(*options(servers, bus_name), "--cluster-name", "other", cwd=tmp_path) as launcher:
        launcher.wait_log("cluster 'other'")
        assert wait_until(lambda: run_cli("status", "--cluster", "--bus", bus_name).returncode == 0)


def test_what_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def refused(*arguments: str) -> str:
        done = run_cli("run", "--mules", "1", *arguments, "--", "true")
        assert done.returncode == 2, done.stderr
        return done.stderr

    assert "would be seen by ps" in refused("--cluster", f"nats://mule:{SECRET}@host:4222")
    assert SECRET not in refused("--cluster", f"nats://mule:{SECRET}@host:4222")
    assert "write nats://HOST:PORT" in refused("--cluster", "10.0.0.5")
    assert "add --cluster URL" in refused("--cluster-farm", "work:1")
    assert "names mule 2" in refused("--cluster", "nats://h:1", "--cluster-farm", "work:2")
    assert "given twice" in refused("--cluster", "nats://h:1", "--cluster-farm", "a:1", "--cluster-farm", "a")
    assert "does not exist" in refused("--cluster", "nats://h:1", "--cluster-credentials", "missing")


def test_logins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = BusConfig(cluster=("nats://one:1", "nats://two:2"), cluster_farms=(cluster_farm("far"),))
    assert login.of(config) == login.Login(["nats://one:1", "nats://two:2"], {})
    monkeypatch.setenv("IPCMULES_CLUSTER_TOKEN", SECRET)
    assert login.of(config).secrets == {"token": SECRET} and SECRET not in repr(login.of(config))
    monkeypatch.setenv("IPCMULES_CLUSTER", f"nats://{SECRET}@three:3")
    assert login.of(config).places == "nats://three:3"
    path = tmp_path / "login"
    monkeypatch.setenv("IPCMULES_CLUSTER_CREDENTIALS", str(path))
    with pytest.raises(ConfigError, match="cannot be read"):
        login.of(config)
    path.write_text(f"{SECRET}\n")
    assert login.of(config).secrets == {"token": SECRET}
    path.write_text(f"mule:{SECRET}\n")
    assert login.of(config).secrets == {"user": "mule", "password": SECRET}
    assert login.host(BusConfig(host="web1")) == "web1" and login.host(BusConfig())
