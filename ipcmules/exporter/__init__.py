"""The process behind --metrics and --stats: it answers who asks for numbers with a snapshot of the bus.

A process of its own, because the master runs no web code and waits for nobody; it is started and ended as the
listener is. It joins nothing, and sleeps until somebody connects. May know the snapshot. Private.
"""
