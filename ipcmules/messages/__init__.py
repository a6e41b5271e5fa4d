"""Message queues: frames, sizes under the kernel's limits, large and kept messages; send/ and receive/.

Specified in docs/formats-messages.md. May know the bus; nothing of signals (the inbox has a taker), locks,
membership or the master. Private.
"""
