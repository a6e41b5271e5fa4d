"""The function that runs a spooler's tasks: set_spooler()'s, beside those of decorators (spooler/calls.py).

Owns that one slot of this process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Function = Callable[[dict[Any, Any]], Any]

#: What set_spooler() was given, None: nothing.
function: Function | None = None


def set_function(new: Function | None) -> None:
    """Have tasks run by a function, None: by nobody but decorated ones. Raises TypeError."""
    global function
    if new is not None and not callable(new):
        raise TypeError(f"set_spooler() takes a function, not {new!r}")
    function = new
