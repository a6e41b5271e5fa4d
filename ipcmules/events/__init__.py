"""Timers, crons and file monitors as values: what is asked for, and when it is due.

Arithmetic, and what this process registered; the master fires events (master/events/). May know signals and
the bus. Imports of more than a few milliseconds (zoneinfo, cronsim) are made where they are used. Private.
"""
