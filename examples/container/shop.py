"""A shop in a container: the request is answered at once, a mule counts it, a spooler confirms the order.

What is printed is the container's log.
"""

import os

import ipcmules
from ipcmules.decorators import mulefunc, spool


@mulefunc
def count(number):
    print(f"mule {ipcmules.mule_id()} counted order {number}", flush=True)


@spool(pass_arguments=True)
def confirm(number):
    print(f"order {number} is confirmed", flush=True)


def application(environ, start_response):
    number = environ["PATH_INFO"].strip("/") or "0"
    confirm(number)  # in the volume when this returns: it survives the container
    count(number)
    read_only = bool(os.statvfs("/").f_flag & os.ST_RDONLY)
    start_response("200 OK", [("Content-Type", "text/plain")])
    text = f"order {number} taken by uid {os.getuid()}, read-only root: {read_only}\n"
    return [text.encode()]
