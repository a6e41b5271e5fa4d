"""The supervisor: it owns the kernel objects, starts and respawns processes, and runs no user code.

run.py is its entry, supervisor.py its work; the rooms below are its parts. May know all but the api. Private.
"""
