"""Files whose change asks for something: for a reload, or for what --touch-exec and --hook-touch say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ipcmules.bus.config import BusConfig, TouchAction
from ipcmules.master.loop.selector import Loop
from ipcmules.master.reload.autoreload import AutoReload
from ipcmules.master.reload.touch import Touch


class Ask(Protocol):
    """As Reloads.ask()."""

    def __call__(self, why: str, only: str = "", command: bool = False) -> None:
        """Reload, and say why."""


class Watched:
    """The files that are looked at. watch() again with another configuration changes which.

    act(hook, path) does what --touch-exec and --hook-touch say, again(path) starts the daemons again that
    have it in their touch=.
    """

    def __init__(
        self, loop: Loop, ask: Ask, act: Callable[[str, str], None], again: Callable[[str], None]
    ) -> None:
        self._act = act
        self._actions: tuple[TouchAction, ...] = ()
        self._acting = Touch(loop, self._touched, each=True)
        self._daemons = Touch(loop, again, each=True)
        self._mules = Touch(loop, lambda path: ask(f"{path} was touched"))
        self._spoolers = Touch(loop, lambda path: ask(f"{path} was touched", "spooler"))
        self._all = Touch(loop, lambda path: ask(f"{path} was touched", command=True))
        self._sources = AutoReload(loop, lambda path: ask(f"{path} has changed", command=True))

    def watch(self, config: BusConfig) -> None:
        """Look at what this configuration names, and at nothing else."""
        self._daemons.watch(tuple({path: 0 for each in config.described_daemons for path in each.touch}))
        self._mules.watch(config.touch_reload)
        self._spoolers.watch(config.touch_spoolers_reload)
        self._all.watch(config.touch_all)
        self._sources.watch(config.autoreload, (config.directory, *config.paths))
        self._actions = config.touch_actions
        self._acting.watch(tuple(each.path for each in config.touch_actions))

    def _touched(self, path: str) -> None:
        for each in self._actions:
            if each.path == path:
                self._act(each.hook, path)
