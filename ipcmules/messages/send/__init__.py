"""The sending side of message queues.

May know the rest of messages, but not the receiving side. Private.
"""
