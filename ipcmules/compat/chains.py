"""What uWSGI's decorators leave in the uwsgi module: the chain of post-fork functions, and who runs a task.

Both `uwsgi` (post_fork_hook, spooler) and `uwsgidecorators` offer them. Knows the calls that tasks are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipcmules.functions import coroutines

#: Filled by code that builds its own chain; @postfork of ipcmules does not use it.
postfork_chain: list[Callable[[], Any]] = []


def postfork_chain_hook() -> None:
    """Run what the app itself put into postfork_chain; @postfork functions run without it."""
    for function in postfork_chain:
        coroutines.call(function)


def manage_spool_request(vars: dict[Any, Any]) -> int:
    """Run a task of a decorated function, as a spooler does. Raises KeyError if it is not loaded here."""
    from ipcmules.spooler import calls

    found = calls.find(vars)
    if found is None:
        raise KeyError(calls.name_in(vars))
    return int(found.run(vars))
