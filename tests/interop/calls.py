"""A mule's program that makes calls of the uwsgi module, and prints what each gives. Run under both."""

import os
import signal

import uwsgi


def kind(error):
    """The built-in class that the error belongs to: ours are subclasses."""
    for each in (TypeError, ValueError, OSError):
        if isinstance(error, each):
            return each.__name__
    return type(error).__name__


def show(text):
    try:
        result = repr(eval(text))
    except Exception as error:
        result = kind(error)
    print("CALL", text, "->", result, flush=True)


def sort(value):
    return sorted(value, key=repr)


def told(task):
    """What spooler_get_task() says of a task."""
    path = uwsgi.spool(task)
    found = uwsgi.spooler_get_task(path.decode())
    return found.pop("spooler_task_name") == path, len(found), sort(key for key in found), found.get("body")


CALLS = """
uwsgi.set_logvar("a", "b"), uwsgi.set_logvar(b"a", "b")
uwsgi.set_logvar("a")
uwsgi.get_logvar("nothing"), uwsgi.log_this_request(), uwsgi.disconnect()
uwsgi.set_warning_message("hello")
uwsgi.set_warning_message(b"x")
uwsgi.i_am_the_lord("x"), uwsgi.lord_scroll("x"), uwsgi.scrolls("x")
uwsgi.i_am_the_lord(b"x")
uwsgi.is_connected(999), uwsgi.accepting(), uwsgi.listen_queue()
uwsgi.listen_queue(7)
uwsgi.async_sleep(0), uwsgi.suspend(), uwsgi.green_schedule(), uwsgi.ready_fd()
uwsgi.wait_fd_read(99)
uwsgi.recv(999), uwsgi.send(999, b"x"), uwsgi.connect("127.0.0.1:1"), uwsgi.close(999), uwsgi.offload("x")
uwsgi.embedded_data("x")
uwsgi.metric_get("x"), uwsgi.metric_inc("x"), uwsgi.metric_dec("x", 2), uwsgi.metric_mul("x", 2)
uwsgi.metric_div("x", 2), uwsgi.metric_set("x", 3), uwsgi.metric_set_max("x", 3), uwsgi.metric_set_min("x", 3)
uwsgi.metric_get(b"x")
uwsgi.cache_set("k", b"v"), uwsgi.cache_update("k", b"v"), uwsgi.cache_get("k"), uwsgi.cache_del("k")
uwsgi.cache_clear(), uwsgi.cache_clear("x"), uwsgi.cache_inc("k"), uwsgi.cache_dec("k"), uwsgi.cache_num("k")
uwsgi.cache_keys()
[hasattr(uwsgi, "queue_" + each) for each in ("push", "get", "size")]
[hasattr(uwsgi, each) for each in ("sharedarea_read", "snmp_set_gauge", "metric_get", "cache_set")]
uwsgi.mule_id()
uwsgi.worker_id()
uwsgi.masterpid() > 0
uwsgi.i_am_the_spooler()
uwsgi.in_farm()
uwsgi.in_farm("f")
uwsgi.in_farm("nobody")
uwsgi.mule_get_msg(timeout=0)
uwsgi.mule_msg(b"bytes", 1)
uwsgi.mule_get_msg(timeout=2)
uwsgi.mule_msg("text", 1)
uwsgi.mule_get_msg(True, True, 65536, 2)
uwsgi.mule_msg(b"")
uwsgi.mule_msg("pool")
uwsgi.mule_get_msg(timeout=2)
uwsgi.farm_msg("f", "farm")
uwsgi.mule_get_msg(timeout=2)
uwsgi.farm_msg("f", b"more")
uwsgi.farm_get_msg()
uwsgi.farm_msg("nobody", b"x")
uwsgi.mule_msg()
uwsgi.mule_msg(123)
uwsgi.mule_msg(None)
uwsgi.farm_msg("f")
uwsgi.mule_get_msg(timeout=1)
uwsgi.signal_registered(17)
uwsgi.signal_registered(18)
uwsgi.signal(18)
uwsgi.signal_received()
uwsgi.register_signal(20, 5, print)
uwsgi.register_signal(20, b"mule", print)
uwsgi.lock()
uwsgi.is_locked()
uwsgi.unlock()
uwsgi.is_locked()
uwsgi.lock(2)
uwsgi.is_locked(2)
uwsgi.is_locked(1)
uwsgi.unlock(2)
uwsgi.lock(3)
uwsgi.is_locked(99)
uwsgi.lock("name")
uwsgi.numproc
uwsgi.version
uwsgi.version_info
uwsgi.hostname
uwsgi.SPOOL_OK, uwsgi.SPOOL_RETRY, uwsgi.SPOOL_IGNORE
uwsgi.applications, uwsgi.loop, uwsgi.unbit
uwsgi.buffer_size, uwsgi.cores, uwsgi.has_threads, uwsgi.is_a_reload
type(uwsgi.started_on), type(uwsgi.micros()), [type(each) for each in uwsgi.mem()]
type(uwsgi.workers()), len(uwsgi.workers()), sort(uwsgi.workers()[0])
sort((key, type(value)) for key, value in uwsgi.workers()[0].items())
uwsgi.log("a line")
uwsgi.log(b"bytes")
uwsgi.log(5)
uwsgi.setprocname("a name")
uwsgi.set_user_harakiri(30)
uwsgi.set_user_harakiri(0)
uwsgi.cache_get("k")
uwsgi.cache_exists("k")
uwsgi.cache_del("k")
uwsgi.add_timer(17, 1000)
uwsgi.add_timer(17, 0)
uwsgi.add_timer(17, "1")
uwsgi.add_timer("17", 1)
uwsgi.add_timer(17)
uwsgi.add_rb_timer(17, 1000)
uwsgi.add_rb_timer(17, 1000, 3)
uwsgi.add_rb_timer(17, "1")
uwsgi.add_cron(17, 0, 3, 1, 1, -1)
uwsgi.add_cron(17, -5, -1, -1, -1, 7)
uwsgi.add_cron(17, 0, 3, 1, 1)
uwsgi.add_cron(17, "0", 3, 1, 1, 1)
uwsgi.add_file_monitor(17, "/tmp")
uwsgi.add_file_monitor(17, 5)
uwsgi.add_file_monitor(17)
uwsgi.rpc("127.0.0.1:1", b"f")
uwsgi.rpc("127.0.0.1:1")
uwsgi.rpc("127.0.0.1:1", 5)
uwsgi.call()
uwsgi.call(b"nothing")
uwsgi.call(5)
uwsgi.signal(1, "127.0.0.1:1")
uwsgi.alarm("nobody", "text")
uwsgi.total_requests(), uwsgi.request_id()
uwsgi.opt["k"], uwsgi.opt["l"], uwsgi.opt["farm"], uwsgi.opt["locks"], uwsgi.opt["mule"]
"master" in uwsgi.opt, "nothing" in uwsgi.opt, "spooler" in uwsgi.opt
hasattr(uwsgi, "spool"), hasattr(uwsgi, "spooler_jobs"), hasattr(uwsgi, "websocket_recv")
"""

#: Where there is a spooler.
SPOOLING = """
type(uwsgi.spool({b"key": b"value", b"n": b"1"})), len(uwsgi.spooler_jobs())
uwsgi.spool({b"key": b"value"}).rpartition(b"/")[2][:19]
uwsgi.spool({b"key": b"value"}).rpartition(b"/")[0] == uwsgi.spoolers[0]
uwsgi.spool({b"key": b"value", b"body": b"body"})[:1]
uwsgi.send_to_spooler({b"key": b"value", b"at": b"4000000000"})[:1]
uwsgi.spool({b"key": b"value", b"priority": b"7"}).split(b"/")[-2]
uwsgi.spool({b"key": b"value", b"spooler": uwsgi.spoolers[0]})[:1]
uwsgi.spool({b"key": b"value", b"spooler": b"/nowhere"})
uwsgi.spool({b"key": None})
uwsgi.spool("text")
uwsgi.spool(5)
type(uwsgi.spooler_jobs()), [type(each) for each in uwsgi.spooler_jobs()][:1]
told({b"key": b"value", b"n": b"1"})
told({b"key": b"value", b"body": b"body"})
told({b"key": b"value", b"at": b"4000000000"})
told({b"key": b"value", b"spooler": uwsgi.spoolers[0]})
uwsgi.spooler_get_task("/nowhere")
uwsgi.spooler_get_task(5)
uwsgi.spooler_pid() > 0, len(uwsgi.spooler_pids()), type(uwsgi.spooler_pids()), uwsgi.i_am_the_spooler()
type(uwsgi.spoolers), len(uwsgi.spoolers), [type(each) for each in uwsgi.spoolers]
uwsgi.set_spooler_frequency(5)
uwsgi.set_spooler_frequency("5")
uwsgi.SPOOL_OK, uwsgi.SPOOL_RETRY, uwsgi.SPOOL_IGNORE
"spooler" in uwsgi.opt, uwsgi.opt["spooler"], hasattr(uwsgi, "spool")
"""

for line in (SPOOLING if "spooler" in uwsgi.opt else CALLS).strip().splitlines():
    show(line)
print("CALLED", flush=True)
signal.pause()
os._exit(0)
