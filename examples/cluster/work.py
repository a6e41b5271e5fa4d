"""What every host runs: a hook for the farm's messages, a handler that all hosts run, and a task."""

import os
import socket
import time

import ipcmules
from ipcmules.decorators import signal, spool

HOST = os.environ.get("DEMO_HOST", socket.gethostname())


def encode(message):
    """Takes a third of a second; says so when another host had begun with it."""
    time.sleep(0.3)
    again = " (it was another host's, which died)" if ipcmules.redelivered() else ""
    print(f"{HOST}: {message.decode()}{again}", flush=True)


ipcmules.install_mule_msg_hook(encode)


@signal(17, target="mule1@all")
def prices_changed(number):
    print(f"{HOST}: reads the prices again", flush=True)


@spool(pass_arguments=True)
def send_mail(subject):
    time.sleep(0.3)
    print(f"{HOST}: sent: {subject}", flush=True)
