"""Users of a NATS server in operator mode: JWTs of an operator, an account and a user, signed with nkeys.

What stands in them: the documentation of NATS, "In Depth JWT Guide". A server takes an account from its own
configuration (the memory resolver), so nothing else is needed.
"""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path
from typing import Any

_UNLIMITED = -1


class _Key:
    def __init__(self, kind: str) -> None:
        import nkeys

        self.seed: bytes = nkeys.encode_seed(os.urandom(32), getattr(nkeys, f"PREFIX_BYTE_{kind}"))
        self._pair = nkeys.from_seed(bytearray(self.seed))
        self.public: str = self._pair.public_key.decode()

    def sign(self, data: bytes) -> bytes:
        return bytes(self._pair.sign(data))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _jwt(name: str, subject: _Key, issuer: _Key, **nats: Any) -> str:
    claims = {
        "jti": os.urandom(16).hex(),
        "iat": int(time.time()),
        "iss": issuer.public,
        "name": name,
        "sub": subject.public,
        "nats": {**nats, "version": 2},
    }
    head = {"typ": "JWT", "alg": "ed25519-nkey"}
    signed = ".".join(_text(json.dumps(each).encode()) for each in (head, claims))
    return f"{signed}.{_text(issuer.sign(signed.encode()))}"


def operator_mode(directory: Path) -> tuple[list[str], Path]:
    """Arguments for a server, and the .creds file of a user of its one account."""
    operator, system, account, user = map(_Key, ("OPERATOR", "ACCOUNT", "ACCOUNT", "USER"))
    names = ("subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage")
    limits = dict.fromkeys((*names, "streams", "consumer"), _UNLIMITED) | {"wildcards": True}
    plain = {**limits, "mem_storage": 0, "disk_storage": 0, "streams": 0, "consumer": 0}
    made = {
        system.public: _jwt("SYS", system, operator, type="account", limits=plain),
        account.public: _jwt("shop", account, operator, type="account", limits=limits),
    }
    operators = _jwt("tests", operator, operator, type="operator", system_account=system.public)
    configuration = directory / "operator.conf"
    preloaded = "\n".join(f"  {key}: {jwt}" for key, jwt in made.items())
    configuration.write_text(
        f"operator: {operators}\nsystem_account: {system.public}\nresolver: MEMORY\n"
        f"resolver_preload: {{\n{preloaded}\n}}\n"
    )
    unlimited = dict.fromkeys(("subs", "data", "payload"), _UNLIMITED)
    token = _jwt("mule", user, account, type="user", pub={}, sub={}, **unlimited)
    credentials = directory / "user.creds"
    credentials.write_text(
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    return ["-c", str(configuration)], credentials


def nkey_user(directory: Path) -> tuple[list[str], Path]:
    """Arguments for a server with one user that has an nkey, and the file of its seed."""
    user = _Key("USER")
    configuration = directory / "nkey.conf"
    configuration.write_text(f"authorization: {{ users: [ {{ nkey: {user.public} }} ] }}\n")
    seed = directory / "user.nk"
    seed.write_bytes(user.seed + b"\n")
    return ["-c", str(configuration)], seed
