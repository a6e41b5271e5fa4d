"""A Flask application that was written for uWSGI: a mule, a spooler, a timer, a cron and a lock.

    uwsgi --ini uwsgi.ini
    ipcmules run --compat --ini uwsgi.ini -- gunicorn -w 2 -b 127.0.0.1:8000 shop:app
    ipcmules run --config ipcmules.toml -- gunicorn -w 2 -b 127.0.0.1:8000 shop:app

The code is the same for all three. `ipcmules migrate uwsgi.ini -o ipcmules.toml` wrote ipcmules.toml. Then:

    curl -d to=someone@example.org http://127.0.0.1:8000/orders
    curl http://127.0.0.1:8000/state
"""

import os

import uwsgi
from flask import Flask, jsonify, request
from uwsgidecorators import cron, lock, mulefunc, spool, timer

HERE = os.path.dirname(os.path.abspath(__file__))

app = Flask(__name__)


def note(name, text):
    with open(os.path.join(HERE, name), "a") as file:
        file.write(f"{text}\n")


def lines(name):
    try:
        with open(os.path.join(HERE, name)) as file:
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


@cron(-1, -1, -1, -1, -1, target="mule")
def close_the_minute(signum):
    note("minutes", len(lines("orders")))


@app.post("/orders")
def order():
    number = next_number()
    bill(number)
    mail({"number": str(number), "to": request.form["to"]})
    return jsonify(number=number, worker=uwsgi.worker_id())


@app.get("/state")
def state():
    return jsonify({name: lines(name) for name in ("orders", "bills", "mails", "beats", "minutes")})
