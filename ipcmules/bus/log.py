"""One line an event, through the standard `logging` logger "ipcmules".

Knows nothing of the bus but the words that stand in the brackets. `logging` takes 10 ms and more to
import, so it is imported with the first event. In the processes that a master started, `configure()`
sends the lines to stderr; a program that attached itself keeps its own logging configuration.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ipcmules.kernel import exhaustion
from ipcmules.kernel.printable import for_people, shown

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping

NAME = "ipcmules"
#: Names the format for every process of a bus, 'text' or 'json'; `ipcmules run --log-format` sets it.
FORMAT_VARIABLE = "IPCMULES_LOG_FORMAT"
#: The least level for every process of a bus, and for those of a role, such as 'info,spooler=warning'.
LEVEL_VARIABLE = "IPCMULES_LOG_LEVEL"
#: The file that stderr is, for who writes to it again after it was moved away (kernel/lines.py).
FILE_VARIABLE = "IPCMULES_LOG_FILE"
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

#: What stands in the brackets; replaced as a whole, so a reader never sees half of it.
_identity = f"{NAME} {os.getpid()}"
#: The same in parts, for JSON: bus, role, number.
_parts: tuple[str, str, int] = ("", "", 0)
#: True once configure() was called: events go to our own stderr handler.
_own_handler = False
_logger: logging.Logger | None = None


def identify(bus: str, role: str, number: int = 0) -> None:
    """Set what stands in the brackets: the bus, the role ('master', 'mule'), the number if there is one."""
    global _identity, _parts
    _parts = (bus, role, number)
    _identity = f"{bus} {role} {number}" if number else f"{bus} {role}"
    if _logger is not None and _own_handler:
        _logger.setLevel(_least(role))


def _least(role: str) -> int:
    """The least level that this process writes."""
    found = LEVELS["info"]
    for each in filter(None, os.environ.get(LEVEL_VARIABLE, "").split(",")):
        which, equals, level = each.rpartition("=")
        if not equals or which == role:
            found = LEVELS.get(level, found)
    return found


def configure() -> None:
    """Send events of this process (and of what it forks) to stderr, whatever the app configures.

    In the format that IPCMULES_LOG_FORMAT names; text if it names none.
    """
    global _own_handler, _logger
    _own_handler = True
    _logger = None
    if FILE_VARIABLE in os.environ:
        from ipcmules.kernel import lines

        lines.follow(
            os.environ[FILE_VARIABLE]
        )  # what the app prints goes there too, before any event of ours


def prepare() -> None:
    """Make the logger now, not with the first event: without a descriptor nothing can be imported."""
    global _logger
    if _logger is None:
        _logger = _make_logger()


def is_json() -> bool:
    """True if events are written as JSON: a process that logs so writes nothing else to stderr."""
    return os.environ.get(FORMAT_VARIABLE) == "json"


def event(level: str, text: str, details: Mapping[str, object] | None = None, **fields: object) -> None:
    """Log one event.

    level is a name in LEVELS; fields are appended as key=value. Several lines of text (a traceback) are
    one event; what else cannot be seen is written out, as in '\\x1b'. details: fields of JSON alone, as the
    text tells them. Never raises for a level or a stream that cannot be written.
    """
    rest = "".join(f" {key}={for_people(str(value))}" for key, value in fields.items())
    _log(level, text + rest, (text, {**(details or {}), **fields}), None)


def failure(
    text: str, error: BaseException, trace: str = "", details: Mapping[str, object] | None = None
) -> None:
    """Log an exception of the app's as one event: `text`, and behind it the traceback.

    trace: how our own lines show it; '' for Python's way. Other handlers of the logger get the exception
    itself (exc_info), as error trackers want it. details: as event().
    """
    if not trace:
        trace = _traceback(error)
    _log("error", text, (f"{text}\n{trace}", dict(details or {})), error)


def _traceback(error: BaseException) -> str:
    try:
        import traceback
    except OSError as refused:
        if not exhaustion.refused(refused):
            raise
        return shown(error)
    return "".join(traceback.format_exception(error)).rstrip()


def exception(text: str, details: Mapping[str, object] | None = None) -> None:
    """Log the exception that is being handled, with its traceback, as one event. details: as event()."""
    error = sys.exception() if sys.version_info >= (3, 11) else sys.exc_info()[1]
    if error is None:
        event("error", text, details)
    else:
        failure(text, error, details=details)


def reopen() -> None:
    """Write to the log file under its name again, if it was moved away (--log-file)."""
    from ipcmules.kernel import lines

    lines.reopen()


def _log(level: str, text: str, ours: tuple[str, dict[str, object]], error: BaseException | None) -> None:
    """text: for handlers of the app's. ours: the text and the fields for our own."""
    global _logger
    if _logger is None:
        try:
            _logger = _make_logger()
        except OSError as refused:
            if not exhaustion.refused(refused):
                raise
            os.write(2, f"{ours[0]}\n".encode(errors="replace"))  # no descriptor to read a module by
            return
    if _own_handler:
        # logging.config disables loggers it was not told about.
        _logger.disabled = False
    whole, text = for_people(ours[0], lines=True), for_people(text, lines=True)
    shown = whole if error is not None else text
    extra = {"ipcmules": _identity, "ipcmules_event": (whole, _parts, ours[1], shown)}
    # The text is the message itself and not an argument of "%s": trackers group by it.
    _logger.log(LEVELS.get(level, 20), text, exc_info=error, extra=extra)


def drain() -> None:
    """Write lines of this process that wait, as far as somebody reads them by now. Never waits."""
    from ipcmules.kernel import lines

    lines.drain()
    _say_dropped()


def _say_dropped() -> None:
    from ipcmules.kernel import lines

    dropped = lines.take_dropped()
    if dropped:
        event("warning", f"{dropped} lines of this process were dropped before this one: nobody read stderr")


def _make_logger() -> logging.Logger:
    import logging

    logger = logging.getLogger(NAME)
    if not _own_handler:
        return logger
    logger.handlers[:] = [_stderr_handler()]
    logger.propagate = False
    logger.setLevel(_least(_parts[1]))
    return logger


def _stderr_handler() -> logging.Handler:
    import logging

    from ipcmules.kernel import lines

    class Lines(logging.Handler):
        """Writes each event with one write(2): lines of several processes don't mix (pipe(7), PIPE_BUF)."""

        def emit(self, record: logging.LogRecord) -> None:
            # What follows in an event of several lines is set in: it cannot pass for another event.
            text = self.format(record).replace("\n", "\n  ")
            lines.write(text.encode(errors="replace") + b"\n")
            _say_dropped()

    # Now, as logging is: as another user (uid=), or without descriptors, nothing can be imported any more.
    from ipcmules.kernel import times  # noqa: F401 # for the formatters

    handler = Lines()
    # A formatter class would only wrap these, and add the traceback once more.
    handler.format = _as_json if is_json() else _as_text  # type: ignore[method-assign]
    return handler


def _as_text(record: logging.LogRecord) -> str:
    from ipcmules.kernel import times

    values = record.__dict__
    level = record.levelname.lower()
    return f"{times.utc(record.created, ' ')} {level} [{values['ipcmules']}] {values['ipcmules_event'][3]}"


def _as_json(record: logging.LogRecord) -> str:
    """One event as JSON in one line; docs/reference/logging.md lists the keys."""
    import json

    from ipcmules.kernel import times

    text, (bus, role, number), fields, _shown = record.__dict__["ipcmules_event"]
    values = {
        "time": times.utc(record.created),
        "level": record.levelname.lower(),
        "bus": bus,
        "role": role,
        "number": number,
        "pid": record.process,
        "message": text,
    }
    # An event's own fields never hide these.
    return json.dumps({**fields, **values}, default=str)
