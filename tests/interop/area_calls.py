"""A mule's program that makes calls of uWSGI's shared areas and SNMP numbers, and prints what each gives.

sharedarea_object() is left out: it takes a reference too few there, and its process crashes soon after."""

import os
import signal

import uwsgi


def show(text):
    try:
        result = repr(eval(text))
    except Exception as error:
        result = type(error).__name__.replace("AreaError", "ValueError")
    print("CALL", text, "->", result, flush=True)


def view(number, *values):
    found = uwsgi.sharedarea_memoryview(number)
    for at, value in values:
        found[at] = value
    return len(found), found.readonly, found.format, found.itemsize, bytes(found[:8])


CALLS = """
[len(uwsgi.sharedarea_read(number, 0)) for number in range(5)]
uwsgi.sharedarea_read(0, 0).count(0), uwsgi.sharedarea_read(1, 8000).count(0)
uwsgi.sharedarea_write(0, 0, "text"), uwsgi.sharedarea_write(0, 4, b"\\0\\xff"), uwsgi.sharedarea_read(0, 0, 8)
uwsgi.sharedarea_write(0, 1, "\\xe9"), uwsgi.sharedarea_read(0, 0, 4), uwsgi.sharedarea_read(0, 4090)
uwsgi.sharedarea_write(0, 4095, "x"), uwsgi.sharedarea_read(0, 4095), uwsgi.sharedarea_read(0, 4095, 1)
uwsgi.sharedarea_write(0, 4095, ""), uwsgi.sharedarea_write(0, 0, "x" * 4096), uwsgi.sharedarea_read(0, 0, 4096) == b"x" * 4096
uwsgi.sharedarea_read(0, 4096)
uwsgi.sharedarea_read(0, 4095, 2)
uwsgi.sharedarea_read(0, -1)
uwsgi.sharedarea_write(0, 4096, "")
uwsgi.sharedarea_write(0, 4095, "xy")
uwsgi.sharedarea_write(0, -1, "x")
uwsgi.sharedarea_read(5, 0)
uwsgi.sharedarea_write(5, 0, "x")
uwsgi.sharedarea_write(0, 0, b"\\0" * 64)
uwsgi.sharedarea_write8(0, 0, 255), uwsgi.sharedarea_read8(0, 0), uwsgi.sharedarea_writebyte(0, 1, 7), uwsgi.sharedarea_readbyte(0, 1)
uwsgi.sharedarea_write16(0, 2, 65535), uwsgi.sharedarea_read16(0, 2), uwsgi.sharedarea_write16(0, 3, 258), uwsgi.sharedarea_read(0, 0, 8)
uwsgi.sharedarea_write32(0, 4, 2**32 - 1), uwsgi.sharedarea_read32(0, 4), uwsgi.sharedarea_write32(0, 4, -2), uwsgi.sharedarea_read32(0, 4)
uwsgi.sharedarea_write32(0, 4, 2**40 + 5), uwsgi.sharedarea_read32(0, 4)
uwsgi.sharedarea_write64(0, 8, -(2**63)), uwsgi.sharedarea_read64(0, 8), uwsgi.sharedarea_writelong(0, 9, 77), uwsgi.sharedarea_readlong(0, 9)
uwsgi.sharedarea_write8(0, 0, 256)
uwsgi.sharedarea_write8(0, 0, -1)
uwsgi.sharedarea_write64(0, 0, 2**63)
uwsgi.sharedarea_write8(0, 4096, 1)
uwsgi.sharedarea_write32(0, 4093, 1)
uwsgi.sharedarea_read64(0, 4089)
uwsgi.sharedarea_read8(0, 4096)
uwsgi.sharedarea_write64(0, 16, 5), uwsgi.sharedarea_inc64(0, 16), uwsgi.sharedarea_inc64(0, 16, 10), uwsgi.sharedarea_read64(0, 16)
uwsgi.sharedarea_dec64(0, 16), uwsgi.sharedarea_dec64(0, 16, 20), uwsgi.sharedarea_read64(0, 16), uwsgi.sharedarea_inclong(0, 16), uwsgi.sharedarea_read64(0, 16)
uwsgi.sharedarea_write64(0, 16, 2**63 - 1), uwsgi.sharedarea_inc64(0, 16), uwsgi.sharedarea_read64(0, 16), uwsgi.sharedarea_dec64(0, 16, 2), uwsgi.sharedarea_read64(0, 16)
uwsgi.sharedarea_inc32(0, 24), uwsgi.sharedarea_inc32(0, 24, 5), uwsgi.sharedarea_dec32(0, 24, 10), uwsgi.sharedarea_dec32(0, 24), uwsgi.sharedarea_read32(0, 24)
uwsgi.sharedarea_write32(0, 24, 2**31 - 1), uwsgi.sharedarea_inc32(0, 24), uwsgi.sharedarea_read32(0, 24), uwsgi.sharedarea_inc32(0, 24, -1), uwsgi.sharedarea_read32(0, 24)
uwsgi.sharedarea_inc32(0, 24, 2**31)
uwsgi.sharedarea_inc64(0, 24, 2**63)
uwsgi.sharedarea_inc64(0, 4096)
uwsgi.sharedarea_dec32(0, 4093)
uwsgi.sharedarea_inc64(5, 0)
uwsgi.sharedarea_rlock(0), uwsgi.sharedarea_read(0, 0, 1), uwsgi.sharedarea_unlock(0)
uwsgi.sharedarea_wlock(0), view(0, (0, 9), (7, 255)), uwsgi.sharedarea_unlock(0), uwsgi.sharedarea_read(0, 0, 8)
uwsgi.sharedarea_wlock(0), uwsgi.sharedarea_write(0, 0, "x"), uwsgi.sharedarea_unlock(0)
uwsgi.sharedarea_rlock(5)
uwsgi.sharedarea_wlock(5)
uwsgi.sharedarea_unlock(5)
uwsgi.sharedarea_memoryview(5)
uwsgi.sharedarea_object(5)
uwsgi.sharedarea_write(2, 0, "f"), uwsgi.sharedarea_read(2, 0), uwsgi.sharedarea_read(2, 3, 4), uwsgi.sharedarea_write(2, 0, "F"), open("areafile").read()
uwsgi.sharedarea_read(3, 0, 3), uwsgi.sharedarea_write(3, 0, "abc"), uwsgi.sharedarea_read(3, 0, 3), view(2)[0]
uwsgi.sharedarea_write(4, 0, "object"), uwsgi.sharedarea_read(4, 0, 6), view(4)
uwsgi.sharedarea_read(4, 95, 6)
uwsgi.sharedarea_read()
uwsgi.sharedarea_read(0)
uwsgi.sharedarea_read(0, 0, 1, 1)
uwsgi.sharedarea_read("0", 0)
uwsgi.sharedarea_read(0, 0.0)
uwsgi.sharedarea_read(0, None)
uwsgi.sharedarea_read(2**31, 0)
uwsgi.sharedarea_read(0, 2**63)
uwsgi.sharedarea_read(False, 0, True)
uwsgi.sharedarea_write(0, 0)
uwsgi.sharedarea_write(0, 0, 5)
uwsgi.sharedarea_write(0, 0, bytearray(b"x"))
uwsgi.sharedarea_write8(0, 0, "x")
uwsgi.sharedarea_inc64(0)
uwsgi.sharedarea_inc64(0, 0, "1")
uwsgi.sharedarea_rlock()
uwsgi.sharedarea_unlock("0")
uwsgi.sharedarea_memoryview()
[hasattr(uwsgi, "sharedarea_" + each) for each in ("read", "inc8", "inc16", "wait", "update", "dec64", "declong")]
uwsgi.snmp_set_counter32(1, 5), uwsgi.snmp_set_counter64(2, 2**64 - 1), uwsgi.snmp_set_gauge(100, 0), uwsgi.snmp_set_gauge(1, -1)
uwsgi.snmp_set_counter64(2, 2**70), uwsgi.snmp_set_counter32(2, 2**40)
uwsgi.snmp_set_counter32(0, 5), uwsgi.snmp_set_counter64(101, 1), uwsgi.snmp_set_gauge(255, 1), uwsgi.snmp_incr_gauge(0), uwsgi.snmp_decr_gauge(101, 5)
uwsgi.snmp_incr_counter32(1), uwsgi.snmp_incr_counter32(1, 5), uwsgi.snmp_incr_counter64(1), uwsgi.snmp_incr_gauge(1, 2)
uwsgi.snmp_decr_counter32(1), uwsgi.snmp_decr_counter64(1, 5), uwsgi.snmp_decr_gauge(1)
uwsgi.snmp_set_community("public"), uwsgi.snmp_set_community("x" * 100)
uwsgi.snmp_set_gauge(256, 1)
uwsgi.snmp_set_gauge(-1, 1)
uwsgi.snmp_set_gauge(1)
uwsgi.snmp_set_gauge("1", 1)
uwsgi.snmp_set_gauge(1, "1")
uwsgi.snmp_set_gauge(1, 1.5)
uwsgi.snmp_incr_gauge()
uwsgi.snmp_incr_gauge(1, "1")
uwsgi.snmp_incr_gauge(1, 2, 3)
uwsgi.snmp_set_community()
uwsgi.snmp_set_community(5)
uwsgi.snmp_set_community(b"public")
[hasattr(uwsgi, "snmp_" + each) for each in ("get", "set_counter32", "decr_gauge")]
"""

for line in CALLS.strip().splitlines():
    show(line)
print("CALLED", flush=True)
signal.pause()
os._exit(0)
