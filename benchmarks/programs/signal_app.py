"""An app that registers signal 17 for mule 2. Loaded by either side."""

from __future__ import annotations

import importlib


def handler(number: int) -> None:
    """Does nothing: what is measured is the raise."""


try:
    register_signal = importlib.import_module("uwsgi").register_signal
except ImportError:
    from ipcmules import register_signal

register_signal(17, "mule2", handler)
