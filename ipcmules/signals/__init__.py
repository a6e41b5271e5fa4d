"""Signals: numbers 0-255, raised from anywhere, handled by the process that their table entry names.

targets   what a target names          fifos     the wake-ups        guard     who may write the table
raiser    the raising side             taker     the receiving side
identity  when two registrations are one         registry  the registrations of this process

How a signal travels, and why it is never lost, is docs/formats-table.md. This package knows the table
and the description of a bus; nothing of messages, locks or the process it runs in.
"""
