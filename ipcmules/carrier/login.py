"""What the carrier logs in with, and where: from the options, the environment and a file.

Nothing of it comes into a log, a description or an argument. Knows the options.
"""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import ssl
from dataclasses import dataclass, field
from typing import Any

from ipcmules.bus.config import BusConfig
from ipcmules.errors import ConfigError

#: URLs, with a user and a password or a token in them, in place of those of --cluster.
URLS = "IPCMULES_CLUSTER"
#: In place of --cluster-credentials.
CREDENTIALS = "IPCMULES_CLUSTER_CREDENTIALS"
_USER, _PASSWORD, _TOKEN = (f"IPCMULES_CLUSTER_{each}" for each in ("USER", "PASSWORD", "TOKEN"))
#: In place of --cluster-ca, --cluster-cert and --cluster-key.
_CA, _CERT, _KEY = (f"IPCMULES_CLUSTER_{each}" for each in ("CA", "CERT", "KEY"))
#: What a URL begins with where all is to be encrypted.
_ENCRYPTED = "tls://"
#: A line of a .creds file; an nkey's seed of a user.
_CREDS, _SEED = "-----BEGIN NATS USER JWT-----", re.compile(r"SU[A-Z2-7]{56}\Z")


@dataclass(frozen=True)
class Login:
    """servers: URLs. secrets: as the client's connect() takes them, never shown. encrypted: or not at all."""

    servers: list[str]
    secrets: dict[str, Any] = field(repr=False)
    encrypted: bool = False

    @property
    def places(self) -> str:
        """The servers, for people: without users and passwords."""
        return ", ".join(re.sub(r"//.*@", "//", each) for each in self.servers)


def of(config: BusConfig) -> Login:
    """What a bus logs in with. Raises ConfigError where a file of it cannot be read, or is none."""
    urls = [each.strip() for each in os.environ.get(URLS, "").split(",") if each.strip()]
    urls = urls or list(config.cluster)
    tls = _tls(config, urls)
    return Login(urls, {**_secrets(config), **({"tls": tls} if tls else {})}, tls is not None)


def _tls(config: BusConfig, urls: list[str]) -> ssl.SSLContext | None:
    """How all is encrypted; None where nothing asks for that."""
    authority = config.cluster_ca or os.environ.get(_CA, "")
    certificate, key = config.cluster_cert or os.environ.get(_CERT, ""), ""
    if certificate:
        key = config.cluster_key or os.environ.get(_KEY, "")
    if not (authority or certificate or any(each.startswith(_ENCRYPTED) for each in urls)):
        return None
    # Every address that the servers tell of is verified as well: also those of nats:// URLs.
    try:
        context = ssl.create_default_context(cafile=authority or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the certificates {authority} cannot be read: {error}: correct --cluster-ca"
        ) from error
    if certificate:
        try:
            # Without a password it would be asked for at a terminal.
            context.load_cert_chain(certificate, key or None, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"the certificate {certificate} and its key {key or certificate} cannot be used: {error}: "
                "correct --cluster-cert and --cluster-key; a key with a password cannot be"
            ) from error
    return context


def _secrets(config: BusConfig) -> dict[str, Any]:
    path = config.cluster_credentials or os.environ.get(CREDENTIALS, "")
    if path:
        return _of_file(path)
    token, user = os.environ.get(_TOKEN), os.environ.get(_USER)
    if token:
        return {"token": token}
    return {"user": user, "password": os.environ.get(_PASSWORD, "")} if user else {}


def _of_file(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the credentials file {path} cannot be read: {error}: correct --cluster-credentials"
        ) from error
    if _CREDS in text or _SEED.match(text):
        if importlib.util.find_spec("nkeys") is None:
            raise ConfigError(f"{path} needs the package nkeys, which is not installed: pip install nkeys")
        # The client reads the file itself, each time it connects.
        return {"user_credentials" if _CREDS in text else "nkeys_seed": path}
    if "\n" in text:
        raise ConfigError(
            f"the credentials file {path} is none: write one line, USER:PASSWORD or a token, or give a "
            ".creds file"
        )
    user, colon, password = text.partition(":")
    return {"user": user, "password": password} if colon else {"token": text}


def host(config: BusConfig) -> str:
    """This host's name in the cluster: of --host, or the system's."""
    return config.host or re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:64] or "host"
