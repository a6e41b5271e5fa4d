"""This process's place on a bus: its role and number, its handles, and how it waits for signals.

May know all below. Private.
"""
