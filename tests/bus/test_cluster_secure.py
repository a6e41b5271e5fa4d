"""TLS, certificates of clients, JWTs and nkeys: real servers that ask for them, and what is never sent."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import natsjwt
from ipcmules import attach
from ipcmules.bus.config import BusConfig
from ipcmules.carrier import login
from ipcmules.errors import ConfigError
from natsservers import SMALL, Servers, _address, needs_nats
from scripts import write
from support import Launcher, run_cli, wait_until

trustme = pytest.importorskip("trustme")
pytest.importorskip("nkeys")
pytestmark = [needs_nats, pytest.mark.slow]

SECRET = "horse-battery"
WORKER = """
    import ipcmules
    while True:
        print("has", ipcmules.mule_get_msg().decode(), flush=True)
"""


def bus(tmp_path: Path, name: str, url: str, *options: str, env: dict[str, str] | None = None) -> Launcher:
    """A bus with one mule in farm 'work'."""
    write(tmp_path, "worker.py", WORKER)
    return Launcher(
        *("--bus", name, "--mule=worker.py", *SMALL, "--cluster", url, "--cluster-farm", "work:1", *options),
        cwd=tmp_path,
        env={**os.environ, **(env or {})},
    )


def works(launcher: Launcher, name: str, *secrets: str) -> None:
    """A message goes through the cluster, and nobody sees a secret."""
    with attach(name) as attached:
        assert attached.farm_msg("work", "it", 20)
    launcher.wait_output("has it")
    status = run_cli("status", "--cluster", "--json", "--bus", name)
    everybody = [psutil.Process(launcher.pid), *psutil.Process(launcher.pid).children(recursive=True)]
    seen = str([each.cmdline() for each in everybody]) + status.stdout + launcher.stderr + launcher.stdout
    runtime = Path(os.environ["IPCMULES_RUNTIME_DIR"])
    seen += "".join(each.read_bytes().decode("latin1") for each in runtime.rglob("*") if each.is_file())
    for secret in secrets:
        assert secret and secret not in seen


class Authority:
    """A CA, a server's certificate for the address that servers have here, and a client's."""

    def __init__(self, directory: Path) -> None:
        made = trustme.CA()
        self.ca, self.server, self.server_key, self.client, self.key = (
            str(directory / each) for each in ("ca.pem", "server.pem", "server.key", "web1.pem", "web1.key")
        )
        made.cert_pem.write_to_path(self.ca)
        server, client = made.issue_cert(_address()), made.issue_cert("web1.example.org")
        server.cert_chain_pems[0].write_to_path(self.server)
        server.private_key_pem.write_to_path(self.server_key)
        client.cert_chain_pems[0].write_to_path(self.client)
        client.private_key_pem.write_to_path(self.key)
        self.options = ("--tls", "--tlscert", self.server, "--tlskey", self.server_key)


def test_both_sides_have_certificates(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    made = Authority(tmp_path)
    with Servers(tmp_path, 1, *made.options, "--tlsverify", "--tlscacert", made.ca) as servers:
        url = servers.urls.replace("nats://", "tls://")
        options = ("--cluster-ca", "ca.pem", "--cluster-cert", "web1.pem", "--cluster-key", "web1.key")
        key = Path(made.key).read_text().splitlines()[1]
        with bus(tmp_path, bus_name, url, *options) as launcher:
            works(launcher, bus_name, key)
        names = {"CA": made.ca, "CERT": made.client, "KEY": made.key}
        env = {f"IPCMULES_CLUSTER_{name}": path for name, path in names.items()}
        with bus(tmp_path, bus_name, servers.urls, env=env) as launcher:
            works(launcher, bus_name, key)
        with bus(tmp_path, bus_name, url, "--cluster-ca", "ca.pem") as launcher:
            launcher.wait_log("cannot be reached")
        with bus(tmp_path, bus_name, url) as launcher:  # nobody that the system knows has signed it
            launcher.wait_log("certificate verify failed")


def test_a_jwt(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    arguments, credentials = natsjwt.operator_mode(tmp_path)
    lines = credentials.read_text().splitlines()
    with (
        Servers(tmp_path, 1, *arguments) as servers,
        bus(tmp_path, bus_name, servers.urls, "--cluster-credentials", "user.creds") as launcher,
    ):
        works(launcher, bus_name, lines[1], lines[5])


def test_an_nkey(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    arguments, seed = natsjwt.nkey_user(tmp_path)
    with (
        Servers(tmp_path, 1, *arguments) as servers,
        bus(tmp_path, bus_name, servers.urls, env={"IPCMULES_CLUSTER_CREDENTIALS": str(seed)}) as launcher,
    ):
        works(launcher, bus_name, seed.read_text().strip())


@contextlib.contextmanager
def plain_server() -> Iterator[tuple[str, bytearray]]:
    """Somebody who says that no encryption is needed; its URL, and what it hears."""
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.sendall(b'INFO {"server_id":"x","max_payload":1048576,"headers":true}\r\n')
                        while part := connection.recv(4096):
                            heard.extend(part)

        threading.Thread(target=serve, daemon=True).start()
        yield f"tls://127.0.0.1:{listener.getsockname()[1]}", heard


def test_nothing_is_sent_to_who_does_not_encrypt(bus_env: object, bus_name: str, tmp_path: Path) -> None:
    with plain_server() as (url, heard):
        env = {"IPCMULES_CLUSTER_TOKEN": SECRET}
        with bus(tmp_path, bus_name, url, env=env) as launcher:
            launcher.wait_log("does not encrypt, and TLS was asked for: nothing is sent to it")
            assert not heard
        # That is what a client says otherwise: the test would see it.
        with bus(tmp_path, bus_name, url.replace("tls", "nats"), env=env):
            wait_until(lambda: SECRET.encode() in heard)


def test_what_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def refused(*arguments: str) -> str:
        done = run_cli("run", "--mules", "1", "--cluster", "tls://h:1", *arguments, "--", "true")
        assert done.returncode == 2, done.stderr
        return done.stderr

    assert "does not exist" in refused("--cluster-ca", "missing")
    (tmp_path / "key").touch()
    assert "add --cluster-cert" in refused("--cluster-key", "key")


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("one\ntwo\n")
    with pytest.raises(ConfigError, match=r"give a \.creds file"):
        login.of(BusConfig(cluster=("nats://h:1",), cluster_credentials=str(path)))
    with pytest.raises(ConfigError, match="correct --cluster-ca"):
        login.of(BusConfig(cluster=("nats://h:1",), cluster_ca=str(path)))
    with pytest.raises(ConfigError, match="correct --cluster-cert"):
        login.of(BusConfig(cluster=("nats://h:1",), cluster_cert=str(path)))
    made = Authority(tmp_path)
    from cryptography.hazmat.primitives import serialization as forms

    key = forms.load_pem_private_key(Path(made.key).read_bytes(), None)
    secret = key.private_bytes(
        forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.BestAvailableEncryption(SECRET.encode())
    )
    path.write_bytes(secret)
    with pytest.raises(ConfigError, match="a key with a password cannot be"):
        login.of(BusConfig(cluster=("nats://h:1",), cluster_cert=made.client, cluster_key=str(path)))
    assert login.of(BusConfig(cluster=("nats://h:1",))).encrypted is False
    assert login.of(BusConfig(cluster=("nats://h:1", "tls://h:2"))).encrypted
