"""A Flask application that was written for uWSGI: a mule, a spooler, a timer, a cron and a lock.

    uwsgi --ini uwsgi.ini
    ipcmules run --compat --ini uwsgi.ini -- gunicorn -w 2 -b 127.0.0.1:8000 shop:app

The code and uwsgi.ini are the same for both.
"""

import os

import uwsgi
from flask import Flask, jsonify, request
from uwsgidecorators import cron, lock, mulefunc, spool, timer

DATA = os.environ.get("DATA", ".")

app = Flask(__name__)


def note(name, text):
    with open(os.path.join(DATA, name), "a") as file:
        file.write(f"{text}\n")


def lines(name):
    try:
        with open(os.path.join(DATA, name)) as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


@lock
def next_number():
    """The number of a new order: one process at a time."""
    number = len(lines("orders")) + 1
    note("orders", number)
    return number


@mulefunc
def bill(number):
    note("bills", f"{number} in mule {uwsgi.mule_id()}")


@spool
def mail(task):
    note("mails", f"{task['number']} to {task['to']}")


@timer(1, target="mule")
def beat(signum):
    note("beats", uwsgi.mule_id())


@cron(0, 3, -1, -1, -1, target="mule")
def close_the_day(signum):
    note("days", "closed")


@app.post("/orders")
def order():
    number = next_number()
    bill(number)
    mail({"number": str(number), "to": request.form["to"]})
    return jsonify(number=number, worker=uwsgi.worker_id())


@app.get("/state")
def state():
    return jsonify({name: lines(name) for name in ("orders", "bills", "mails", "beats")})
