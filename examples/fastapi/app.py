"""A FastAPI application whose requests start tasks, send messages and share a number:

    ipcmules run --spooler spool --mule=clerk.py --import reports -- uvicorn --workers 2 app:app

Then:

    curl -d '{"name": "sales", "rows": 3}' -H 'Content-Type: application/json' http://127.0.0.1:8000/reports
    curl 'http://127.0.0.1:8000/reports?id=ID'
    curl -X POST 'http://127.0.0.1:8000/notes?text=hello'
"""

from typing import Annotated, Any

import reports
from fastapi import Depends, FastAPI
from pydantic import BaseModel

import ipcmules
from ipcmules import aio, asgi
from ipcmules.errors import TaskFailed

app = FastAPI(lifespan=asgi.lifespan())
#: The bus that this process has joined.
Bus = Annotated[Any, Depends(asgi.bus)]


class Wanted(BaseModel):
    name: str
    rows: int


@app.post("/reports")
async def create(wanted: Wanted):
    task = await reports.report.aspool(wanted.name, wanted.rows)
    return {"id": task.id}


@app.get("/reports")
async def look(id: str, wait: float = 0):
    task = ipcmules.task(id)
    try:
        return {"status": "succeeded", "report": await task.aresult(timeout=wait)}
    except TaskFailed as error:
        return {"status": "dead", "reason": error.reason}
    except ipcmules.TaskTimeout:
        return {"status": task.status(), "progress": task.progress}


@app.post("/notes")
async def note(text: str):
    return {"sent": await aio.mule_msg(text, 1, timeout=1)}


@app.get("/")
async def about(bus: Bus):
    return {"bus": bus.name, "spoolers": len(bus.spoolers())}
