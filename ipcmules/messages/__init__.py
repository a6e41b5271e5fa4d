"""Message queues: frames, sizes under the kernel's limits, the sending and the receiving side.

Knows the table, the description and the layers under them; nothing of signals (the inbox is given
a taker), locks, membership or the master. Specified in docs/formats-messages.md.
"""
