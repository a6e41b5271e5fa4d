"""One line an event, through the standard `logging` logger "ipcmules".

Knows nothing of the bus but the words that stand in the brackets. `logging` takes 10 ms and more to
import, so it is imported with the first event. In the processes that a master started, `configure()`
sends the lines to stderr; a program that attached itself keeps its own logging configuration.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

NAME = "ipcmules"
#: How configure() has events written: lines for people, or one JSON object a line.
FORMATS = ("text", "json")
#: Names the format for every process of a bus; `ipcmules run --log-format` sets it.
FORMAT_VARIABLE = "IPCMULES_LOG_FORMAT"
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


def configure() -> None:
    """Send events of this process (and of what it forks) to stderr, whatever the app configures.

    In the format that IPCMULES_LOG_FORMAT names; text if it names none.
    """
    global _own_handler, _logger
    _own_handler = True
    _logger = None


def is_json() -> bool:
    """True if events are written as JSON: a process that logs so writes nothing else to stderr."""
    return os.environ.get(FORMAT_VARIABLE) == "json"


def event(level: str, text: str, **fields: object) -> None:
    """Log one event.

    level is a name in LEVELS; fields are appended as key=value. Several lines of text (a traceback)
    are one event. Never raises for a level or a stream that cannot be written.
    """
    global _logger
    if _logger is None:
        _logger = _make_logger()
    if _own_handler:
        # logging.config disables loggers it was not told about.
        _logger.disabled = False
    rest = "".join(f" {key}={value}" for key, value in fields.items())
    extra = {"ipcmules": _identity, "ipcmules_event": (text, _parts, fields)}
    _logger.log(LEVELS.get(level, 20), "%s", text + rest, extra=extra)


def exception(text: str) -> None:
    """Log the exception that is being handled, with its traceback, as one event."""
    import traceback

    event("error", f"{text}\n{traceback.format_exc().rstrip()}")


def _make_logger() -> logging.Logger:
    import logging

    logger = logging.getLogger(NAME)
    if not _own_handler:
        return logger
    logger.handlers[:] = [_stderr_handler()]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    return logger


def _stderr_handler() -> logging.Handler:
    import logging

    class Lines(logging.Handler):
        """Writes each event with one write(2): lines of several processes don't mix (pipe(7), PIPE_BUF)."""

        def emit(self, record: logging.LogRecord) -> None:
            try:
                os.write(2, f"{self.format(record)}\n".encode(errors="replace"))
            except OSError:
                pass  # nobody can be told

    handler = Lines()
    if is_json():
        handler.format = _as_json  # type: ignore[method-assign] # a formatter class would only wrap this
    else:
        handler.setFormatter(
            logging.Formatter("%(asctime)s.%(msecs)03d [%(ipcmules)s] %(message)s", "%Y-%m-%d %H:%M:%S")
        )
    return handler


def _as_json(record: logging.LogRecord) -> str:
    """One event as JSON in one line; docs/reference.md, "Logging", lists the keys."""
    import json
    from datetime import datetime

    text, (bus, role, number), fields = record.__dict__["ipcmules_event"]
    when = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
    values = {
        "time": when,
        "level": record.levelname.lower(),
        "bus": bus,
        "role": role,
        "number": number,
        "pid": record.process,
        "message": text,
    }
    # An event's own fields never hide these.
    return json.dumps({**fields, **values}, default=str)
