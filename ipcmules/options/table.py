"""All options, in the order of help and of the reference, and where to find one by its name."""

from __future__ import annotations

from ipcmules.options.app import App
from ipcmules.options.cluster import Cluster
from ipcmules.options.events import Events
from ipcmules.options.hooks import Hooks
from ipcmules.options.launch import Launch
from ipcmules.options.messages import Messages
from ipcmules.options.mules import Mules
from ipcmules.options.option import Option, options_of
from ipcmules.options.processes import Processes
from ipcmules.options.sockets import Sockets
from ipcmules.options.spooler import Spooler
from ipcmules.options.state import State

#: Title and class of each group.
GROUPS: tuple[tuple[str, type], ...] = (
    ("Bus and surroundings", Launch),
    ("Mules, farms, workers", Mules),
    ("Application", App),
    ("Messages", Messages),
    ("Signals and events", Events),
    ("Spooler", Spooler),
    ("Processes, reload, locks", Processes),
    ("Shared state", State),
    ("Hooks", Hooks),
    ("Sockets", Sockets),
    ("Cluster", Cluster),
)

TABLE: tuple[Option, ...] = tuple(each for title, group in GROUPS for each in options_of(group, title))

#: Those that files have, by each of their names.
IN_FILES: dict[str, Option] = {name: each for each in TABLE if each.only != "line" for name in each.names}


def default_of(option: Option) -> object:
    """The value that its field has where nothing was given."""
    return getattr(dict(GROUPS)[option.group], option.field)


def default_text(option: Option) -> str:
    """The default of an option for people; '' where that is nothing, none, no or for ever."""
    value = default_of(option)
    if option.default or option.apart or not value:
        return option.default
    return f"{value:g}" if isinstance(value, float) else str(value)
