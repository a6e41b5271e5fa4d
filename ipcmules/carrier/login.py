"""What the carrier logs in with, and where: from the options, the environment and a file.

Nothing of it comes into a log, a description or an argument. Knows the options.
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass, field
from typing import Any

from ipcmules.bus.config import BusConfig
from ipcmules.errors import ConfigError

#: URLs, with a user and a password or a token in them, in place of those of --cluster.
URLS = "IPCMULES_CLUSTER"
#: In place of --cluster-credentials.
CREDENTIALS = "IPCMULES_CLUSTER_CREDENTIALS"
_USER, _PASSWORD, _TOKEN = (f"IPCMULES_CLUSTER_{each}" for each in ("USER", "PASSWORD", "TOKEN"))


@dataclass(frozen=True)
class Login:
    """servers: URLs. secrets: as the client's connect() takes them, never shown."""

    servers: list[str]
    secrets: dict[str, Any] = field(repr=False)

    @property
    def places(self) -> str:
        """The servers, for people: without users and passwords."""
        return ", ".join(re.sub(r"//.*@", "//", each) for each in self.servers)


def of(config: BusConfig) -> Login:
    """What a bus logs in with. Raises ConfigError where the credentials file cannot be read."""
    urls = [each.strip() for each in os.environ.get(URLS, "").split(",") if each.strip()]
    return Login(urls or list(config.cluster), _secrets(config))


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
    user, colon, password = text.partition(":")
    return {"user": user, "password": password} if colon else {"token": text}


def host(config: BusConfig) -> str:
    """This host's name in the cluster: of --host, or the system's."""
    return config.host or re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:64] or "host"
