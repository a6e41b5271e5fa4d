"""Stands in for uWSGI's module of this name under --compat: PYTHONPATH leads every process here."""

import os
import sys
from importlib import import_module

_OURS = "ipcmules.compat.uwsgidecorators"

try:
    _module = import_module(_OURS)
except ModuleNotFoundError:
    # A virtual environment of the application's own that ipcmules is not installed in.
    sys.path.append(os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "..")))
    _module = import_module(_OURS)

sys.modules[__name__] = _module
