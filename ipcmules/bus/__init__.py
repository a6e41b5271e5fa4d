"""What a bus is: its places, its configuration, its description, its table, and whether it lives.

May know the kernel and the wire. Private.
"""
