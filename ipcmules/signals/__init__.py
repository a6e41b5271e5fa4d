"""Signals: numbers 0-255, raised from anywhere, handled by the process that their table entry names.

targets   what a target names                    fifos          the wake-ups
raiser    the raising side                       taker          the receiving side
identity  when two registrations are one         registry       the registrations of this process
running   which signals this process has in hand registry_lock  who may write the table

How a signal travels, and why none is lost, is docs/formats-table.md. May know the bus; nothing of messages,
locks or the process it runs in. Private.
"""
