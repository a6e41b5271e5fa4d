"""Timers, cron and file monitors as values: what is asked for, and when it is due.

Arithmetic only: nothing here knows processes, signals or the master, which fires the events
(master/events/). Imports of more than a few milliseconds (zoneinfo, cronsim) are made where they are used.
"""
