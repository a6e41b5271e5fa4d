"""What processes import when they first need it, imported before they are forked: once for all of them.

A mule, spooler or worker may come to it where there is no descriptor left to read a module by. Costs a
template some milliseconds. What few apps use (asyncio, dill, time zones) is not among it.
"""

from __future__ import annotations

import faulthandler  # noqa: F401
import hashlib  # noqa: F401
import json  # noqa: F401
import logging  # noqa: F401
import pickle  # noqa: F401
import traceback  # noqa: F401

from ipcmules.bus import control  # noqa: F401
from ipcmules.events import recorder, specs  # noqa: F401
from ipcmules.kernel import lines, times  # noqa: F401
from ipcmules.locks import locks  # noqa: F401
from ipcmules.messages.send import post, standstill  # noqa: F401
from ipcmules.process.mule import deliver  # noqa: F401
from ipcmules.signals import raiser  # noqa: F401
from ipcmules.spooler import calls, enqueue, outcomes, request, standing, wake  # noqa: F401
