"""What --hook-as-mule and --hook-post-fork say, done in each mule and worker before the post-fork functions.

A hook that fails ends the process, as in uWSGI.
"""

from __future__ import annotations

from ipcmules.bus.config import BusConfig
from ipcmules.process import actions


def run(config: BusConfig) -> None:
    """Run a mule's hooks, in order. Raises as actions.run()."""
    for hook in config.mule_hooks:
        actions.run(hook, "--hook-as-mule")


def run_in_worker(config: BusConfig) -> None:
    """Run a worker's hooks, in order. Raises as actions.run()."""
    for hook in config.worker_hooks:
        actions.run(hook, "--hook-post-fork")
