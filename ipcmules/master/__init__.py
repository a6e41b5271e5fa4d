"""The supervisor: it owns the kernel objects, starts and respawns processes, and runs no user code."""
