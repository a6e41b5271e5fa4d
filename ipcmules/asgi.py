"""For web applications that are ASGI (FastAPI, Starlette, Litestar): they join the bus, and say so.

    app = FastAPI(lifespan=asgi.lifespan())

    @app.post("/orders")
    async def order(bus: Annotated[Attachment, Depends(asgi.bus)]): ...

Knows attach() and the lifespan that these frameworks share; imports none of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from ipcmules.embed.attachment import Attachment, attach
from ipcmules.errors import NotAttached

#: What an application starts with: called with it, a context that yields what each request's state has.
Lifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]

#: What this process has joined, None before its application starts.
_joined: Attachment | None = None


def lifespan(
    name: str | None = None, inner: Lifespan | None = None, required: bool = True
) -> Callable[[Any], AbstractAsyncContextManager[dict[str, Any]]]:
    """The lifespan of an application that joins a bus: pass it as lifespan=.

    name: the bus's; None for the one whose launcher started this process (IPCMULES_BUS). inner: another
    lifespan, which runs within this one. required: False has the application start without a bus, too; then
    bus() raises. A request's state has the bus as `bus` (request.state.bus), with what inner yields.

    At the start NotAttached ends the application where there is no such bus.
    """

    @contextlib.asynccontextmanager
    async def joined(app: Any) -> AsyncIterator[dict[str, Any]]:
        global _joined
        try:
            _joined = attach(name)
        except NotAttached:
            if required:
                raise
        state: dict[str, Any] = {} if _joined is None else {"bus": _joined}
        try:
            if inner is None:
                yield state
                return
            async with inner(app) as more:
                yield {**state, **(more or {})}
        finally:
            left, _joined = _joined, None
            # One that the launcher started belongs to its bus until it ends.
            if left is not None and name is not None:
                left.detach()

    return joined


def bus() -> Attachment:
    """What this process has joined: for Depends() in FastAPI, or to be called.

    Its mule_msg(), spool(), lock() and the others are as the flat functions; ipcmules.aio has those that a
    coroutine awaits. Raises NotAttached where no lifespan() runs, or there was no bus.
    """
    if _joined is None:
        raise NotAttached(
            "this process has joined no bus: give the application lifespan=ipcmules.asgi.lifespan(), and "
            "start it with `ipcmules run -- uvicorn ...`, or name a running bus in lifespan(name)"
        )
    return _joined
