"""What is answered at which path: the page's files, what it shows as JSON, and what it does."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ipcmules.bus import log
from ipcmules.bus.places import Places
from ipcmules.errors import ConfigError, EventError, IpcMulesError, ReloadError, UnknownTarget
from ipcmules.snapshot import take
from ipcmules.snapshot.rates import Rates
from ipcmules.web import acting, looking
from ipcmules.web.guard import Application, Guard, Terms
from ipcmules.web.sampling import Sampler

#: The page's modules, page.js the first.
SCRIPTS = (
    *("page", "state", "asking", "texts", "building", "table", "plot", "wrongs"),
    *("overview", "processes", "list", "tasks", "letters", "events", "log"),
)
#: The page itself, which everybody may have: it shows nothing without the token.
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    **{f"/{each}.js": (f"{each}.js", "text/javascript; charset=utf-8") for each in SCRIPTS},
}


class Page:
    """The page of one bus."""

    def __init__(self, where: Places, read_only: bool) -> None:
        self._where = where
        self._read_only = read_only
        # One thread looks at tasks and touches them: a lock on a task's file is a process's, not a thread's.
        self._one: Executor = ThreadPoolExecutor(1, "bus")
        self._others: Executor = ThreadPoolExecutor(4, "long")
        self.sampler = Sampler(where, self._one)

    def application(self) -> Starlette:
        """The routes."""
        reads = {
            "overview": self._overview,
            "tasks": self._tasks,
            "task": self._task,
            "letters": self._letters,
            "letter": self._letter,
            "events": self._events,
            "log": self._log,
        }
        routes = [Route(path, _file(*named), methods=["GET"]) for path, named in FILES.items()]
        routes += [Route(f"/api/{name}", _answered(each), methods=["GET"]) for name, each in reads.items()]
        routes += [Route(f"/api/{name}", self._action(name), methods=["POST"]) for name in acting.ACTIONS]
        return Starlette(routes=routes)

    async def _in_turn(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._one, function, *arguments)

    # What it shows

    async def _overview(self, request: Request) -> Any:
        await self.sampler.look()
        seen = self.sampler.seen
        return {
            "bus": self._where.bus,
            "read_only": self._read_only,
            "problem": self.sampler.problem,
            "seen": None if seen is None else seen.to_json(),
            "rates": _rates(self.sampler.rates),
            "points": self.sampler.since(_number(request.query_params.get("since", "0"))),
        }

    async def _tasks(self, request: Request) -> Any:
        wanted = looking.Wanted.of(request.query_params)

        def look() -> Any:
            found, more = looking.tasks(self._where, wanted)
            return {"tasks": [looking.told(each) for each in found], "more": more}

        return await self._in_turn(look)

    async def _task(self, request: Request) -> Any:
        def look() -> Any:
            found = looking.task(self._where, request.query_params.get("key", ""))
            return {"task": None if found is None else looking.told(found, whole=True)}

        return await self._in_turn(look)

    async def _letters(self, request: Request) -> Any:
        search = request.query_params.get("search", "")
        return await self._in_turn(looking.dead_letters, self._where, search)

    async def _letter(self, request: Request) -> Any:
        def look() -> Any:
            found = looking.letter(self._where, request.query_params.get("id", ""))
            return {"letter": None if found is None else looking.message(found)}

        return await self._in_turn(look)

    async def _events(self, _request: Request) -> Any:
        def look() -> Any:
            return take(self._where, events=True, details=False).to_json()["events"]

        return {"events": await self._in_turn(look)}

    async def _log(self, _request: Request) -> Any:
        return await self._in_turn(looking.log_tail, self._where)

    # What it does

    def _action(self, name: str) -> Callable[[Request], Any]:
        action = acting.ACTIONS[name]

        async def act(request: Request) -> Any:
            given = _object(await request.body())
            executor = self._others if name in acting.LONG else self._one
            told = await asyncio.get_running_loop().run_in_executor(executor, action, self._where, given)
            log.event("info", f"the page was asked for {name}")
            return told

        return _answered(act)


def guarded(page: Page, terms: Terms) -> Application:
    """The page's application behind its guard."""
    return Guard(page.application(), terms)


def _file(name: str, kind: str) -> Callable[[Request], Any]:
    data = resources.files("ipcmules.web").joinpath("static", name).read_bytes()

    async def answer(_request: Request) -> Response:
        return Response(data, headers={"content-type": kind})

    return answer


def _answered(function: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """What a function returns as JSON; what it raises for people, with a status."""

    async def answer(request: Request) -> Response:
        try:
            return _json(await function(request))
        except (IpcMulesError, OSError) as error:
            return _json({"error": str(error)}, _status(error))
        except (ValueError, KeyError, TypeError) as error:
            return _json({"error": f"this cannot be asked: {error!r}"}, 400)
        except Exception:
            log.exception("the page failed:")
            return _json({"error": "the page failed: see the log"}, 500)

    return answer


def _status(error: Exception) -> int:
    if isinstance(error, ConfigError):
        return 400
    if isinstance(error, (UnknownTarget, EventError)):
        return 404
    return 409 if isinstance(error, ReloadError) else 503


def _json(value: Any, status: int = 200) -> Response:
    # ASCII: names may hold bytes that are no text, which UTF-8 cannot carry, and JSON's escapes can.
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), allow_nan=False)
    return Response(text.encode("ascii"), status, headers={"content-type": "application/json"})


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, (list, tuple)) else value


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise ConfigError("the body is no JSON") from error
    if not isinstance(found, dict):
        raise ConfigError("the body is no JSON object")
    return found


def _number(text: str) -> float:
    try:
        found = float(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no number") from error
    return found if math.isfinite(found) else 0.0


def _rates(found: Rates) -> dict[str, Any]:
    return {
        "messages": found.messages,
        "signals": found.signals,
        "tasks": found.tasks,
        "failures": found.failures,
        "processes": {f"{role} {number}": asdict(each) for (role, number), each in found.processes.items()},
        "functions": dict(found.functions),
        "directories": {path: asdict(each) for path, each in found.directories.items()},
        "queues": {endpoint: asdict(each) for endpoint, each in found.queues.items()},
    }
