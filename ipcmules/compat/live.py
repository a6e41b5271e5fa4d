"""Hooks that code assigns to the uwsgi module: uwsgi.mule_msg_hook = f and the others.

uWSGI looks each of them up when it needs it. Here a function of ours is given to the part of ipcmules that
needs it, once, when the name is first assigned; it looks the name up at each call. Knows hooks and
membership.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ipcmules.api import tasks
from ipcmules.functions import coroutines
from ipcmules.member import membership
from ipcmules.process import hooks

#: The names whose assignment matters.
NAMES = frozenset({"mule_msg_hook", "mule_msg_extra_hooks", "post_fork_hook", "atexit", "spooler"})

#: The uwsgi module, once it is made.
_module: ModuleType | None = None
_done: set[str] = set()


class Module(ModuleType):
    """The class of the uwsgi module: sees assignments, which a plain module has no way to (PEP 562)."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in NAMES:
            assigned(name, value)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        if name in NAMES:
            assigned(name, None)


class Hooks(list[Callable[[bytes], Any]]):
    """uwsgi.mule_msg_extra_hooks: a list that says when it is not empty any more."""

    def append(self, hook: Callable[[bytes], Any]) -> None:
        """As list.append; from then on the hook gets messages."""
        super().append(hook)
        hooks.install(_call_extra_hooks)

    def extend(self, several: Any) -> None:
        """As list.extend."""
        for each in several:
            self.append(each)


def watch(module: ModuleType) -> None:
    """See the assignments on this module from now on."""
    global _module
    _module = module
    module.__class__ = Module


def assigned(name: str, value: Any) -> None:
    """Something was assigned to one of NAMES."""
    if name == "mule_msg_hook":
        _message_hook(_call_message_hook, value)
    elif name == "mule_msg_extra_hooks":
        _message_hook(_call_extra_hooks, value)
    elif name == "spooler":
        _set_spooler(value)
    elif name not in _done:
        _done.add(name)
        if name == "post_fork_hook":
            hooks.add_post_fork(hooks.PostFork(_call_post_fork_hook))
        else:
            atexit.register(_call_atexit)


def _value(name: str) -> Any:
    return vars(_module).get(name) if _module is not None else None


def _message_hook(call: Callable[[bytes], Any], value: Any) -> None:
    if value:
        hooks.install(call)
    elif call in hooks.message_hooks:
        hooks.message_hooks.remove(call)


def _call_message_hook(message: bytes) -> Any:
    hook = _value("mule_msg_hook")
    return hook(message) if hook is not None else None


def _call_extra_hooks(message: bytes) -> None:
    for hook in list(_value("mule_msg_extra_hooks") or ()):
        coroutines.call(hook, message)


def _call_post_fork_hook() -> None:
    hook = _value("post_fork_hook")
    if hook is None:
        return
    _let_it_stay()
    coroutines.call(hook)


def _let_it_stay() -> None:
    """uWSGI's own uwsgidecorators runs mules' loops in this hook, which then never returns.

    So a mule in it counts as entered, and reads what a programmed one reads.
    """
    member = membership.peek()
    if member is None or member.role != "mule" or member.inbox is None:
        return
    from ipcmules.process.record import Record

    member.inbox.set_shared(True)
    Record(member).entered()


def _call_atexit() -> None:
    member = membership.peek()
    hook = _value("atexit")
    if hook is not None and (member is None or member.role not in ("template", "child")):
        coroutines.call(hook)


def _set_spooler(value: Any) -> None:
    tasks.set_spooler(_call_spooler if value is not None else None)


def _call_spooler(task: dict[Any, Any]) -> Any:
    hook = _value("spooler")
    return hook(task) if hook is not None else 0


#: Tasks of decorated functions too, where no function of that name is registered: uWSGI's own uwsgidecorators
#: assigns its dispatcher to uwsgi.spooler.
_call_spooler.takes_every_task = True  # type: ignore[attr-defined] # read by ipcmules.spooler.calls
