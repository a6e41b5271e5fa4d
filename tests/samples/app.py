"""The app of the bus that wrote the samples, and of those that read them. Its tasks fail if FAIL is set."""

import os
import signal as signals
import time

import ipcmules
from ipcmules.decorators import cron, signal, spool, spoolraw


def say(*words):
    print(" ".join(map(str, words)), flush=True)


@signal(17, target="mule")
def for_the_pool(number):
    say("signal", number)


@signal(18, target="mule1")
def for_one(number):
    say("signal", number)


@signal(19, target="farm_mail")
def for_a_farm(number):
    say("signal", number)


@cron("* * * * *", target="mule2")
def every_minute(number):
    say("a minute")


def program():
    """A mule: stuck until there is a file GATE, then it takes what there is."""
    say("entered")
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)
    while True:
        message = ipcmules.mule_get_msg()
        if message == b"kill me":
            os.kill(os.getpid(), signals.SIGKILL)
        say("message", message.decode())


@spool(pass_arguments=True)
def invoice(number, to):
    say("invoice", number, to)


@spoolraw(retries=3, backoff=30)
def brittle(task):
    if os.environ.get("FAIL"):
        if task["key"] == "dies":
            say("stops now")
            os.kill(os.getpid(), signals.SIGSTOP)  # whoever makes the samples kills it
        raise ValueError("as it was told")
    say("brittle", task["key"])
    return ipcmules.SPOOL_OK


@spoolraw(retries=0)
def hopeless(task):
    if os.environ.get("FAIL"):
        raise ValueError("no hope")
    say("hopeless", task["key"])
    return ipcmules.SPOOL_OK


def plain(task):
    """The spooler function: gets what is no call."""
    say("plain", task[b"key"].decode(), task["body"].decode())
    return ipcmules.SPOOL_OK


ipcmules.set_spooler(plain)
