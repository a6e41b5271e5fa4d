"""An app of ordinary size for 100 idle mules: what a small web application imports, and a signal."""

from __future__ import annotations

import argparse
import asyncio
import decimal
import email.message
import gc
import html.parser
import http.client
import json
import os
import sqlite3
import unittest.mock
import urllib.request
import xml.etree.ElementTree

from benchmarks.programs.channel import DIRECTORY_VARIABLE
from ipcmules import register_signal

loaded = (
    argparse, asyncio, decimal, email.message, html.parser, http.client, json, sqlite3, unittest.mock,
    urllib.request, xml.etree.ElementTree,
)  # fmt: skip
#: Something for the collector to walk through.
records = [{"id": number, "tags": [str(number), str(number + 1)]} for number in range(20_000)]


def collect(number: int) -> None:
    """A full garbage collection, and one byte in a file for each mule that did it."""
    gc.collect()
    descriptor = os.open(
        os.path.join(os.environ[DIRECTORY_VARIABLE], "collected"),
        os.O_WRONLY | os.O_CREAT | os.O_APPEND,
        0o600,
    )
    os.write(descriptor, b"x")
    os.close(descriptor)


register_signal(30, "mules", collect)
