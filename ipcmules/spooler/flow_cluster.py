"""A chain or group of the cluster: its parts are tasks of the cluster, and how far it is stands there too.

Any host may run it, so nothing of it is on a disk. Asks this host's carrier, which tells the whole of its
parts' ends (carrier/tasks/flows.py). Knows the way to the carrier.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ipcmules.bus.places import Places
from ipcmules.cluster import tasks
from ipcmules.cluster.tasks import ClusterAway
from ipcmules.errors import Retry, SpoolError
from ipcmules.spooler import clustered, codec, flow_files, outcomes
from ipcmules.spooler.attempts import Record
from ipcmules.spooler.flow_files import State
from ipcmules.spooler.outcomes import End
from ipcmules.spooler.standing import Standing

#: So many parts are asked for at once: the carrier is to answer in time.
_TOGETHER = 500


class ClusterPlace:
    """See flow_places.Place. spooler: the cluster's, by its name. priority: of the whole, and so of its
    parts."""

    def __init__(self, where: Places, spooler: str, name: str, priority: str) -> None:
        self._where = where
        self._spooler = spooler
        self._name = name
        self._priority = priority
        #: Which version of the state this process knows: of two hosts that go on, one is refused.
        self._version = 0

    def _ask(self, do: str, body: bytes = b"", **more: Any) -> tuple[dict[str, Any], bytes]:
        head = {"do": do, "of": self._spooler, "name": self._name, **more}
        try:
            answer, data = tasks.ask(self._where, head, body)
        except ClusterAway as error:
            raise Retry(None, str(error)) from error
        if answer["said"] == "refused":
            raise SpoolError(answer["why"])
        return answer, data

    def state(self) -> State | None:
        """See Place."""
        answer, data = self._ask("flow")
        self._version = answer["version"]
        return flow_files.parsed(data)

    def save(self, state: State, titles: str) -> None:
        """See Place. Raises Retry too where another host has gone on."""
        data = json.dumps({**state._asdict(), "titles": titles, "time": time.time()}).encode()
        answer, _ = self._ask("flow-save", data, version=self._version)
        if answer["said"] != "saved":
            raise Retry(None, "another host goes on with it")
        self._version = answer["version"]

    def standings(self, parts: Sequence[str]) -> list[Standing]:
        """See Place."""
        found: list[Standing] = []
        for start in range(0, len(parts), _TOGETHER):
            asked = json.dumps(list(parts[start : start + _TOGETHER])).encode()
            _answer, data = self._ask("flow-parts", asked)
            found += [Standing(status, record=Record(reason=reason)) for status, reason in json.loads(data)]
        return found

    def clear_marks(self) -> None:
        """See Place: the ends of parts are the marks."""

    def mark(self, part: str) -> None:
        """See clear_marks()."""

    def put(self, part: str, task: Mapping[Any, Any]) -> None:
        """See Place: the cluster has stored it."""
        arguments = dict(task)
        body = arguments.pop("body", b"")
        if self._priority:
            arguments["priority"] = self._priority
        head = codec.pack(arguments)
        clustered.check(head, body)
        self._ask("flow-put", head + body, name=part)

    def end(self, part: str) -> End | None:
        """See Place."""
        _answer, data = self._ask("flow-end", name=part)
        return outcomes.parsed(data)

    def forget(self) -> None:
        """See Place: the carrier does that, when the cluster has heard of the end of the whole."""
