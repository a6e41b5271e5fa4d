"""What the master sleeps in: descriptors, signals, timers, questions.

May know the kernel and the bus. Private.
"""
