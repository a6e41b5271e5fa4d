"""The line between the driver and a process under test: two FIFOs, one JSON line a request and an answer.

Knows nothing of buses. The driver holds its end of both FIFOs open, so a process sees the end of
its requests when the driver is gone, however it went.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

#: The directory that the FIFOs are in, for processes that the driver does not fork itself.
DIRECTORY_VARIABLE = "BENCH_DIRECTORY"


def paths(directory: str, name: str) -> tuple[str, str]:
    """The FIFOs of requests to, and of answers from, the process of that name."""
    return os.path.join(directory, f"{name}.requests"), os.path.join(directory, f"{name}.answers")


class Channel:
    """A process's end. Iterate over it for requests, answer each with `answer`."""

    def __init__(self, directory: str, name: str) -> None:
        requests, answers = paths(directory, name)
        self._requests = open(requests, encoding="utf-8")  # noqa: SIM115 - open as long as the process
        self._answers = open(answers, "w", encoding="utf-8")  # noqa: SIM115
        self.answer({"pid": os.getpid()})

    def __iter__(self) -> Iterator[tuple[str, list[Any]]]:
        while line := self._requests.readline():
            name, arguments = json.loads(line)
            yield name, arguments

    def answer(self, value: Any) -> None:
        self._answers.write(json.dumps(value) + "\n")
        self._answers.flush()


def serve(name: str, actions: dict[str, Callable[..., Any]], directory: str = "") -> None:
    """Do what the driver asks for until it asks for 'rest' or is gone. Returns then."""
    channel = Channel(directory or os.environ[DIRECTORY_VARIABLE], name)
    for request, arguments in channel:
        if request == "rest":
            return
        channel.answer(actions[request](*arguments))
