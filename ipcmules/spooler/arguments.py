"""The arguments of a call as they stand in its task: pickled, and in the body where they are too long for the
block. Knows dicts; neither functions nor files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipcmules.kernel.exhaustion import importing

ARGS, KWARGS, BODY = "args", "kwargs", "body"
#: Pickled arguments longer than this together go into the body: the block holds 65,535 bytes, and there must
#: be room for the other keys.
LONGEST = 60_000
#: Stands for `args` where the arguments are in the body. It is a pickle that raises where it is loaded: so
#: uWSGI, which does not look into the body, keeps such a task rather than calling the function with other
#: arguments.
_IN_BODY = b"cipcmules.spooler.calls\narguments_are_in_the_body\n(tR."


def packed(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as they stand in a task. Raises what pickling them raises."""
    with importing:
        import pickle

    positional, named = pickle.dumps(args), pickle.dumps(kwargs)
    if len(positional) + len(named) <= LONGEST:
        return {ARGS: positional, KWARGS: named}
    return {ARGS: _IN_BODY, KWARGS: pickle.dumps({}), BODY: pickle.dumps((args, kwargs))}


def with_first(task: Mapping[str, Any], value: Any) -> dict[str, Any]:
    """The dict of a call with pass_arguments, with another argument before those it has."""
    args, kwargs = unpacked(task[ARGS], task[KWARGS], task)
    rest = {key: each for key, each in task.items() if key not in (ARGS, KWARGS, BODY)}
    return rest | packed((value, *args), kwargs)


def unpacked(args: bytes, kwargs: bytes, task: Mapping[Any, Any]) -> tuple[Any, Any]:
    """The arguments of a task. Raises whatever loading them raises."""
    with importing:
        import pickle

    if args == _IN_BODY:
        positional, named = pickle.loads(task[BODY])
        return positional, named
    return pickle.loads(args), pickle.loads(kwargs)
